"""Pictures that grow octave by octave, and the choice among several starts: what is done with runs of the ascent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional as F

from pellucid.ascent.image_for import image_for
from pellucid.ascent.jobs import Finished, ImageMaker, Job
from pellucid.ascent.memory import free_bytes
from pellucid.ascent.octaves import parse_octaves
from pellucid.ascent.plan import Resolved
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.trial import bytes_between, images_for
from pellucid.errors import RecipeError
from pellucid.models.model import Model
from pellucid.models.taps import Tap

__all__ = ["Grower", "best_of", "octave_recipes", "refuse_too_large"]


def octave_recipes(recipe: Recipe) -> list[Recipe]:
    """A recipe for each octave; the recipe itself where it has none."""
    if not recipe.octaves:
        return [recipe]
    octaves, recipes, done = parse_octaves(recipe.octaves), [], 0
    for octave in octaves:
        first, last = octave.rates or (recipe.rate, recipe.rate)
        kept = [step - done for step in recipe.snapshots if done < step <= done + octave.steps or step == done == 0]
        changes: dict[str, Any] = {
            "octaves": "",
            "size": (octave.size, octave.size),
            "steps": octave.steps,
            "learning_rate": first,
            "final_rate": last,
            "schedule": "linear",
            "blur": octave.sigmas,
            "snapshots": tuple(kept),
            "refine": recipe.refine if octave is octaves[-1] else 0,
        }
        recipes.append(replace(recipe, **changes))
        done += octave.steps
    return recipes


def refuse_too_large(model: Model, taps: Sequence[Tap], recipe: Recipe, device: torch.device) -> None:
    """Raises RecipeError when one picture of the largest octave does not fit into memory, by what a small one takes."""
    side = max(octave.size for octave in parse_octaves(recipe.octaves))
    height, width = model.size
    _, small = bytes_between(
        model.at(device=device, precision="float32"), taps, images_for(model, 1, model.size, device)
    )
    needed, free = small * side * side / (height * width), free_bytes(device)
    if needed > free:
        raise RecipeError(
            f"octaves grow to {side} px, where one picture takes about {needed / 2**30:.1f} GiB between forward and "
            f"backward; {free / 2**30:.1f} GiB are free. Give a smaller last octave"
        )


@dataclass(frozen=True)
class Grower:
    """Takes pictures from one octave to the next."""

    channels: int
    recipe: Recipe
    resolved: Resolved
    make_image: ImageMaker | None

    def job(self, job: Job, so_far: Finished | None, resolved: Resolved) -> Job:
        """The job of the next octave, at another size: what was optimised goes on, resampled before the squash."""
        return job if so_far is None else replace(job, parameters=self.resampled(so_far, resolved.size))

    @torch.no_grad()
    def resampled(self, finished: Finished, size: tuple[int, int]) -> torch.Tensor:
        """What was optimised in this octave, at another size."""
        image = image_for(self.recipe, self.resolved, self.channels, self.make_image, 1)
        image.unflat(finished.parameters[None].to(next(image.parameters())))
        return image.resized(size).flat()[0]


def joined(first: Finished | None, then: Finished) -> Finished:
    """One picture's two octaves as one run."""
    if first is None:
        return then
    done = first.status.step
    status = replace(then.status, step=done + then.status.step, rescue=first.status.rescue or then.status.rescue)
    later = {done + step: picture for step, picture in then.snapshots.items()}
    history, snapshots = first.history + then.history, {**first.snapshots, **later}
    return replace(then, job=first.job, history=history, snapshots=snapshots, status=status)


def at_size(finished: Finished, size: tuple[int, int], growers: Sequence[Grower]) -> Finished:
    """The picture, its snapshots and what was optimised, enlarged to the last octave's size where it ended earlier."""

    def resized(picture: torch.Tensor) -> torch.Tensor:
        if tuple(picture.shape[1:]) == size:
            return picture
        return F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]

    snapshots = {step: resized(picture) for step, picture in finished.snapshots.items()}
    parameters, ended = finished.parameters, tuple(finished.image.shape[1:])
    if ended != size:
        (grower,) = [grower for grower in growers if grower.resolved.size == ended][-1:]
        parameters = grower.resampled(finished, size).to(parameters)
    return replace(finished, image=resized(finished.image), parameters=parameters, snapshots=snapshots)


def best_of(finished: Iterable[Finished], starts: int) -> Iterator[Finished]:
    """Of each picture's `starts` attempts the one with the highest score, as soon as all have ended."""
    waiting: dict[int, list[Finished]] = defaultdict(list)
    for one in finished:
        picture = one.job.index // starts
        waiting[picture].append(one)
        if len(waiting[picture]) == starts:
            yield _best(waiting.pop(picture))
    for attempts in waiting.values():  # the run was stopped
        yield _best(attempts)


def _best(attempts: Sequence[Finished]) -> Finished:
    return max(attempts, key=lambda one: (one.status.is_good, one.score if one.score == one.score else -torch.inf))
