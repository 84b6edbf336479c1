"""Images from a learned prior: what is optimised is the input of a network that makes pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.image import Image

__all__ = ["Generator"]

_TOLERANCE = 1e-3  # of the output range: what half precision and another batch size may change
_DESCENT, _RATE = 200, 0.1  # steps of Adam from a picture to its latents, and their size, falling to zero


class Generator(Image):
    """Pictures x = G(w) of any network G from latents to images: w is optimised, G is not.

    `latent` [b, *latent_shape] is what is optimised: [b, k] or [b, k, h, w]. G gives [b, channels, *size], each picture
    from its own latents only, with values in `output_range`; the image's are in [0, 1]. A start is normal with spread
    `sd`: 1 for a generator trained on standard normal latents.

    G is copied, its copy set to evaluate and frozen: the module given is never changed, nor does a change to it show.
    It is tried once on two latents, and refused when it does not keep to what is declared.

    What a generator makes looks real whether or not the objective asks for it: say so beside such a picture. `prior`
    keeps latents where G was trained. There is one size: another one is an error. A start is latents (`set_latents`),
    or a picture (`set_rows`): then the latents are those whose picture comes nearest to it, as far as G can make such a
    picture at all.

    Raises:
        ImageError: G cannot be copied; or one of `latent_shape`, `channels`, `size`, `output_range` or `sd` does not
            fit it (the message begins with that name); or its pictures depend on one another.

    Source: Nguyen et al., "Synthesizing the preferred inputs for neurons in neural networks via deep generator
    networks", NeurIPS 2016.
    """

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        module: nn.Module,
        *,
        latent_shape: Sequence[int],
        channels: int = 3,
        output_range: tuple[float, float] = (0.0, 1.0),
        sd: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(num_images, size, channels)
        if len(latent_shape) not in (1, 3) or min(latent_shape) < 1:
            raise ImageError(f"latent_shape: one image's latents are (k,) or (k, h, w), not {tuple(latent_shape)}")
        if not output_range[0] < output_range[1]:
            raise ImageError(f"output_range: a low and a higher value, not {output_range}")
        if not sd >= 0:
            raise ImageError(f"sd: the spread of the start must be 0 or more, not {sd}")
        try:
            frozen = copy.deepcopy(module).eval().requires_grad_(False)
        except (RuntimeError, TypeError) as error:
            raise ImageError(f"the generator cannot be copied: {error}") from error
        self._frozen = (frozen,)  # in a tuple: not a submodule, whose parameters would be optimised too
        self._precision = next((p.dtype for p in frozen.parameters() if p.is_floating_point()), dtype)
        self.output_range = output_range
        self.sd = sd
        place = next((p.device for p in frozen.parameters()), torch.device("cpu"))
        self.latent = nn.Parameter(torch.zeros(num_images, *latent_shape, dtype=dtype, device=place))
        self._check_output()

    def forward(self) -> Float[Tensor, "b c h w"]:
        low, high = self.output_range
        pictures: Tensor = (self._made(self.latent) - low) / (high - low)
        return pictures

    def prior(self) -> Float[Tensor, " b"]:
        """The logarithm of the density of each image's latents under a standard normal one, but for a constant.

        -1/2 sum w^2: to be added to a score, with a weight.
        """
        return -0.5 * self.latent.square().flatten(1).sum(1)

    @torch.no_grad()
    def reset_rows(self, rows: Sequence[int], draws: Draws) -> None:
        places = self._checked_rows(rows, draws)
        if len(rows):
            self.latent[places] = self._start(draws.to(places.device))

    @torch.no_grad()
    def set_latents(self, rows: Sequence[int], latents: Float[Tensor, "n ..."]) -> None:
        """Start these rows from latents: as many as rows, or one for all.

        Raises:
            ImageError: a row does not exist, or these are not its latents.
        """
        places = self._checked_rows(rows)
        if latents.shape[1:] != self.latent.shape[1:] or len(latents) not in (1, len(rows)):
            raise ImageError(
                f"latents: {len(rows)} rows start from [{len(rows)} or 1, {str(list(self.latent.shape[1:]))[1:]}, "
                f"not {list(latents.shape)}"
            )
        if not torch.isfinite(latents).all():
            raise ImageError("latents: they hold NaN or infinite values")
        self.latent[places] = latents.to(self.latent).expand(len(rows), *latents.shape[1:])

    def set_rows(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> None:
        """Start these rows from the pictures of G that come nearest to given ones, found by descent from latents of 0.

        The squared error falls by 200 steps of Adam. What G cannot make, it does not become.

        Source: Zhu et al., "Generative Visual Manipulation on the Natural Image Manifold", ECCV 2016 (projection).
        """
        self._checked_rows(rows)
        wanted = self._checked_pictures(rows, images).detach()
        latents = torch.zeros(len(wanted), *self.latent.shape[1:], dtype=self.latent.dtype, device=self.latent.device)
        latents.requires_grad_()
        adam = torch.optim.Adam([latents], lr=_RATE)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, _DESCENT)
        low, high = self.output_range
        for _ in range(_DESCENT):
            with torch.enable_grad():
                error = ((self._made(latents) - low) / (high - low) - wanted).square().sum()
            (latents.grad,) = torch.autograd.grad(error, [latents])
            adam.step()
            falling.step()
        self.set_latents(rows, latents.detach())

    @torch.no_grad()
    def resized(self, size: tuple[int, int]) -> Image:
        if tuple(size) == tuple(self.size):
            return copy.deepcopy(self)
        raise ImageError(
            f"a generator makes pictures of {self.size[0]} x {self.size[1]} px and of no other size; "
            "resize them by a transform"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Generator:
        """Move the generator along when the image is moved to another device."""
        self._frozen[0]._apply(fn)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._precision = next(
            (p.dtype for p in self._frozen[0].parameters() if p.is_floating_point()), self._precision
        )
        return self

    def _start(self, draws: Draws) -> Tensor:
        return (draws.child("image start").normal(*self.latent.shape[1:]) * self.sd).to(self.latent.dtype)

    def _made(self, latent: Tensor) -> Any:
        """What the network makes of latents: whatever that is."""
        made = self._frozen[0](latent.to(self._precision))
        return made.to(latent.dtype) if isinstance(made, Tensor) else made

    @torch.no_grad()
    def _check_output(self) -> None:
        latents = self._start(Draws.from_keys(["generator 0", "generator 1"], self.latent.device))
        try:
            both, alone = self._made(latents), self._made(latents[:1])
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ImageError(f"latent_shape: the generator does not take {list(latents.shape)}: {error}") from error
        if not isinstance(both, Tensor) or both.ndim != 4 or len(both) != 2:
            given = list(both.shape) if isinstance(both, Tensor) else type(both).__name__
            raise ImageError(f"the generator makes {given} of latents {list(latents.shape)}, not images [2, c, h, w]")
        if both.shape[1] != self.channels:
            raise ImageError(f"channels: the generator makes {both.shape[1]}, not {self.channels}")
        if tuple(both.shape[2:]) != tuple(self.size):
            raise ImageError(
                f"size: the generator makes {both.shape[2]} x {both.shape[3]} px, not {self.size[0]} x {self.size[1]}"
            )
        low, high = self.output_range
        margin = _TOLERANCE * (high - low)
        least, most = both.min().item(), both.max().item()
        if not (low - margin <= least and most <= high + margin):  # NaN fails too
            raise ImageError(
                f"output_range: the generator makes values from {least:.3g} to {most:.3g}, not {low} to {high}"
            )
        if not (both[:1] - alone).abs().max() <= margin:
            raise ImageError(
                "the generator's pictures depend on one another; give one that makes each from its latents"
            )
