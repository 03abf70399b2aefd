"""The usual PyTorch loop, if PyTorch is installed: same layers, sizes, batch and optimizer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import torch
from torch import nn

from experiments.tools.benchmark.contestants import Contestant, Task, WaitClock, random_images
from experiments.tools.benchmark.keras_peers import keras_networks

_ACTIVATIONS = {"tanh": nn.Tanh, "selu": nn.SELU, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def torch_network(network: keras.Model) -> nn.Sequential:
    """The same layers in PyTorch, channels first; as many parameters."""
    return nn.Sequential(*(module for layer in network.layers for module in _modules(layer)))


def _modules(layer: keras.layers.Layer) -> Iterator[nn.Module]:
    layers = keras.layers
    shape = layer.input.shape
    channels = shape[-1]
    if isinstance(layer, layers.Dense):
        yield nn.Linear(channels, layer.units)
    elif isinstance(layer, layers.Conv2DTranspose):
        size, stride = layer.kernel_size[0], layer.strides[0]
        padding = (size - stride + 1) // 2
        extra = stride - size + 2 * padding
        yield nn.ConvTranspose2d(channels, layer.filters, size, stride, padding, extra)
    elif isinstance(layer, layers.Conv2D):
        size, stride = layer.kernel_size[0], layer.strides[0]
        padding = (size - 1) // 2 if layer.padding == "same" else 0
        yield nn.Conv2d(channels, layer.filters, size, stride, padding)
    elif isinstance(layer, layers.BatchNormalization):
        kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
        yield kind(channels, eps=layer.epsilon, momentum=1.0 - layer.momentum)
    elif isinstance(layer, layers.LeakyReLU):
        yield nn.LeakyReLU(layer.negative_slope)
    elif isinstance(layer, layers.Dropout):
        yield nn.Dropout(layer.rate)
    elif isinstance(layer, layers.Flatten):
        yield nn.Flatten()
    elif isinstance(layer, layers.Reshape):
        height, width, depth = layer.target_shape
        yield nn.Unflatten(1, (depth, height, width))
    elif isinstance(layer, layers.UpSampling2D):
        yield nn.Upsample(scale_factor=layer.size[0])
    elif isinstance(layer, layers.MaxPooling2D):
        yield nn.MaxPool2d(layer.pool_size[0])
    elif not isinstance(layer, layers.Activation):
        raise TypeError(f"{type(layer).__name__} has no counterpart here yet")
    activation = getattr(layer, "activation", keras.activations.linear)
    if activation is not keras.activations.linear:
        if activation.__name__ not in _ACTIVATIONS:
            raise TypeError(f"{activation.__name__} has no counterpart here yet")
        yield _ACTIVATIONS[activation.__name__]()


def _make(task: Task, title: str, compiled: bool, channels_last: bool) -> Contestant:
    """The loop of PyTorch's DCGAN tutorial; in bfloat16 by autocast."""
    experiment = task.load()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    described = keras_networks(experiment)
    networks = [torch_network(network).to(memory_format=layout) for network in described]
    generator, discriminator = map(torch.compile, networks) if compiled else networks
    optimizers = [torch.optim.Adam(n.parameters(), 2e-4, betas=(0.5, 0.999)) for n in networks]
    generator_optimizer, discriminator_optimizer = optimizers
    entropy = nn.BCEWithLogitsLoss()
    batches = WaitClock(_batches(task, random_images(task, described[0]), layout))
    use_bfloat16 = "bfloat16" in task.precision

    def logits_of(images: torch.Tensor) -> torch.Tensor:
        return discriminator(images).float().view(-1)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=use_bfloat16):
            discriminator_optimizer.zero_grad()
            real_logits = logits_of(next(batches))
            real_loss = entropy(real_logits, torch.ones(task.batch_size))
        real_loss.backward()
        with torch.autocast("cpu", torch.bfloat16, enabled=use_bfloat16):
            fakes = generator(torch.randn(task.batch_size, experiment.latents.size))
            fake_logits = logits_of(fakes.detach())
            fake_loss = entropy(fake_logits, torch.zeros(task.batch_size))
        fake_loss.backward()
        discriminator_optimizer.step()
        with torch.autocast("cpu", torch.bfloat16, enabled=use_bfloat16):
            generator_optimizer.zero_grad()
            generator_loss = entropy(logits_of(fakes), torch.ones(task.batch_size))
        generator_loss.backward()
        generator_optimizer.step()

    def run_steps(num_steps: int) -> float:
        for _ in range(num_steps):
            step()
        return batches.read()

    parameters = [parameter for network in networks for parameter in network.parameters()]
    return Contestant(title, run_steps, lambda: [p.detach().numpy().copy() for p in parameters])


def _batches(task: Task, images: np.ndarray, layout: torch.memory_format) -> Iterator[torch.Tensor]:
    low, high = task.load().value_range
    images = images.transpose(0, 3, 1, 2).astype(np.float32) / 255.0
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(images * (high - low) + low))
    loader = torch.utils.data.DataLoader(dataset, task.batch_size, shuffle=True, drop_last=True)
    while True:
        for (batch,) in loader:
            yield batch.contiguous(memory_format=layout)


def _variant(title: str, *, compiled: bool, channels_last: bool) -> Callable[[Task], Contestant]:
    return functools.partial(_make, title=title, compiled=compiled, channels_last=channels_last)


MAKERS = {
    "torch": _variant("PyTorch", compiled=False, channels_last=False),
    "torch_channels_last": _variant("PyTorch, channels last", compiled=False, channels_last=True),
    "torch_compiled": _variant("PyTorch, compiled", compiled=True, channels_last=False),
    "torch_compiled_channels_last": _variant(
        "PyTorch, compiled, channels last", compiled=True, channels_last=True
    ),
}
