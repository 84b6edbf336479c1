"""Strided first convolutions with a faster gradient towards the picture.

A gradient with respect to a few channels is what libraries are slowest at: training never asks a first convolution for
it, feature visualization asks at every step. With stride s it is s x s small convolutions, one for each place of a
pixel in its s x s cell; here one convolution without stride whose s*s*c channels are then shuffled into place.
Times are in `docs/design/speed.md`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.quick_calls import signature_known

__all__ = ["StridedStem", "replace_stems"]

_MOST_CHANNELS = 4  # beyond these the library's own gradient is as good


class StridedStem(nn.Conv2d):
    """A frozen convolution of a picture, whose gradient is a convolution without stride."""

    _phases: Tensor

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> StridedStem:
        """The same function; shares the weights."""
        stem: StridedStem = cls.__new__(cls)
        stem.__dict__ = dict(convolution.__dict__)
        stem._parameters = dict(convolution._parameters)
        stem._buffers = dict(convolution._buffers)
        phases = _phases(convolution.weight.detach(), convolution.stride[0])
        stem.register_buffer("_phases", phases.contiguous(memory_format=torch.channels_last), persistent=False)
        return stem

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """What `nn.Conv2d` gives."""
        if not input.requires_grad:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            images = input.to(self.weight.dtype)
            result: Tensor = _Strided.apply(images, self.weight, self.bias, self._phases, self.stride, self.padding)
        return result


def replace_stems(module: nn.Module) -> int:
    """Replace the strided convolutions of few channels in `module`, which must be frozen; says how many."""
    # A network that is itself one convolution has no name within itself.
    found = [(name, part) for name, part in module.named_modules() if name and _is_stem(part)]
    for name, part in found:
        parent, _, child = name.rpartition(".")
        assert isinstance(part, nn.Conv2d)
        setattr(module.get_submodule(parent), child, StridedStem.of(part))
    return len(found)


def _is_stem(part: nn.Module) -> bool:
    return (
        type(part) is nn.Conv2d
        and part.in_channels <= _MOST_CHANNELS
        and part.groups == 1
        and part.stride[0] == part.stride[1] > 1
        and tuple(part.dilation) == (1, 1)
        and part.padding_mode == "zeros"
        and not isinstance(part.padding, str)
        and not part.weight.requires_grad
    )


def _phases(weight: Float[Tensor, "o c k l"], stride: int) -> Float[Tensor, "p o t u"]:
    """Filters [c*s*s, o, ceil(k/s), ceil(l/s)] that read off the gradient of each place in an s x s cell.

    A pixel at s*q + r (padding counted) was seen through the taps r + s*t by the outputs q - t: flipped, that is a
    convolution over the outputs, one for each r.
    """
    outputs, channels, *kernel = weight.shape
    rows, columns = (-(-length // stride) for length in kernel)
    padded = F.pad(weight, (0, columns * stride - kernel[1], 0, rows * stride - kernel[0]))
    split = padded.reshape(outputs, channels, rows, stride, columns, stride).flip(2, 4)
    return split.permute(1, 3, 5, 0, 2, 4).reshape(channels * stride * stride, outputs, rows, columns)


@signature_known
class _Strided(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        phases: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        return F.conv2d(images, weight, bias, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep the filters of the gradient and the shape of the picture; the picture itself is not needed."""
        images, _, _, phases, stride, padding = inputs
        ctx.save_for_backward(phases)
        ctx.stride, ctx.padding, ctx.size = stride[0], padding, images.shape[2:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        (phases,) = ctx.saved_tensors
        taps = phases.shape[2:]
        cells = F.conv2d(gradient, phases, padding=(taps[0] - 1, taps[1] - 1))
        pixels = F.pixel_shuffle(cells, ctx.stride)
        (top, left), (height, width) = ctx.padding, ctx.size
        missing = max(0, left + width - pixels.shape[3]), max(0, top + height - pixels.shape[2])
        pixels = F.pad(pixels, (0, missing[0], 0, missing[1]))  # pixels that no output has seen
        return pixels[:, :, top : top + height, left : left + width], None, None, None, None, None
