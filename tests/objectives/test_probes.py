"""Laws of probes: the readout by hand, autoencoder latents, the registry, files, and targets that name them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.model import Model
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.models.targets import Target
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.objective import per_image
from pellucid.objectives.probes import find_probe, linear_probe, probe, read_probe, save_probe

GENERATOR = torch.Generator().manual_seed(0)
Z = torch.randn(2, 3, 2, 2, generator=GENERATOR)
ACTS = Activations({Tap("l"): Z}, {"l": Layer("l", "ReLU", "bchw", (3, 2, 2), 3)}, torch.zeros(2, 3, 2, 2))
W = torch.randn(5, 3, generator=GENERATOR)
CENTER = torch.randn(3, generator=GENERATOR)
IDENTITY = nn.Conv2d(3, 3, 1, bias=False)
with torch.no_grad():
    IDENTITY.weight.copy_(torch.eye(3)[:, :, None, None])
COLORS = Model(nn.Sequential(IDENTITY), size=4, name="colors")  # what it sees are the colours


def test_a_readout_by_hand() -> None:
    by_hand = [
        sum(2 * z[0, y, x] - z[1, y, x] + 0.5 * z[2, y, x] for y in (0, 1) for x in (0, 1)).item() / 4 + 7 for z in Z
    ]
    eyes = linear_probe("l", [2.0, -1.0, 0.5], bias=7)
    assert probe(eyes)(ACTS).tolist() == pytest.approx(by_hand, rel=1e-5)
    at = probe(eyes, position=Position.cell(1, 0))(ACTS)
    assert at[1].item() == pytest.approx((2 * Z[1, 0] - Z[1, 1] + 0.5 * Z[1, 2])[1, 0].item() + 7, rel=1e-5)


def test_latents_of_an_autoencoder() -> None:
    dictionary = linear_probe("l", W, center=CENTER, bias=torch.arange(5.0))
    by_hand = torch.einsum("kc,bchw->bk", W, Z - CENTER[:, None, None]) / 4 + torch.arange(5.0)
    for latent in range(5):
        assert torch.allclose(probe(dictionary, latent)(ACTS), by_hand[:, latent], atol=1e-5)
    mixed = per_image([probe(dictionary, 3), probe(dictionary, 1)])(ACTS)
    assert torch.allclose(mixed, torch.stack([by_hand[0, 3], by_hand[1, 1]]), atol=1e-5)
    # A probe was fitted behind the rectifier, and is read there even when it is minimised.
    assert (-probe(dictionary, 3)).taps == (Tap("l"),)


def test_targets_name_registered_probes_and_the_gradient_is_the_weights() -> None:
    registered = {"not red": linear_probe("0", [-1.0, 0.5, 0.5], bias=1.0), "sae": linear_probe("0", W)}
    images = torch.rand(2, 3, 4, 4, generator=GENERATOR).requires_grad_()
    objective = objective_of(Target.parse("2*probe:not red - probe:sae#4"), COLORS, probes=registered)
    scores = objective(COLORS.tap(images, objective.taps))
    means = images.mean((2, 3))
    by_hand = 2 * (means @ torch.tensor([-1.0, 0.5, 0.5]) + 1) - means @ W[4]
    assert torch.allclose(scores, by_hand, atol=1e-5)
    (gradient,) = torch.autograd.grad(scores[0], images)
    assert torch.allclose(gradient[0].sum((1, 2)), 2 * torch.tensor([-1.0, 0.5, 0.5]) - W[4], atol=1e-5)
    assert objective == objective_of(Target.parse("2*probe:not red - probe:sae#4"), COLORS, probes=dict(registered))


def test_probes_from_files(tmp_path: Path) -> None:
    dictionary = linear_probe("0", W, center=CENTER, bias=torch.arange(5.0))
    save_probe(dictionary, tmp_path / "sae.safetensors")
    assert read_probe(tmp_path / "sae.safetensors") == dictionary
    parts = {"weight": W, "center": CENTER, "bias": torch.arange(5.0)}
    save_file(parts, tmp_path / "parts.safetensors", metadata={"layer": "0"})
    assert read_probe(tmp_path / "parts.safetensors") == dictionary
    save_file({"weight": W[0]}, tmp_path / "one.safetensors", metadata={"layer": "0"})
    for text, expected in (
        (f"probe:{tmp_path}/sae.safetensors#2", probe(dictionary, 2)),
        (f"probe:{tmp_path}/one.safetensors", probe(linear_probe("0", W[0]))),
    ):
        assert objective_of(Target.parse(text), COLORS) == expected


def test_what_is_no_probe_is_an_error(tmp_path: Path) -> None:
    save_file({"weight": W}, tmp_path / "nowhere.safetensors")
    save_file({"decoder": W}, tmp_path / "odd.safetensors", metadata={"layer": "0"})
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    registered = {"eyes": linear_probe("0", [1.0, 0, 0]), "sae": linear_probe("0", W)}
    for name, message in (
        ("eye", r"no probe 'eye' is registered\. Did you mean 'eyes'\? A file's name ends in \.safetensors"),
        ("xyz", r"no probe 'xyz' is registered\. There are: eyes, sae\."),
        ("sae", r"probe 'sae' has 5 latents; pick one, as in sae#0"),
        ("sae#5", "latent 5 is out of range: the probe of 0 has 5, 0 to 4"),
        (f"{tmp_path}/gone.safetensors", "cannot read the probe .*gone"),
        (f"{tmp_path}/broken.safetensors", "cannot read the probe .*broken"),
        (f"{tmp_path}/nowhere.safetensors", "is no probe: it needs a tensor 'weight'"),
        (f"{tmp_path}/odd.safetensors", "is no probe: it needs a tensor 'weight'"),
    ):
        with pytest.raises(TargetError, match=message):
            objective_of(Target.parse(f'probe:"{name}"'), COLORS, probes=registered)
    with pytest.raises(TargetError, match=r"no probe 'eyes' is registered\. A file's name"):
        find_probe("eyes", {})
    with pytest.raises(TargetError, match="probe 'wide' has 4 weights, but 0 has 3 channels"):
        objective_of(Target.parse("probe:wide"), COLORS, probes={"wide": linear_probe("0", np.ones(4))})
    with pytest.raises(TargetError, match=r"a probe of l has 3 weights, not \[4\]"):
        probe(linear_probe("l", np.ones(4)))(ACTS)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"weight": np.ones((2, 2, 2))}, r"weights \[c\] or \[k, c\] and as many biases, not \[2, 2, 2\], \[\]"),
        ({"weight": np.ones((2, 3)), "bias": np.ones(3)}, r"not \[2, 3\], \[3\]"),
        ({"weight": np.ones(3), "center": np.ones(2)}, r"a probe of 3 channels has no center of shape \[2\]"),
        ({"weight": [1.0, float("nan")]}, "are not all finite"),
    ],
)
def test_bad_parts_are_errors(parts: dict[str, object], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        linear_probe("l", **parts)  # type: ignore[arg-type]
