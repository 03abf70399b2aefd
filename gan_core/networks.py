"""The kinds of networks that can train, and one way to call each of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from gan_core.errors import ArgumentError

Network: TypeAlias = keras.Model | tf.Module
"""A Keras model, functional or subclassed, or a `tf.Module` with
`__call__(inputs, **conditions)`, which may also take `training`."""


def call_network(
    network: Network, inputs: Any, conditions: Mapping[str, Any], *, training: bool
) -> tf.Tensor:
    """The output of one forward pass with the network's present variables.

    Args:
      network: Functional Keras models take each condition as the input of that name; subclassed
        models and modules take it as a keyword argument.
      inputs: The first input: latents or images.
      conditions: By name: tensors, or any other value for a subclassed model or a module.
      training: Whether layers such as dropout run in training mode. A module without a `training`
        argument is not told.

    Raises:
      ArgumentError: If the network takes other conditions.
    """
    if is_functional(network):
        weights = [variable.value for variable in network.trainable_variables]
        state = [variable.value for variable in network.non_trainable_variables]
        values = (weights, state)
        return call_stateless(network, *values, inputs, conditions, training=training)[0]
    mode = {"training": training} if _check_signature(network, conditions) else {}
    return network(inputs, **conditions, **mode)


def call_stateless(
    network: keras.Model,
    weights: Sequence[tf.Tensor],
    state: Sequence[tf.Tensor],
    inputs: Any,
    conditions: Mapping[str, Any],
    *,
    training: bool,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """One forward pass of a Keras model with given values; no variable changes.

    Args:
      network: Built Keras model.
      weights: Values of its `trainable_variables`.
      state: Values of its `non_trainable_variables`.
      inputs: As in `call_network`, and so are `conditions`, `training` and the errors.
      conditions: By name.
      training: Whether layers run in training mode.

    Returns:
      The output, and the values of the non-trainable variables after the pass.
    """
    if is_functional(network):
        names = [tensor.name for tensor in network.inputs][1:]
        _check_conditions(network, conditions, allowed=names, needed=names)
        arranged = [inputs, *(conditions[name] for name in names)] if names else inputs
        output, state = network.stateless_call(weights, state, arranged, training=training)
        return output, list(state)
    variables = [*network.trainable_variables, *network.non_trainable_variables]
    pairs = list(zip(variables, [*weights, *state], strict=True))
    # Not `stateless_call`, which passes `training` to a `call` that may not take it.
    with keras.StatelessScope(state_mapping=pairs) as scope:
        output = call_network(network, inputs, conditions, training=training)
    return output, [scope.get_current_value(v) for v in network.non_trainable_variables]


def is_functional(network: Network) -> bool:
    """True for a functional or sequential model, whose inputs have names."""
    inputs = getattr(network, "inputs", None)
    return (
        isinstance(network, keras.Model)
        and isinstance(inputs, list)
        and all(isinstance(tensor, keras.KerasTensor) for tensor in inputs)
    )


def tf_variable(variable: keras.Variable | tf.Variable) -> tf.Variable:
    """The TensorFlow variable behind a Keras variable; a module's variable as it is."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def variable_name(variable: keras.Variable | tf.Variable) -> str:
    """The name of a variable for messages."""
    return str(variable.path if isinstance(variable, keras.Variable) else variable.name)


def _check_signature(network: Network, conditions: Mapping[str, Any]) -> bool:
    """Checks the conditions against the signature; returns whether to pass `training`."""
    is_keras = isinstance(network, keras.Model)
    parameters = inspect.signature(network.call if is_keras else network.__call__).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    further = {
        name: parameter
        for name, parameter in list(parameters.items())[1:]
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    takes_training = further.pop("training", None) is not None
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        needed = [name for name, p in further.items() if p.default is inspect.Parameter.empty]
        _check_conditions(network, conditions, allowed=list(further), needed=needed)
    # Keras passes the mode on to inner layers, whether or not `call` itself takes it.
    return is_keras or takes_training


def _check_conditions(
    network: Network, given: Iterable[str], *, allowed: list[str], needed: list[str]
) -> None:
    if set(needed) <= set(given) <= set(allowed):
        return
    raise ArgumentError(
        "conditions",
        ", ".join(sorted(given)) or "none",
        f"must be the further inputs of {network.name} ({', '.join(allowed) or 'none'})",
        "give its keras.Input the name of the condition"
        if is_functional(network)
        else "give the argument of its call the name of the condition",
    )
