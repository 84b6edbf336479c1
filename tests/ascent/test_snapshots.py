"""The steps of a video: the whole run, dense where most happens."""

from __future__ import annotations

import itertools

import pytest

from pellucid.ascent.snapshots import video_steps
from pellucid.errors import RecipeError


@pytest.mark.parametrize("steps", [1, 2, 17, 59, 60, 61, 128, 256, 2048, 100_000])
def test_a_video_shows_the_whole_run_and_most_of_its_beginning(steps: int) -> None:
    chosen = video_steps(steps)
    gaps = [later - earlier for earlier, later in itertools.pairwise(chosen)]
    assert (chosen[0], chosen[-1]) == (0, steps)
    assert len(chosen) == min(60, steps + 1)
    assert min(gaps) >= 1, "no step twice"
    assert all(later >= earlier - 1 for earlier, later in itertools.pairwise(gaps)), "ever sparser"
    if steps > 128:
        assert sum(step <= steps / 4 for step in chosen) >= 30, "half of the frames show the first quarter"


def test_the_number_of_frames_can_be_chosen() -> None:
    assert video_steps(256, frames=5) == (0, 16, 64, 144, 256)
    with pytest.raises(RecipeError, match="at least 1 step and 2 frames, not 0 and 60"):
        video_steps(0)
