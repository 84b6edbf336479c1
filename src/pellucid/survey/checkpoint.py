"""A pass that outlives its process: where it stood, in one file that is whole or not there."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pellucid.errors import ImageError, TableError
from pellucid.images.sidecars import read_sidecar, write_sidecar
from pellucid.models.model import Model
from pellucid.survey.reading import Batch, Skipped
from pellucid.survey.result import Survey
from pellucid.survey.settings import Settings
from pellucid.survey.tally import Tally

__all__ = ["Checkpoint", "SurveyFolder"]

_FILE = "checkpoint.safetensors"


@dataclass
class Checkpoint:
    """Where a pass stands: what it knows, behind which picture, and what could not be read."""

    tally: Tally
    stop: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    @classmethod
    def at_start(cls, model: Model, settings: Settings) -> Checkpoint:
        """Before the first picture."""
        units = sum(model.layers[name].units for name in settings.layers)
        return cls(Tally.none_yet(units, settings.k, settings.seed))

    def passed(self, batch: Batch) -> None:
        """One more batch is in the tally."""
        self.stop = batch.stop
        self.skipped += batch.skipped


@dataclass
class SurveyFolder:
    """The folder of a survey with these settings: finished, begun, or still to be made.

    Raises:
        TableError: it holds a survey with other settings.
        ImageError: it cannot be made.
    """

    path: Path
    settings: Settings
    _saved: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(f"cannot write '{self.path}': {error.strerror or error}") from None

    def finished(self) -> Survey | None:
        """The survey, if it lies here whole.

        Raises:
            TableError: another one lies here.
        """
        if not (self.path / "survey.json").exists():
            return None
        found = Survey.load(self.path)
        self._same(found.settings)
        return found if found.is_complete else None

    def checkpoint(self) -> Checkpoint | None:
        """Where a pass with these settings was cut off; None where none was.

        Raises:
            TableError: another survey was begun here.
        """
        file = self.path / _FILE
        if not file.exists():
            return None
        tensors, texts = read_sidecar(file)
        record = json.loads(texts["survey"])
        kept = record["settings"]
        self._same(Settings(**{**kept, "size": tuple(kept["size"]), "layers": tuple(kept["layers"])}))
        units = len(tensors["fired"])
        tally = Tally.none_yet(units, self.settings.k, self.settings.seed)
        tally.restore(tensors)
        return Checkpoint(tally, record["stop"], [Skipped(**one) for one in record["skipped"]])

    def _same(self, other: Settings) -> None:
        mine, theirs = asdict(self.settings), asdict(other)
        if different := [name for name in mine if mine[name] != theirs[name]]:
            name = different[0]
            change = f"another {name} ({theirs[name]}, now {mine[name]})"
            raise TableError(f"'{self.path}' holds a survey with {change}: take another folder")

    @property
    def seconds_since_saved(self) -> float:
        """How much work a crash would cost."""
        return time.monotonic() - self._saved

    def save(self, point: Checkpoint) -> None:
        """Keep where the pass stands.

        Raises:
            ImageError: it cannot be written.
        """
        record = {
            "settings": asdict(self.settings),
            "stop": point.stop,
            "skipped": [asdict(one) for one in point.skipped],
        }
        write_sidecar(self.path / _FILE, point.tally.tensors(), {"survey": json.dumps(record)})
        self._saved = time.monotonic()

    def finish(self, result: Survey, point: Checkpoint) -> None:
        """Write the result; what was kept to go on is needed only by one that is not complete.

        Raises:
            ImageError: it cannot be written.
        """
        if not result.is_complete:
            self.save(point)
        result.save(self.path)
        if result.is_complete:
            (self.path / _FILE).unlink(missing_ok=True)
