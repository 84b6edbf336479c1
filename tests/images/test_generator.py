"""Generators: pictures from latents, of any network that keeps to what is declared of it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from skimage import data
from torch import Tensor, nn

from pellucid.draws import Draws
from pellucid.errors import ImageError, WeightsError
from pellucid.images.build import build_image
from pellucid.images.decoder import Decoder, load_decoder
from pellucid.images.fitting import fitted
from pellucid.images.generator import Generator
from pellucid.images.sidecars import write_sidecar


class Linear(nn.Module):
    """Latents (u, v) -> red = u, green = v, blue = u + v, times `gain`, everywhere on 2 x 3 pixels."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.mix = nn.Linear(2, 3, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(gain * torch.tensor([[1.0, 0], [0, 1], [1, 1]]))

    def forward(self, latents: Tensor) -> Tensor:
        return self.mix(latents)[:, :, None, None].expand(-1, -1, 2, 3)


class Bounded(Linear):
    """The same through tanh: values between -1 and 1."""

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(super().forward(latents))


class Mixing(Bounded):
    """Every picture sees the others, as with the statistics of a batch."""

    def forward(self, latents: Tensor) -> Tensor:
        return super().forward(latents - latents.mean(0))


class Upside(nn.Module):
    """Latents [b, 1, h, w] -> three channels of them."""

    def forward(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(latents).expand(-1, 3, -1, -1)


def bounded(num_images: int = 2, module: nn.Module | None = None, **options: object) -> Generator:
    stated = {"latent_shape": (2,), "output_range": (-1.0, 1.0), **options}
    size = stated.pop("size", (2, 3))
    return Generator(num_images, size, module or Bounded(), **stated)  # type: ignore[arg-type]


def test_a_picture_is_the_generators_in_the_range_of_pictures() -> None:
    image = bounded()
    with torch.no_grad():
        image.latent.copy_(torch.tensor([[0.5, -0.25], [0.0, 2.0]]))
    wanted = (1 + torch.tanh(torch.tensor([[0.5, -0.25, 0.25], [0.0, 2.0, 2.0]]))) / 2
    assert torch.allclose(image(), wanted[:, :, None, None].expand(2, 3, 2, 3))


def test_the_gradient_is_that_of_the_linear_map() -> None:
    image = bounded(1, Linear(), output_range=(-100.0, 100.0))
    image().sum().backward()
    assert image.latent.grad is not None
    # Red and blue read u, green and blue v; six pixels; the range of 200 becomes 1.
    assert torch.allclose(image.latent.grad, torch.full((1, 2), 2 * 6 / 200))


def test_only_latents_are_optimised_and_the_module_is_left_alone() -> None:
    module = Bounded().train()
    before = copy.deepcopy(module.state_dict())
    image = bounded(2, module)
    assert [tuple(parameter.shape) for parameter in image.parameters()] == [(2, 2)]
    image.reset_rows([0, 1], Draws.from_keys("ab"))
    image().sum().backward()
    assert module.training
    assert module.mix.weight.requires_grad
    assert module.mix.weight.grad is None
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    shown = image().detach()
    with torch.no_grad():
        module.mix.weight.zero_()
    assert torch.equal(image(), shown), "a change to the module does not show"


def test_the_generator_moves_with_the_image() -> None:
    image = bounded(1).to(torch.float64)
    with torch.no_grad():
        image.latent.copy_(torch.tensor([[0.1, 0.7]], dtype=torch.float64))
    wanted = (1 + torch.tanh(torch.tensor([0.1, 0.7, 0.8], dtype=torch.float64))) / 2
    assert torch.allclose(image()[0, :, 0, 0], wanted, atol=1e-12, rtol=0), "computed in float64, too"
    assert bounded().to("meta")().device.type == "meta"


def test_the_prior_is_the_normal_density_of_each_row() -> None:
    image = bounded()
    with torch.no_grad():
        image.latent.copy_(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    assert torch.allclose(image.prior(), torch.tensor([-12.5, -0.5]))
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(image.latent).sum(1)
    assert torch.allclose(image.prior() - image.prior()[0], normal - normal[0])
    (gradient,) = torch.autograd.grad(image.prior().sum(), [image.latent])
    assert torch.equal(gradient, -image.latent)


def test_latents_may_be_maps_and_start_normal() -> None:
    image = Generator(64, (6, 7), Upside(), latent_shape=(1, 6, 7), sd=0.5)
    image.reset_rows(range(64), Draws.from_keys([str(row) for row in range(64)]))
    assert image().shape == (64, 3, 6, 7)
    assert image.latent.std().item() == pytest.approx(0.5, rel=0.05)  # 2,688 numbers: 1.4 %


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_shape": (3,)}, r"^latent_shape: the generator does not take \[2, 3\]"),
        ({"latent_shape": (2, 2)}, r"^latent_shape: one image's latents are \(k,\) or \(k, h, w\), not \(2, 2\)"),
        ({"channels": 1}, r"^channels: the generator makes 3, not 1"),
        ({"size": (3, 2)}, r"^size: the generator makes 2 x 3 px, not 3 x 2"),
        (
            {"output_range": (0.0, 1.0)},
            r"^output_range: the generator makes values from -0\.\d+ to 0\.\d+, not 0.0 to 1",
        ),
        ({"output_range": (1.0, 1.0)}, r"^output_range: a low and a higher value"),
        ({"module": Linear(float("nan"))}, r"^output_range: the generator makes values from nan to nan"),
        ({"sd": -1.0}, r"^sd: the spread of the start must be 0 or more"),
        ({"module": nn.Linear(2, 5)}, r"makes \[2, 5\] of latents \[2, 2\], not images \[2, c, h, w\]"),
        ({"module": nn.LSTM(2, 5)}, r"makes tuple of latents \[2, 2\], not images"),
        ({"module": Mixing()}, r"pictures depend on one another"),
    ],
)
def test_a_generator_that_does_not_fit_is_refused_by_the_field(options: dict[str, object], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        bounded(**options)  # type: ignore[arg-type]


def test_a_generator_has_one_size() -> None:
    with pytest.raises(ImageError, match="makes pictures of 2 x 3 px and of no other size"):
        bounded().resized((4, 6))
    image = bounded()
    image.reset_rows([0, 1], Draws.from_keys("ab"))
    assert torch.equal(image.resized((2, 3))(), image())


def test_a_picture_of_the_generator_comes_back_and_of_another_the_nearest() -> None:
    image = bounded(3)
    image.reset_rows([0, 1, 2], Draws.from_keys("abc"))
    wanted, untouched = bounded()._made(torch.tensor([[0.5, -0.25], [0.1, 0.7]])), image()[1].detach()
    image.set_rows([2, 0], (wanted + 1) / 2)
    assert torch.allclose(image.latent[[2, 0]], torch.tensor([[0.5, -0.25], [0.1, 0.7]]), atol=1e-3)
    assert torch.equal(image()[1], untouched)
    grey = torch.full((1, 3, 2, 3), 0.5)
    grey[:, 0] = 0.6  # red alone, which comes with as much blue: between, u and v share the error
    image.set_rows([1], grey)
    around = [bounded(1) for _ in range(4)]
    for other, (du, dv) in zip(around, [(0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)], strict=True):
        other.set_latents([0], image.latent[1:2] + torch.tensor([[du, dv]]))
    errors = [
        float((one - grey[0]).square().sum())
        for one in (image().detach()[1], *(other().detach()[0] for other in around))
    ]
    assert min(errors) == errors[0], "no step to the side is nearer"


def test_latents_may_be_given() -> None:
    image = bounded(2)
    image.set_latents([1], torch.tensor([[0.5, -0.25]]))
    assert image.latent.tolist() == [[0.0, 0.0], [0.5, -0.25]]
    for wrong, message in (
        (torch.zeros(1, 3), r"latents: 1 rows start from \[1 or 1, 2\], not \[1, 3\]"),
        (torch.full((1, 2), float("nan")), "latents: they hold NaN"),
    ):
        with pytest.raises(ImageError, match=message):
            image.set_latents([0], wrong)


def test_the_decoder_that_comes_along_makes_varied_pictures_and_finds_a_photos_coarse_shape() -> None:
    image = build_image("generator", 4, (64, 64))
    image.reset_rows(range(4), Draws.from_keys("abcd"))
    pictures = image().detach()
    assert pictures.std(0).mean() > 0.05, "other latents, other pictures"
    assert pictures.flatten(1).std(1).min() > 0.03, "none is flat"
    cat = fitted(torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None].float() / 255, (64, 64))
    before = (pictures[0] - cat[0]).square().mean().sqrt()
    image.set_rows([0], cat)
    assert (image()[0] - cat[0]).square().mean().sqrt() < 0.6 * before


def test_the_decoder_is_a_generator_and_its_weights_come_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    decoder = Decoder(16)
    decoder(torch.randn(8, 16))  # statistics that are not those of an untouched network
    write_sidecar(tmp_path / "decoder.safetensors", decoder.state_dict(), {})
    again = load_decoder(tmp_path / "decoder.safetensors")
    image = Generator(2, (64, 64), again, latent_shape=(16,))
    image.reset_rows([0, 1], Draws.from_keys("ab"))
    assert torch.allclose(image(), decoder.eval()(image.latent), atol=1e-6)
    write_sidecar(tmp_path / "other.safetensors", {"weight": torch.zeros(2)}, {})
    with pytest.raises(WeightsError, match="does not hold a decoder's weights"):
        load_decoder(tmp_path / "other.safetensors")
    part = {name: value for name, value in decoder.state_dict().items() if name != "last.bias"}
    write_sidecar(tmp_path / "part.safetensors", part, {})
    with pytest.raises(WeightsError, match=r"does not fit the decoder: 'last\.bias'"):
        load_decoder(tmp_path / "part.safetensors")
