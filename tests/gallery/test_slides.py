"""What the slides' exhibits rest on: their measures tell what they say, and an exhibit comes out whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pellucid as pl
from gallery import facets, priors
from gallery.grid import without_strides
from gallery.hall import Hall
from gallery.likeness import of_groups
from gallery.spectra import contrast, lattice_lines, mean_power, phase_spread
from pellucid.images.decoder import Decoder
from pellucid.images.sidecars import write_sidecar


@pytest.fixture(scope="module")
def hall() -> Hall:
    return Hall(pl.load("default"), thrift=64)


def noise(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_a_grid_stands_out_in_the_spectrum_and_noise_does_not() -> None:
    grid = torch.zeros(64, 64)
    grid[::8, ::8] = 4
    assert lattice_lines(mean_power(noise(32)), 8) == pytest.approx(1, abs=0.1)
    assert lattice_lines(mean_power(noise(32) + grid), 8) > 2
    assert lattice_lines(mean_power(noise(32) + grid.roll((3, 5), (0, 1))), 8) > 2


def test_energy_that_repeats_is_told_from_energy_that_does_not() -> None:
    louder = torch.ones(64, 64)
    louder[::8] = 3
    assert phase_spread(noise(32), 8) < 0.1
    assert phase_spread(noise(32) * louder, 8) == pytest.approx(7**0.5 / 2, rel=0.1)  # 9 and seven 1


def test_contrast_keeps_to_its_band() -> None:
    column = torch.arange(64.0)
    wave = 0.5 + 0.1 * torch.sin(2 * torch.pi * column * 20 / 64).expand(1, 1, 64, 64)
    assert contrast(wave).item() == pytest.approx(0.1 / 2**0.5, rel=1e-3)
    assert contrast(wave, 1 / 16, 1 / 4).item() == pytest.approx(0, abs=1e-6)


def test_likeness_is_that_of_pairs_within_a_group() -> None:
    cosines = torch.eye(4)
    cosines[0, 1] = cosines[1, 0] = 0.5
    cosines[0, 2] = cosines[2, 0] = 9
    assert of_groups(cosines, 2).tolist() == [0.5, 0]


def test_without_strides_a_network_has_the_same_weights_and_maps_of_full_size(hall: Hall) -> None:
    whole = without_strides(hall.model)
    assert hall.model.layer("mixed4a").map_size == (8, 8)
    assert whole.layer("mixed4a").map_size == (64, 64)
    assert whole.weights_hash == hall.model.weights_hash


def test_a_strip_goes_from_the_least_to_the_most_exciting_examples(hall: Hall) -> None:
    shown = facets.facets(hall)
    (panels,) = shown.tables
    assert len(panels.rows) == 6
    for _, _, minimum, below, above, maximum, _ in panels.rows:
        assert minimum < below < 0 < above < maximum
    assert len(shown.claims) == 2
    assert shown.pictures[0].image.width > 700


def test_a_learned_prior_is_shown_where_there_is_a_decoder_and_said_to_be_missing_where_not(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priors, "DECODER", tmp_path / "decoder.safetensors")
    missing = priors.prior(hall)
    assert not missing.claims
    assert "training/decoder.py" in missing.text
    torch.manual_seed(0)
    write_sidecar(tmp_path / "decoder.safetensors", dict(Decoder(8).state_dict()), {})
    shown = priors.prior(hall)
    assert len(shown.claims) == 2
    assert {row[0] for row in shown.tables[0].rows} == {"default recipe", "decoder", "decoder, prior 0.01"}
