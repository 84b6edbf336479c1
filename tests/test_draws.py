"""Random numbers by counter: few of them are made by NumPy, many by torch, and both are the same."""

import numpy as np
import pytest
import torch

from pellucid.draws import Draws

KEYS = ["a", "b", "seed 0 objective c3 member 1"]


def mixed(bits: int) -> int:
    """The finaliser of splitmix64, by Python's integers."""
    bits &= 2**64 - 1
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = ((bits ^ bits >> shift) * factor) % 2**64
    return bits ^ bits >> 31


def test_numbers_are_those_of_splitmix64() -> None:
    # The first outputs of the generator from the state 0, as its authors' C code prints them.
    assert [mixed(place * 0x9E3779B97F4A7C15) for place in (1, 2, 3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]
    few, many = Draws(torch.zeros(1, dtype=torch.int64)), Draws(torch.zeros(3, dtype=torch.int64))
    wanted = [(mixed(place * 0x9E3779B97F4A7C15) >> 40) / 2**24 for place in range(1, 8)]
    assert few.uniform(7)[0].tolist() == wanted
    assert many.uniform(5000)[2, :7].tolist() == wanted


@pytest.mark.parametrize("shape", [(), (1,), (3, 2)])
def test_few_numbers_are_the_first_of_many(shape: tuple[int, ...]) -> None:
    draws = Draws.from_keys(KEYS).child("jitter").at(torch.tensor([0, 7, 2**40]))
    few = draws.uniform(*shape)
    assert few.shape == (3, *shape)
    assert few.dtype == torch.float32
    many = draws.uniform(5000)[:, : int(np.prod(shape))]
    assert torch.equal(few.flatten(1) if shape else few[:, None], many)


def test_streams_of_many_images_are_those_of_each() -> None:
    names = [f"image {place}" for place in range(5000)]
    together = Draws.from_keys(names).child("start").at(3)
    for place in (0, 17, 4999):
        alone = Draws.from_keys([names[place]]).child("start").at(3)
        assert torch.equal(together.keys[place], alone.keys[0])
        assert torch.equal(together.rows([place]).uniform(4), alone.uniform(4))


def test_no_images_have_no_numbers() -> None:
    nothing = Draws.from_keys([])
    assert nothing.child("start").at(1).uniform(2, 3).shape == (0, 2, 3)
