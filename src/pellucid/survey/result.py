"""What a survey found out: a table of all units, the pictures it shows, and how unusual a response is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from pellucid.errors import TableError
from pellucid.survey.pictures import Pictures
from pellucid.survey.reading import Skipped
from pellucid.survey.settings import Settings
from pellucid.survey.unit_table import UnitTable

__all__ = ["Survey", "percentile_in"]

FORMAT = "pellucid survey 1"


@dataclass(frozen=True)
class Survey:
    """All that one pass found out; `table` has a row for each unit (its columns: `survey.columns`).

    `skipped` are the pictures that could not be read. One that is not complete speaks of the pictures until it stopped.
    """

    table: UnitTable
    pictures: Pictures
    settings: Settings
    skipped: tuple[Skipped, ...] = ()
    is_complete: bool = True

    @property
    def num_pictures(self) -> int:
        """How many pictures were looked at."""
        return int(self.table["pictures"][0]) if len(self.table) else 0

    def percentile(self, target: object, value: float, statistic: Literal["mean", "max"] = "mean") -> float | None:
        """How many in a hundred of the surveyed pictures have a lower image-level mean (or maximum) than `value`.

        Of those in the same bin of the histogram, as many as lie below it if they lie evenly. None where the survey
        does not speak of the target.
        """
        row = self.table.row(target)
        return None if row is None else percentile_in(row[f"{statistic}_histogram"], value)

    def crop(self, example: Mapping[str, Any]) -> Image.Image:
        """The part of an example that the unit sees where it is strongest."""
        whole = self.pictures[example["picture"]]
        return whole.crop((example["left"], example["top"], example["right"], example["bottom"]))

    def save(self, folder: str | Path) -> Path:
        """Write `survey.json`, `units.parquet` and `pictures.parquet` into a folder.

        Raises:
            ImageError: it cannot be written there.
        """
        from pellucid.images.whole_files import written_whole

        folder = Path(folder)
        self.table.save(folder / "units.parquet")
        self.pictures.save(folder / "pictures.parquet")
        record = {
            "format": FORMAT,
            "is_complete": self.is_complete,
            "settings": asdict(self.settings),
            "skipped": [asdict(one) for one in self.skipped],
        }
        with written_whole(folder / "survey.json") as file:
            file.write(json.dumps(record, indent=1).encode())
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Survey:
        """Read the survey in a folder.

        Raises:
            TableError: there is none, or it is damaged.
        """
        folder = Path(folder)
        try:
            record = json.loads((folder / "survey.json").read_text(encoding="utf-8"))
            if record["format"] != FORMAT:
                raise TableError(f"'{folder}' holds {record['format']!r}, and this version reads {FORMAT!r}")
            kept = record["settings"]
            settings = Settings(**{**kept, "size": tuple(kept["size"]), "layers": tuple(kept["layers"])})
            skipped = tuple(Skipped(**one) for one in record["skipped"])
        except OSError as error:
            raise TableError(
                f"no survey in '{folder}' ({error.strerror or error}): make one with pellucid survey MODEL DATASET -o"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, TableError):
                raise
            raise TableError(f"the survey in '{folder}' is damaged: {error}") from None
        table, pictures = UnitTable.load(folder / "units.parquet"), Pictures.load(folder / "pictures.parquet")
        return cls(table, pictures, settings, skipped, bool(record["is_complete"]))


def percentile_in(histogram: Mapping[str, Any], value: float) -> float:
    """The share of a histogram's counts below a value, in per cent; within a bin, evenly."""
    counts: Sequence[int] = histogram["counts"]
    total = sum(counts)
    if not total:
        return 0.0
    at = (value - histogram["low"]) / histogram["width"]
    whole = max(0, min(len(counts), int(at) if at >= 0 else -1))
    below = sum(counts[:whole])
    if 0 <= at < len(counts):
        below += counts[whole] * (at - whole)
    return 100.0 * below / total
