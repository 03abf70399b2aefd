"""The kinds of networks that can play, and one way to call them all."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from gan_core.errors import ArgumentError

Network: TypeAlias = keras.Model | tf.Module
"""A Keras model, functional or subclassed, or a `tf.Module` with
`__call__(inputs, **conditions)`, which may take `training` too."""


def run_network(
    network: Network, inputs: Any, conditions: Mapping[str, Any], *, training: bool
) -> tf.Tensor:
    """One pass.

    Args:
      network: Functional Keras models take the conditions as the inputs that are named like them;
        subclassed ones, and modules, as keyword arguments.
      inputs: What comes first: latents or images.
      conditions: By name: tensors, or whatever else a subclassed model or a module takes.
      training: Whether layers like dropout are in training mode; a module that does not take
        `training` is not told.

    Raises:
      ArgumentError: If the network takes other conditions.
    """
    if is_functional(network):
        names = [tensor.name for tensor in network.inputs][1:]
        _check_conditions(network, conditions, allowed=names, needed=names)
        arranged = [inputs, *(conditions[name] for name in names)] if names else inputs
        # As `keras.Model.stateless_call` does: what casts an input is the layer that takes it.
        return network.call(arranged, training=training)
    mode = {"training": training} if _check_signature(network, conditions) else {}
    return network(inputs, **conditions, **mode)


def is_functional(network: Network) -> bool:
    """Whether it is a functional or sequential model, whose inputs are known by name."""
    inputs = getattr(network, "inputs", None)
    return (
        isinstance(network, keras.Model)
        and isinstance(inputs, list)
        and all(isinstance(tensor, keras.KerasTensor) for tensor in inputs)
    )


def tf_variable(variable: keras.Variable | tf.Variable) -> tf.Variable:
    """TensorFlow's variable behind one of Keras, or a module's own."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def variable_name(variable: keras.Variable | tf.Variable) -> str:
    """What people know it by."""
    return str(variable.path if isinstance(variable, keras.Variable) else variable.name)


def _check_signature(network: Network, conditions: Mapping[str, Any]) -> bool:
    """Raises `ArgumentError` for conditions that it does not take; whether `training` is told."""
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
        "name its keras.Input like the condition"
        if is_functional(network)
        else "name the argument of its call like the condition",
    )
