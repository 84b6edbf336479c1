"""Scales and correlations from one pass are those of the responses all at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import ImageError
from pellucid.inverse.correlation import moments_of
from pellucid.models.model import Model
from pellucid.objectives.response import Response


def two_models() -> tuple[Model, Model]:
    torch.manual_seed(0)
    a = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    b = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())
    with torch.no_grad():
        b[0].bias += 0.5
        b[0].weight[2] = 0  # a unit that never changes
        b[0].bias[2] = 0.7
        b[0].weight[3] = 0  # a unit that never fires
        b[0].bias[3] = -1.0
    return Model(a, size=8), Model(b, size=8)


def test_one_pass_in_batches_is_all_at_once() -> None:
    a, b = two_models()
    responses = Response("1"), Response("1")
    images = torch.rand(30, 3, 8, 8)
    moments = moments_of((a, b), responses, images.split(7))
    with torch.no_grad():
        r_a, r_b = (
            response(model.tap(images, ["1"])).double() for model, response in zip((a, b), responses, strict=True)
        )
    assert moments.count == 30
    assert torch.allclose(moments.scales[0], r_a.std(0, correction=0))
    known = [0, 1, 4]
    expected = np.corrcoef(r_a.T, r_b[:, known].T)[:4, 4:]
    assert np.allclose(moments.correlations[:, known], expected, atol=1e-9)


def test_units_that_never_change_have_no_correlation() -> None:
    a, b = two_models()
    moments = moments_of((a, b), (Response("1"), Response("1")), [torch.rand(12, 3, 8, 8)])
    assert moments.correlations[:, 2:4].isnan().all()
    assert moments.correlations[:, [0, 1, 4]].isfinite().all()
    assert moments.scales[1][2:4].tolist() == [0, 0]


@pytest.mark.parametrize(("batches", "count"), [([], 0), ([torch.rand(1, 3, 8, 8)], 1)])
def test_fewer_than_two_pictures_compare_nothing(batches: list[torch.Tensor], count: int) -> None:
    a, b = two_models()
    with pytest.raises(ImageError, match=f"two pictures or more, and there (is|are) {count}"):
        moments_of((a, b), (Response("1"), Response("1")), batches)
