"""The network that a Model works on: a copy that shares nothing with the user's module."""

from __future__ import annotations

import hashlib
from typing import Literal

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, WeightsError
from pellucid.models.stems import replace_stems
from pellucid.models.taps import copy_without_taps

__all__ = ["Layout", "cast_copy", "hash_of_weights", "private_copy"]

Layout = Literal["channels_last", "contiguous"]  # the order of a map's numbers in memory; not of its axes


def private_copy(module: nn.Module, name: str) -> nn.Module:
    """A frozen float32 copy in evaluation mode; of a network wrapped for several devices, the network itself.

    Raises:
        ModelError: the module cannot be copied.
        WeightsError: a weight is NaN or infinite.
    """
    while isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        module = module.module
    try:
        private = copy_without_taps(module)
    except Exception as error:  # a user's __deepcopy__ may raise anything
        raise ModelError(f"{name} cannot be copied ({error}); build it in a factory: FILE.py:factory") from error
    private.float().eval().requires_grad_(False)
    parameters = dict(private.named_parameters())
    for key, tensor in _tensors(private).items():
        # A buffer may hold infinities by design: attention masks do.
        if tensor.is_floating_point() and (tensor.isnan().any() or (key in parameters and tensor.isinf().any())):
            raise WeightsError(f"{name} has NaN or infinite values in {key!r}; nothing true can be seen through it")
    return private


def cast_copy(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype, layout: Layout) -> nn.Module:
    """A copy on a device, its convolution weights in a memory layout.

    In half precision convolution and linear weights are cast once here, instead of by autocast at every step; the rest
    stays float32.
    """
    copied = copy_without_taps(module)
    if device is not None:
        copied.to(device)
    copied.to(torch.float64 if dtype == torch.float64 else torch.float32)
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    for part in copied.modules():
        if dtype in (torch.bfloat16, torch.float16) and isinstance(part, (nn.Conv2d, nn.Linear)):
            part.to(dtype)
        if isinstance(part, nn.Conv2d):
            part.to(memory_format=memory_format)
    on_cpu = all(weight.device.type == "cpu" for weight in copied.parameters())
    if on_cpu and layout == "channels_last" and dtype != torch.float64:
        replace_stems(copied)
    return copied


def hash_of_weights(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers, as 16 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(module).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, without what else a state may hold."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
