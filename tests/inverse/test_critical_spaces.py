"""A common kernel is found among private ones; spaces merge, save and load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pellucid.errors import ImageError, RecipeError
from pellucid.inverse.critical_spaces import CriticalSpace, critical_space
from pellucid.inverse.linear_algebra import orthonormal
from pellucid.inverse.subspaces import merged, merged_all, principal, subspace_angle_deg


def random_matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def planted(noise: float, seed: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Thirteen Jacobians of 24 units: two null directions in common, one to three of its own for each."""
    common = orthonormal(random_matrix(24, 2, seed=seed))
    jacobians = []
    for sample in range(13):
        own = random_matrix(24, 1 + sample % 3, seed=100 * seed + sample + 1)
        kernel = orthonormal(torch.cat([common, own], 1))
        jacobian = random_matrix(24, 200, seed=7000 + 100 * seed + sample)
        jacobian = jacobian - kernel @ (kernel.T @ jacobian)
        jacobians.append(jacobian + noise * random_matrix(24, 200, seed=9000 + 100 * seed + sample))
    return jacobians, common


@pytest.mark.parametrize(("noise", "most_deg"), [(1e-3, 0.05), (1e-2, 0.3), (5e-2, 1.0)])
def test_a_planted_common_kernel_is_found(noise: float, most_deg: float) -> None:
    for seed in range(3):
        jacobians, common = planted(noise, seed)
        found = critical_space(jacobians)
        assert found.excluded.shape == (24, 2)
        assert found.dimension == 22
        assert subspace_angle_deg(found.excluded, common) < most_deg
        assert float((found.excluded.T @ found.excluded - torch.eye(2)).abs().max()) < 1e-10
        assert found.is_clear
        assert found.num_samples == 13


def test_plateaus_are_listed_widest_first_and_can_be_chosen_from() -> None:
    jacobians, common = planted(1e-2, 5)
    found = critical_space(jacobians)
    widths = [plateau.width for plateau in found.plateaus]
    assert widths == sorted(widths, reverse=True)
    assert {0, 2} <= {plateau.dimension for plateau in found.plateaus}
    assert found.without(0).dimension == 24
    assert subspace_angle_deg(found.without(2).excluded, common) < 0.3
    with pytest.raises(RecipeError, match="no critical space leaves out 17 directions; there are some that leave"):
        found.without(17)


def test_the_order_of_merging_is_fixed() -> None:
    jacobians, _ = planted(5e-2, 1)
    assert torch.equal(critical_space(jacobians).excluded, critical_space(jacobians).excluded)


def test_a_space_merged_with_itself_is_itself() -> None:
    space = orthonormal(random_matrix(9, 3))
    turned = space @ orthonormal(random_matrix(3, 3, seed=1))
    both, count = merged((space, 2), (turned, 1))
    assert count == 3
    assert subspace_angle_deg(both, space) < 1e-6
    assert float((both.T @ both - torch.eye(3)).abs().max()) < 1e-10


def test_merging_goes_the_way_that_the_counts_say() -> None:
    """Two lines 30 degrees apart, one of three samples and one of one: 7.5 degrees from the first."""
    angle = torch.deg2rad(torch.tensor(30.0, dtype=torch.float64))
    first = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    second = torch.stack([angle.cos(), angle.sin()])[:, None]
    met, _ = merged((first, 3), (second, 1))
    assert subspace_angle_deg(met, first) == pytest.approx(7.5, abs=1e-9)


def test_what_is_45_degrees_apart_is_nothing_in_common_and_an_empty_side_leaves_nothing() -> None:
    lines = torch.eye(3, dtype=torch.float64)
    diagonal = torch.tensor([[1.0], [1.0], [0.0]], dtype=torch.float64) / 2**0.5
    assert merged((lines[:, :1], 1), (diagonal, 1))[0].shape == (3, 0)
    assert merged_all([lines[:, :1], lines[:, :0], lines[:, :1]]).shape == (3, 0)
    assert merged_all([lines[:, :1]] * 5).shape == (3, 1)


def test_tiny_principal_angles_keep_their_digits() -> None:
    tilt = torch.tensor([[1.0], [1e-9]], dtype=torch.float64)
    angles, _, _ = principal(torch.tensor([[1.0], [0.0]], dtype=torch.float64), orthonormal(tilt))
    assert float(angles[0]) == pytest.approx(1e-9, rel=1e-6)


def test_it_comes_back_from_a_file_as_it_was(tmp_path: Path) -> None:
    found = critical_space(planted(1e-2, 2)[0])
    again = CriticalSpace.load(found.save(tmp_path / "space.safetensors"))
    assert torch.equal(again.excluded, found.excluded)
    assert [(p.low, p.high, p.dimension) for p in again.plateaus] == [
        (p.low, p.high, p.dimension) for p in found.plateaus
    ]
    assert again.num_samples == found.num_samples


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    from pellucid.images.sidecars import write_sidecar

    write_sidecar(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"pellucid": '{"pellucid": "tea"}'})
    with pytest.raises(ImageError, match="holds no critical space"):
        CriticalSpace.load(tmp_path / "other.safetensors")


def test_nonsense_is_refused() -> None:
    with pytest.raises(RecipeError, match="there are none"):
        critical_space([])
    with pytest.raises(RecipeError, match="as many rows as it has units"):
        critical_space([torch.ones(3, 4), torch.ones(4, 4)])
    with pytest.raises(RecipeError, match="zero or not finite"):
        critical_space([torch.zeros(3, 4)])
