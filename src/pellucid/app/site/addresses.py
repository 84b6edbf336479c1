"""Where a page finds pictures, relative to its root: the viewer's routes, or the files of a static site.

Both are made of numbers (volume, layer, unit, place in a list), so that no name of an atlas is ever part of a path.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pellucid.atlas.shards import Picture

__all__ = ["SHARD", "Addresses", "Files", "Routes"]

SHARD = 100  # units of a static site whose data lie in one file, and whose pictures in one folder


@runtime_checkable
class Addresses(Protocol):
    """Gives the address of a unit's picture, and of a picture of the data set beside it."""

    def picture(self, volume: int, layer: int, picture: Picture) -> str:
        """One of a unit's own pictures."""
        ...

    def example(self, volume: int, layer: int, unit: int, column: int, place: int) -> str:
        """The `place`-th picture that a table's column (by its number) holds for a unit."""
        ...


class Routes:
    """On the viewer."""

    def picture(self, volume: int, layer: int, picture: Picture) -> str:
        """`picture/0/3/12/negative/0`."""
        return f"picture/{volume}/{layer}/{picture.unit}/{picture.view}/{picture.member}"

    def example(self, volume: int, layer: int, unit: int, column: int, place: int) -> str:
        """`example/0/3/12/5/0`."""
        return f"example/{volume}/{layer}/{unit}/{column}/{place}"


class Files:
    """In a static site."""

    def picture(self, volume: int, layer: int, picture: Picture) -> str:
        """`pictures/0/3/1/112.webp`, `pictures/0/3/1/112-negative-0.webp`."""
        kind = "" if picture.view == "picture" else f"-{picture.view}-{picture.member}"
        return f"pictures/{volume}/{layer}/{picture.unit // SHARD}/{picture.unit}{kind}.webp"

    def thumb(self, volume: int, layer: int, picture: Picture) -> str:
        """`thumbs/0/3/1/112.webp`, where the pictures themselves are too large for a grid; browsers see its format."""
        return f"thumbs/{volume}/{layer}/{picture.unit // SHARD}/{picture.unit}.webp"

    def example(self, volume: int, layer: int, unit: int, column: int, place: int) -> str:
        """`examples/0/3/1/112-5-0`: photos come in any format, which browsers see for themselves."""
        return f"examples/{volume}/{layer}/{unit // SHARD}/{unit}-{column}-{place}"
