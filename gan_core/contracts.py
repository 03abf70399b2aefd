"""Checks of a game and its parts, when they are built or traced."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import tensorflow as tf

from gan_core import internals
from gan_core.errors import ArgumentError
from gan_core.images import ValueRange
from gan_core.latents import LatentDistribution
from gan_core.networks import Network, is_functional, tf_variable, variable_name
from gan_core.optimizers import check_over_replicas
from gan_core.types import Terms

_RANGES = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
"""Ranges of final activations of a generator."""

_TAKEN = ("loss", "gradient", "learning_rate")
"""Metric names that an update itself uses for each network."""


def check_networks(
    generator: Network,
    discriminator: Network,
    latents: LatentDistribution | None,
    value_range: ValueRange,
) -> None:
    """Raises `ArgumentError` if two networks cannot be trained, together or at all."""
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        _check_kind(name, network)
        _check_built(name, network)
        _check_own_losses(name, network)
    _check_sampled_as_trained(generator)
    shared = {id(v) for v in generator.variables} & {id(v) for v in discriminator.variables}
    if shared:
        names = [variable_name(v) for v in generator.variables if id(v) in shared]
        raise ArgumentError(
            "discriminator",
            discriminator.name,
            f"must share no variable with the generator, but shares {', '.join(names)}",
            "build separate layers",
        )
    _check_scope("generator", generator)
    _check_scope("discriminator", discriminator)
    _check_shapes(generator, discriminator, latents.size if latents else None)
    _check_activations(generator, discriminator, value_range)


def check_optimizers(
    generator_optimizer: keras.optimizers.Optimizer,
    discriminator_optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
) -> None:
    """Raises `ArgumentError` unless both are fresh Keras optimizers that the strategy can use."""
    optimizers = {
        "generator_optimizer": generator_optimizer,
        "discriminator_optimizer": discriminator_optimizer,
    }
    for name, optimizer in optimizers.items():
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ArgumentError(
                name,
                repr(optimizer),
                "must be a Keras optimizer",
                "make one, for example gan_core.Adam(2e-4, beta_1=0.5)",
            )
        if optimizer.built:
            raise ArgumentError(
                name, optimizer.name, "must not have been used before", "make a new one"
            )
        check_over_replicas(name, optimizer, strategy)
    if generator_optimizer is discriminator_optimizer:
        raise ArgumentError(
            "discriminator_optimizer",
            discriminator_optimizer.name,
            "must not be the generator's",
            "make two optimizers",
        )


def check_distributed(batch: Any, strategy: tf.distribute.Strategy) -> None:
    """Raises `ArgumentError` for a plain batch on several replicas, each of which would get it."""
    if strategy.num_replicas_in_sync == 1 or len(strategy.extended.worker_devices) == 1:
        return
    for part in tf.nest.flatten(batch):
        if isinstance(part, tf.distribute.DistributedValues) or part is None:
            continue
        if tf.convert_to_tensor(part).shape.rank != 0:
            raise ArgumentError(
                "batch",
                f"a tensor {part.shape}",
                f"must be distributed over the {strategy.num_replicas_in_sync} replicas",
                "read it from gan_core.data.distribute(dataset, strategy, global_batch_size)",
            )


def checked_terms(origin: str, terms: Terms, batch_size: int) -> Terms:
    """The terms, if each is one float per example.

    Args:
      origin: The method or argument that they come from.
      terms: Values by name.
      batch_size: Examples on a replica.

    Raises:
      ArgumentError: If a term is not floats [batch_size].
    """
    if not isinstance(terms, dict) or not terms:
        raise ArgumentError(
            origin, type(terms).__name__, "must return terms by name", 'return {"name": values}'
        )
    for name, term in terms.items():
        if name in _TAKEN:
            rule = "is a name that the update itself logs"
            raise ArgumentError(origin, name, rule, "rename the term")
        term = tf.convert_to_tensor(term)
        rank_fits = term.shape.rank == 1 and term.shape[0] in (None, batch_size)
        if not rank_fits or not term.dtype.is_floating:
            raise ArgumentError(
                origin,
                f"{name}: {term.dtype.name} {term.shape}",
                f"must return one float per example, [{batch_size}]",
                "reduce over all axes but the first; the update takes the mean over the batch",
            )
    return terms


def per_example(terms: Terms, patches: bool) -> Terms:
    """Terms with those of patches, [b, patches], averaged over each example's patches.

    Args:
      terms: Values by name.
      patches: Whether the game's logits are those of patches; terms stay as they are otherwise.
    """
    if not patches:
        return terms
    ranks = {name: tf.convert_to_tensor(term).shape.rank for name, term in terms.items()}
    return {
        name: tf.reduce_mean(term, axis=1) if ranks[name] == 2 else term
        for name, term in terms.items()
    }


def joined(origin: str, terms: Terms, others: Terms) -> Terms:
    """The union of two sets of values by name.

    Args:
      origin: The method or argument that the others come from.
      terms: Values by name.
      others: Further values.

    Raises:
      ArgumentError: If both use a name: one would replace the other.
    """
    both = sorted(terms.keys() & others.keys())
    if both:
        raise ArgumentError(
            origin, ", ".join(both), "must not have the name of a term", "rename it"
        )
    return terms | others


def _check_kind(name: str, network: Network) -> None:
    if isinstance(network, keras.Model):
        return
    if not isinstance(network, tf.Module) or not callable(network):
        raise ArgumentError(
            name,
            type(network).__name__,
            "must be a Keras model, or a tf.Module with `__call__`",
            "wrap it in a keras.Model",
        )
    inner = internals.keras_layers_of_module(network)
    if inner:
        raise ArgumentError(
            name,
            network.name,
            f"is a tf.Module, which misses the weights of the Keras layer {inner[0].name} in it",
            "make it a keras.Model",
        )


def _check_built(name: str, network: Network) -> None:
    if isinstance(network, keras.Model) and not is_functional(network):
        for layer in internals.all_layers(network):
            if not layer.built:
                raise ArgumentError(
                    name,
                    network.name,
                    f"must be built, but its {layer.name} is not",
                    "call it once under the strategy's scope, in each way that training calls it",
                )
    if not network.trainable_variables:
        raise ArgumentError(
            name, network.name, "must have trainable variables", "build it and unfreeze it"
        )


def _check_own_losses(name: str, network: Network) -> None:
    if not isinstance(network, keras.Model):
        return
    regularized = [v.path for v in network.trainable_variables if v.regularizer is not None]
    layers = internals.all_layers(network)
    regularized += [layer.name for layer in layers if layer.activity_regularizer is not None]
    if regularized:
        raise ArgumentError(
            name,
            network.name,
            f"has a Keras regularizer ({regularized[0]}), whose loss is not a term of the game",
            "use weight_decay of the optimizer, or a term of the game",
        )


def _check_sampled_as_trained(generator: Network) -> None:
    """Keras divides a kernel by its norm in training mode only, and stores the result."""
    for layer in internals.all_layers(generator) if isinstance(generator, keras.Model) else []:
        if isinstance(layer, keras.layers.SpectralNormalization):
            raise ArgumentError(
                "generator",
                generator.name,
                f"has Keras's SpectralNormalization ({layer.name}), which would sample with other "
                "weights than those that were trained",
                "use it in the discriminator only",
            )


def _check_scope(name: str, network: Network) -> None:
    strategy = tf.distribute.get_strategy()
    for variable in network.variables:
        if not strategy.extended.variable_created_in_scope(tf_variable(variable)):
            raise ArgumentError(
                name,
                network.name,
                "must be built under the strategy of the gan",
                "build both under `with strategy.scope():`",
            )


def _check_shapes(generator: Network, discriminator: Network, latent_size: int | None) -> None:
    """Checks the shapes that are known before tracing; those of subclassed models are not."""
    wanted, given = _first_shape(generator, "input"), (latent_size,)
    if latent_size is not None and wanted and wanted != given and None not in wanted:
        raise ArgumentError(
            "latents",
            latent_size,
            f"must have the size of the generator's input, {wanted[0]}",
            "use one size for both",
        )
    made, seen = _first_shape(generator, "output"), _first_shape(discriminator, "input")
    if made and seen and not tf.TensorShape(made).is_compatible_with(seen):
        raise ArgumentError(
            "discriminator",
            f"images {list(seen)}",
            f"must accept the generator's images, {list(made)}",
            "use one size for both",
        )


def _first_shape(network: Network, side: str) -> tuple[int | None, ...] | None:
    """Shape, without the batch, of a network's first input or output; None if it is unknown."""
    return tuple(getattr(network, f"{side}s")[0].shape[1:]) if is_functional(network) else None


def _check_activations(generator: Network, discriminator: Network, value_range: ValueRange) -> None:
    given = _RANGES.get(_last_activation(generator) or "", value_range)
    if tuple(value_range) != given:
        raise ArgumentError(
            "value_range",
            value_range,
            f"must be the range of the generator's {_last_activation(generator)}, {given}",
            "change one of them",
        )
    if _last_activation(discriminator) in ("sigmoid", "softmax", "tanh"):
        warnings.warn(
            f"the discriminator ends in a {_last_activation(discriminator)}, but losses take "
            "logits: remove the last activation",
            RuntimeWarning,
            stacklevel=4,
        )


def _last_activation(network: Network) -> str | None:
    """Name of a network's final activation, ignoring layers that only reshape.

    None if it is unknown: the layers of a subclassed model have no order.
    """
    for layer in reversed(network.layers if is_functional(network) else []):
        activation = getattr(layer, "activation", None)
        if activation is not None:
            return getattr(activation, "__name__", None)
        if layer.count_params() or not isinstance(
            layer, (keras.layers.Reshape, keras.layers.Flatten)
        ):
            return None
    return None
