"""The gallery's folder: pictures, CSV files and one page, whose sections can be written anew one by one."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gallery.exhibit import Cell, Exhibit, Picture
from gallery.hall import Hall
from gallery.registry import ITEMS

__all__ = ["Folder"]

_SECTION = re.compile(r"<!-- item (\S+) -->\n(.*?)<!-- end \1 -->\n", re.DOTALL)
_QUALITY = 88  # of WebP: no seam or ring to be seen at twice the size


class Folder:
    """The folder of one network's gallery. Pictures that the project does not carry go to `private`."""

    def __init__(self, out: Path, private: Path) -> None:
        self.out, self.private = out, private
        self.page = out / "README.md"

    def write(self, key: str, exhibit: Exhibit, hall: Hall) -> None:
        """Put one exhibit on the page, in the place of what was there of it; its files beside it."""
        self.out.mkdir(parents=True, exist_ok=True)
        for picture in exhibit.pictures:
            self._save(key, picture)
        for table in exhibit.tables:
            with (self.out / f"{key}-{table.name}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(table.head)
                writer.writerows([_cell(value) for value in row] for row in table.rows)
        sections = {**self._sections(), key: _section(key, exhibit, hall)}
        ordered = {known: sections[known] for known in ITEMS if known in sections}
        self.page.write_text(_page(ordered, hall), encoding="utf-8")

    def _sections(self) -> dict[str, str]:
        if not self.page.is_file():
            return {}
        return dict(_SECTION.findall(self.page.read_text(encoding="utf-8")))

    def _save(self, key: str, picture: Picture) -> None:
        folder = self.private if picture.private else self.out
        folder.mkdir(parents=True, exist_ok=True)
        picture.image.convert("RGB").save(folder / f"{key}-{picture.name}.webp", quality=_QUALITY, method=6)


def _cell(value: Cell) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _section(key: str, exhibit: Exhibit, hall: Hall) -> str:
    lines = [f'<a id="{key}"></a>', "", f"## {exhibit.title}", "", f"*After {exhibit.source}.* {exhibit.text}", ""]
    for claim in exhibit.claims:
        lines += [f"- {claim.text}  ", f"  Test: {claim.test}  ", f"  {claim.verdict}"]
    lines.append("")
    for picture in exhibit.pictures:
        seen = picture.seen if hall.is_default else ""
        if picture.private:
            why = "Not shown here, for the project does not carry that network."
            lines += [f"**{picture.caption}.** {why} {seen}".strip(), ""]
            continue
        lines += [f"![{picture.caption}]({key}-{picture.name}.webp)", "", f"**{picture.caption}.** {seen}".strip(), ""]
    for note in exhibit.notes:
        lines += [note, ""]
    files = ", ".join(f"[{table.name}]({key}-{table.name}.csv)" for table in exhibit.tables)
    again = f"`python -m gallery --only {key}`"
    lines += [f"Numbers: {files}. Drawn by {again}." if files else f"Drawn by {again}.", ""]
    return "\n".join(lines)


def _page(sections: Mapping[str, str], hall: Hall) -> str:
    missing: Sequence[str] = [key for key in ITEMS if key not in sections]
    lines = [
        "# The gallery",
        "",
        f"What the documents that Pellucid grew from show, drawn with the network `{hall.model.name}` "
        f"({hall.model.weights_hash}) by `make gallery`. Each item states what the document says, by which test it "
        "was judged, and whether the numbers bear it out. Below each picture stands what is seen and what is wrong "
        "with it, as someone wrote who looked at it.",
        "",
        "| item | borne out | not borne out |",
        "| --- | --- | --- |",
    ]
    for key, text in sections.items():
        title = next(line for line in text.splitlines() if line.startswith("## ")).removeprefix("## ")
        counts = text.count("**borne out**"), text.count("**not borne out**")
        lines.append(f"| [{title}](#{key}) | {counts[0]} | {counts[1]} |")
    lines.append("")
    if missing:
        lines += [f"Not drawn: {', '.join(missing)}.", ""]
    for key, text in sections.items():
        lines += [f"<!-- item {key} -->\n{text}<!-- end {key} -->", ""]
    return "\n".join(lines)
