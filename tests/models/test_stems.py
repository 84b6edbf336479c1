"""Strided stems give what a convolution gives, forward and backward."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.models.stems import StridedStem, replace_stems

CASES = [  # kernel, stride, padding, (height, width)
    (7, 2, 3, (32, 32)),
    (3, 2, 0, (17, 20)),
    (5, 2, 2, (15, 9)),
    (11, 4, 2, (37, 30)),
    (4, 4, 0, (16, 18)),
    (2, 3, 0, (10, 13)),  # a stride longer than the kernel leaves pixels that nothing sees
    ((3, 5), 2, (1, 2), (12, 11)),
]


def gradients(part: nn.Module, images: torch.Tensor, outer: torch.Tensor | None = None) -> list[torch.Tensor]:
    images = images.clone().requires_grad_()
    result = part(images)
    outer = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=result.dtype)
    return [result.detach(), torch.autograd.grad(result, images, outer)[0]]


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), CASES)
def test_a_strided_stem_is_the_convolution_and_its_gradient(kernel, stride, padding, size) -> None:
    torch.manual_seed(0)
    usual = nn.Conv2d(3, 6, kernel, stride, padding).double().requires_grad_(False)
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    for expected, got in zip(gradients(usual, images), gradients(StridedStem.of(usual), images), strict=True):
        torch.testing.assert_close(got, expected)


def test_the_gradient_keeps_rows_apart_and_can_be_mapped_over() -> None:
    stem = StridedStem.of(nn.Conv2d(3, 4, 3, 2, 1).requires_grad_(False))
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    result = stem(images)
    basis = torch.eye(result.numel()).view(-1, *result.shape)
    (many,) = torch.autograd.grad(result, images, basis, is_grads_batched=True, retain_graph=True)
    one_by_one = torch.stack([torch.autograd.grad(result, images, row, retain_graph=True)[0] for row in basis])
    torch.testing.assert_close(many, one_by_one)


def test_only_frozen_strided_convolutions_of_pictures_are_replaced() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2),  # this one
        nn.Conv2d(4, 4, 3, 1),  # no stride
        nn.Conv2d(4, 8, 3, (2, 1)),  # another stride each way
        nn.Conv2d(8, 8, 3, 2),  # too many channels
        nn.Conv2d(2, 2, 3, 2, groups=2),
        nn.Conv2d(2, 2, 3, 2, dilation=2),
        nn.Conv2d(2, 2, 3, 2, 1, padding_mode="reflect"),
    ).requires_grad_(False)
    assert replace_stems(net) == 1
    assert [type(part) is nn.Conv2d for part in net] == [False] + [True] * 6
    assert replace_stems(nn.Sequential(nn.Conv2d(3, 4, 3, 2))) == 0  # not frozen


def test_a_working_copy_uses_it_and_the_users_module_does_not() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU())
    model = pl.Model(net, size=16)
    assert type(model.at()._module[0]) is StridedStem
    assert type(model._module[0]) is nn.Conv2d
    assert type(net[0]) is nn.Conv2d
    for precision in ("bfloat16", "float32"):
        seen = model.at(precision=precision).tap(torch.rand(1, 3, 16, 16, requires_grad=True), ["1"])["1"]
        assert seen.requires_grad
