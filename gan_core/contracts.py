"""What a game and its parts must keep to, checked when they are built or traced."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.images import ValueRange
from gan_core.latents import LatentDistribution
from gan_core.networks import Network, is_functional, tf_variable, variable_name
from gan_core.optimizers import check_over_replicas
from gan_core.types import Terms

_RANGES = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
"""What an activation at a generator's end can give."""

_TAKEN = ("loss", "gradient", "learning_rate")
"""Names under which the step logs what it computes of a network itself."""


def check_networks(
    generator: Network,
    discriminator: Network,
    latents: LatentDistribution | None,
    value_range: ValueRange,
) -> None:
    """Raises `ArgumentError` where two networks cannot play, with each other or at all."""
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
                "make one: gan_core.Adam(2e-4, beta_1=0.5), say",
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
    """Raises `ArgumentError` for a plain batch on several replicas: each would get all of it."""
    if strategy.num_replicas_in_sync == 1 or len(strategy.extended.worker_devices) == 1:
        return
    for part in tf.nest.flatten(batch):
        if isinstance(part, tf.distribute.DistributedValues) or part is None:
            continue
        if tf.convert_to_tensor(part).shape.rank != 0:
            raise ArgumentError(
                "batch",
                f"a tensor {part.shape}",
                f"must be shared out among the {strategy.num_replicas_in_sync} replicas",
                "read it from gan_core.data.distribute(dataset, strategy, global_batch_size)",
            )


def checked_terms(origin: str, terms: Terms, batch_size: int) -> Terms:
    """The terms, if each is one float an example.

    Args:
      origin: Where they come from, as a user knows it.
      terms: Values by name.
      batch_size: Examples on a replica.

    Raises:
      ArgumentError: If a term is not floats [batch_size].
    """
    if not isinstance(terms, dict) or not terms:
        raise ArgumentError(
            origin, type(terms).__name__, "must give terms by name", 'return {"name": values}'
        )
    for name, term in terms.items():
        if name in _TAKEN:
            rule = "is what the step itself logs under this name"
            raise ArgumentError(origin, name, rule, "name the term otherwise")
        term = tf.convert_to_tensor(term)
        rank_fits = term.shape.rank == 1 and term.shape[0] in (None, batch_size)
        if not rank_fits or not term.dtype.is_floating:
            raise ArgumentError(
                origin,
                f"{name}: {term.dtype.name} {term.shape}",
                f"must give one float an example, [{batch_size}]",
                "reduce over all axes but the first; the step takes the mean over the batch",
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
    """Both together.

    Args:
      origin: Where the others come from, as a user knows it.
      terms: Values by name.
      others: More of them.

    Raises:
      ArgumentError: If both have a name: one would replace the other.
    """
    both = sorted(terms.keys() & others.keys())
    if both:
        raise ArgumentError(origin, ", ".join(both), "must not be named like a term", "rename it")
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
    inner = list(network._flatten(predicate=lambda part: isinstance(part, keras.layers.Layer)))
    if inner:
        raise ArgumentError(
            name,
            network.name,
            f"is a tf.Module, which does not see the weights of Keras's {inner[0].name} in it",
            "make it a keras.Model",
        )


def _check_built(name: str, network: Network) -> None:
    if isinstance(network, keras.Model) and not is_functional(network):
        for layer in network._flatten_layers():
            if not layer.built:
                raise ArgumentError(
                    name,
                    network.name,
                    f"must be built, but its {layer.name} is not",
                    "call it once under the strategy's scope, in each way that training will",
                )
    if not network.trainable_variables:
        raise ArgumentError(
            name, network.name, "must have trainable variables", "build it and unfreeze it"
        )


def _check_own_losses(name: str, network: Network) -> None:
    if not isinstance(network, keras.Model):
        return
    regularized = [v.path for v in network.trainable_variables if v.regularizer is not None]
    layers = network._flatten_layers()
    regularized += [layer.name for layer in layers if layer.activity_regularizer is not None]
    if regularized:
        raise ArgumentError(
            name,
            network.name,
            f"has a Keras regularizer ({regularized[0]}), whose loss is not among a game's terms",
            "give the optimizer weight_decay, or the game a term",
        )


def _check_sampled_as_trained(generator: Network) -> None:
    """Keras divides a kernel by its norm in training mode only, and keeps what comes out."""
    for layer in generator._flatten_layers() if isinstance(generator, keras.Model) else []:
        if isinstance(layer, keras.layers.SpectralNormalization):
            raise ArgumentError(
                "generator",
                generator.name,
                f"has Keras's SpectralNormalization ({layer.name}), with which samples would be "
                "made by other weights than those that were trained",
                "leave it to the discriminator",
            )


def _check_scope(name: str, network: Network) -> None:
    strategy = tf.distribute.get_strategy()
    for variable in network.variables:
        if not strategy.extended.variable_created_in_scope(tf_variable(variable)):
            raise ArgumentError(
                name,
                network.name,
                "must be built under the strategy of the step",
                "build both under `with strategy.scope():`",
            )


def _check_shapes(generator: Network, discriminator: Network, latent_size: int | None) -> None:
    """What is known of shapes before anything is traced: nothing of subclassed models."""
    wanted, given = _first_shape(generator, "input"), (latent_size,)
    if latent_size is not None and wanted and wanted != given and None not in wanted:
        raise ArgumentError(
            "latents",
            latent_size,
            f"must have the size that the generator takes, {wanted[0]}",
            "give both one size",
        )
    made, seen = _first_shape(generator, "output"), _first_shape(discriminator, "input")
    if made and seen and not tf.TensorShape(made).is_compatible_with(seen):
        raise ArgumentError(
            "discriminator",
            f"images {list(seen)}",
            f"must take what the generator makes, {list(made)}",
            "give both one size",
        )


def _first_shape(network: Network, side: str) -> tuple[int | None, ...] | None:
    """Shape without the batch of a network's first input or output; None if it is not known."""
    return tuple(getattr(network, f"{side}s")[0].shape[1:]) if is_functional(network) else None


def _check_activations(generator: Network, discriminator: Network, value_range: ValueRange) -> None:
    given = _RANGES.get(_last_activation(generator) or "", value_range)
    if tuple(value_range) != given:
        raise ArgumentError(
            "value_range",
            value_range,
            f"must be what the generator's {_last_activation(generator)} gives, {given}",
            "change one of them",
        )
    if _last_activation(discriminator) in ("sigmoid", "softmax", "tanh"):
        warnings.warn(
            f"the discriminator ends in a {_last_activation(discriminator)}: losses here take "
            "logits; leave the last activation out",
            RuntimeWarning,
            stacklevel=4,
        )


def _last_activation(network: Network) -> str | None:
    """Name of the activation that a network ends in, layers that only reshape left out.

    None where it is not known: the layers of a subclassed model stand in no order.
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
