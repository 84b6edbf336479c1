"""What a rendering gives away: its frames as a video, its transparency as files that keep it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.rendering import Status
from pellucid.errors import ImageError
from pellucid.images import files, sheets


@pytest.fixture(scope="module")
def model() -> pl.Model:
    torch.manual_seed(0)
    return pl.Model(nn.Sequential(nn.Conv2d(3, 4, 5), nn.Tanh()), size=32)


@pytest.fixture(scope="module")
def run(model: pl.Model) -> pl.Rendering:
    return pl.render(model, ["0:0", "0:1"], steps=20, learning_rate=0.3, snapshots=pl.video_steps(20, 6))


def frames_of(path: Path) -> Iterator[Tensor]:
    with Image.open(path) as file:
        for frame in ImageSequence.Iterator(file):
            yield torch.from_numpy(np.asarray(frame.convert("RGB")).copy()).movedim(2, 0) / 255


def enlarged(picture: Tensor) -> Tensor:
    """What a frame of this picture should be."""
    shown = sheets.picture(picture).resize((256, 256), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(shown).copy()).movedim(2, 0) / 255


def test_a_video_goes_from_the_start_to_the_finished_picture(run: pl.Rendering, tmp_path: Path) -> None:
    one = run[0]
    assert one.save_video(tmp_path / "a.webp") == tmp_path / "a.webp"
    frames = list(frames_of(tmp_path / "a.webp"))
    assert len(frames) == len(one.snapshots) == 6, "the last snapshot is the finished picture"
    assert frames[0].shape == (3, 256, 256)
    start = replace(one, images=one.snapshots[0]).pictures[0]
    for frame, wanted, other in ((frames[0], start, one.pictures[0]), (frames[-1], one.pictures[0], start)):
        near, far = ((frame - enlarged(picture)).abs().mean() for picture in (wanted, other))
        assert near < 0.03, "WebP's losses and halved colours"
        assert near < far / 3


def test_several_pictures_are_a_sheet_in_every_frame(run: pl.Rendering, tmp_path: Path) -> None:
    run.save_video(tmp_path / "a.gif", size=200)
    with Image.open(tmp_path / "a.gif") as file:
        assert max(file.size) == 200
        assert file.width > 1.5 * file.height
        assert getattr(file, "n_frames", 1) == 6


def test_a_picture_that_ended_stays_as_it_ended(run: pl.Rendering) -> None:
    snapshots = {step: images.clone() for step, images in run.snapshots.items()}
    for step in snapshots:
        if step > 7:
            snapshots[step][0] = float("nan")
    early = replace(run, snapshots=snapshots, status=(Status("converged", 7), run.status[1]))
    first, second = early.reels
    assert sorted(first) == [step for step in run.snapshots if step < 7] + [7]
    assert sorted(second) == sorted(run.snapshots)
    final = torch.from_numpy(np.asarray(first[7]).copy()).movedim(2, 0) / 255
    assert (final - run.pictures[0]).abs().max() < 0.5 / 255 + 1e-6


def test_a_video_needs_snapshots(model: pl.Model, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"kept no snapshots .* snapshots=pl.video_steps\(steps\)"):
        pl.render(model, "0:0", steps=1).save_video(tmp_path / "a.gif")


@pytest.fixture
def half_clear(run: pl.Rendering) -> pl.Rendering:
    """The run's pictures, see-through in their left half."""
    opacity = torch.ones(2, 1, 32, 32)
    opacity[..., :16] = 0
    images = torch.cat([run.images, opacity], 1)
    recipe = replace(run.recipe, alpha=True)
    return replace(run, images=images, snapshots={0: images, 20: images}, value_range=(-1.0, 1.0), recipe=recipe)


def test_transparency_is_kept_on_disk_and_is_no_colour(half_clear: pl.Rendering, tmp_path: Path) -> None:
    assert half_clear.alpha
    assert torch.equal(half_clear.pictures[:, 3], half_clear.images[:, 3]), "opacity has no value range"
    half_clear[0].save(tmp_path / "a.png")
    saved = files.read(tmp_path / "a.png", alpha=True)
    assert (saved - half_clear.pictures[0]).abs().max() <= 0.5 / 255 + 1e-6
    with Image.open(tmp_path / "a.png") as file:
        assert file.mode == "RGBA"


def test_sheets_and_videos_of_transparent_pictures_show_a_checkerboard(
    half_clear: pl.Rendering, tmp_path: Path
) -> None:
    sheet = np.asarray(half_clear.contact_sheet())
    assert sheet.shape[2] == 3
    half_clear[0].save_video(tmp_path / "a.gif")
    frame = np.asarray(next(frames_of(tmp_path / "a.gif")))
    for shown in (sheet[12:268, 12:130], (frame.transpose(1, 2, 0) * 255)[:, :118]):
        assert abs(shown[:8, :8] - 102.0).max() <= 8
        assert abs(shown[:8, 8:16] - 153.0).max() <= 8


def test_what_a_network_does_not_look_at_is_see_through_on_disk(tmp_path: Path) -> None:
    """A unit that looks at the left half only, and a price for opacity: the right half of the PNG is see-through."""
    look = torch.zeros(1, 3, 8, 8)
    look[..., :4] = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    net = nn.Sequential(nn.Conv2d(3, 1, 8, bias=False), nn.Flatten())
    net[0].weight = nn.Parameter(look)
    settings = {"steps": 100, "transforms": "none", "image": "pixels", "color": "none", "alpha": True}
    made = pl.render(pl.Model(net, size=8), "0:0", penalties="alpha:20", **settings)
    made.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as file:
        left, right = (np.asarray(file)[:, half].reshape(-1, 4) for half in (slice(0, 4), slice(4, 8)))
    assert left[:, 3].min() > 200
    assert (left[:, 0].astype(int) - left[:, 1]).min() > 100, "what is opaque is red"
    assert right[:, 3].max() < 55


def test_a_rendering_without_opacity_has_four_channels_of_colour(run: pl.Rendering, tmp_path: Path) -> None:
    four = replace(run, images=torch.cat([run.images, run.images[:, :1]], 1), snapshots={})
    assert not four.alpha
    four[0].save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as file:
        assert file.mode == "RGB", "channels side by side: what is no opacity is never taken for it"
