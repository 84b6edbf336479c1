"""Jacobians of responses by what was optimised: one forward, and as many backward passes as there are units, in chunks.

The picture goes through the network as a small batch of copies, once; then each backward pass takes another unit back
through every copy. That is faster than vectorizing the backward pass of one picture (`is_grads_batched`), whose
gradients lose the memory layout that convolutions are fast in: 36 instead of 70 ms a unit for GoogLeNet, 1.7 instead
of 2.6 ms for a ResNet-20 (`benchmarks/inverse/README.md`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.inverse.linear_algebra import gram

__all__ = ["Linearization", "chunk_of", "jacobian_rows", "linearized"]

Function = Callable[[Tensor], Tensor]

_CHUNK_PIXELS = 4 * 224 * 224  # that go back at once: on a CPU more are no faster, and from 16 of 224 px on slower
_MOST_COPIES = 64
_MEMORY_SHARE = 0.5  # of what is free: beyond it a Jacobian lives in a file


@dataclass(frozen=True)
class Linearization:
    """A picture's response [n] and the Jacobian J of it [n, m], both the mean over some places around the picture.

    `spread` [n, n] says how uncertain a mean of several is: the expected E E^T of its error E, from how the pairs of
    places differ; None where there is one pair, or one place. `bytes_on_disk` is the size of the files that Jacobians
    live in, 0 where memory holds them.
    """

    response: Float[Tensor, " n"]
    jacobian: Float[Tensor, "n m"]
    spread: Float[Tensor, "n n"] | None = None
    bytes_on_disk: int = 0


def chunk_of(num_pixels: int, num_images: int = 1) -> int:
    """How many units go back at once, for pictures of `num_pixels`."""
    return max(1, min(_MOST_COPIES, _CHUNK_PIXELS // (num_pixels * num_images)))


def linearized(
    function: Function, flat: Float[Tensor, "b m"], shifts: Sequence[Float[Tensor, "b m"] | None], num_pixels: int
) -> list[Linearization]:
    """The responses and Jacobians of `function`, `[b, m] -> [b, n]`, at parameters, as the mean over shifts of them.

    None among the shifts is the place itself; two that follow each other count as one draw, an antithetic pair. Row i
    of the result must depend on row i of the argument alone. What memory does not hold is kept in a temporary file,
    gone with the last that uses it.
    """
    pairs = [shifts[first : first + 2] for first in range(0, len(shifts), 2)]
    chunk = chunk_of(num_pixels, len(flat))
    response, mean, on_disk = _mean_over(function, flat, pairs[0], chunk, None)
    if len(pairs) == 1:
        return [Linearization(*one, None, on_disk) for one in zip(response.cpu(), mean, strict=True)]
    squares = [gram(one) for one in mean]
    mean /= len(pairs)
    again: Tensor | None = None
    for pair in pairs[1:]:
        more, again, more_on_disk = _mean_over(function, flat, pair, chunk, again)
        response, on_disk = response + more, on_disk + more_on_disk
        for row, one in enumerate(again):
            squares[row] += gram(one)
            mean[row].add_(one, alpha=1 / len(pairs))
    spreads = [(square / len(pairs) - gram(one)) / (len(pairs) - 1) for square, one in zip(squares, mean, strict=True)]
    responses = (response / len(pairs)).cpu()
    return [Linearization(*one, on_disk) for one in zip(responses, mean, spreads, strict=True)]


def _mean_over(
    function: Function, flat: Tensor, shifts: Sequence[Tensor | None], chunk: int, into: Tensor | None
) -> tuple[Tensor, Tensor, int]:
    """The mean response [b, n] and Jacobian [b, n, m] over a few shifts, and the bytes newly taken on the disk."""
    jacobian, on_disk = into, 0
    if jacobian is not None:
        jacobian.zero_()
    total: Tensor | None = None
    for shift in shifts:
        response: Tensor | None = None
        for units, response, rows in jacobian_rows(function, flat if shift is None else flat + shift, chunk):
            if jacobian is None:
                jacobian, on_disk = _zeros((len(flat), response.shape[1], flat.shape[1]), rows.dtype)
            jacobian[:, units].add_(rows.to("cpu"), alpha=1 / len(shifts))
        assert response is not None
        total = response.double() / len(shifts) if total is None else total + response.double() / len(shifts)
    assert total is not None
    assert jacobian is not None
    return total, jacobian, on_disk


def jacobian_rows(
    function: Function, flat: Float[Tensor, "b m"], chunk: int
) -> Iterator[tuple[slice, Float[Tensor, "b n"], Float[Tensor, "b c m"]]]:
    """The Jacobians of `function`, a chunk of units after the other: which units, the response, their rows.

    One backward pass serves `chunk` units of all pictures, since no picture's response depends on another's parameters.
    """
    copies = flat.detach().repeat_interleave(chunk, 0).requires_grad_()
    with torch.enable_grad():
        response = function(copies)
    num_units = response.shape[1]
    for first in range(0, num_units, chunk):
        units = slice(first, min(first + chunk, num_units))
        rows = _backward(response, copies, units, chunk, is_last=units.stop == num_units)
        yield units, response.detach()[::chunk], rows


def _backward(response: Tensor, copies: Tensor, units: slice, chunk: int, *, is_last: bool) -> Tensor:
    """The rows [b, c, m] of some units, one in each copy of a picture."""
    size, shape = units.stop - units.start, (-1, chunk, copies.shape[1])
    if not response.requires_grad:
        return torch.zeros_like(copies).view(shape)[:, :size]
    picked = torch.zeros_like(response).view(-1, chunk, response.shape[1])
    picked[:, torch.arange(size), torch.arange(units.start, units.stop)] = 1
    (rows,) = torch.autograd.grad(
        response, copies, picked.flatten(0, 1), retain_graph=not is_last, allow_unused=True, materialize_grads=True
    )
    return rows.view(shape)[:, :size]


def _zeros(shape: tuple[int, int, int], dtype: torch.dtype) -> tuple[Tensor, int]:
    """Zeros in memory, or in a file where memory has no room for them: the tensor, and the bytes in the file."""
    num_bytes = torch.tensor([], dtype=dtype).element_size() * shape[0] * shape[1] * shape[2]
    if num_bytes <= _MEMORY_SHARE * psutil.virtual_memory().available:
        return torch.zeros(shape, dtype=dtype), 0
    numbers = np.dtype(str(dtype).removeprefix("torch."))
    with tempfile.TemporaryFile(prefix="pellucid-jacobian-") as file:  # the map keeps it open; without a name it is
        mapped = np.memmap(file, numbers, "w+", shape=shape)  # gone with the process, however that ends
    return torch.from_numpy(mapped), num_bytes
