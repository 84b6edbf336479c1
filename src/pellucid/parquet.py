"""How Parquet is read from what Python holds or opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

__all__ = ["read_parquet"]


def read_parquet(file: Any, columns: Sequence[str] | None = None, *, group: int | None = None) -> pa.Table:
    """The table that an open file holds, or one group of its rows: all columns, or some.

    No thread of Arrow's has a part in it, as in `pyarrow.parquet.read_table`. Such a thread may be the last to let go
    of Python's bytes (pyarrow 26); where the program ends meanwhile, it waits for an interpreter that is gone, and
    ends the process by an abort: seen in one of four programs that ended right behind their reading.

    Raises:
        ArrowException, OSError: it is damaged, or no Parquet file.
    """
    shown = pa.parquet.ParquetFile(file, pre_buffer=False)
    wanted = None if columns is None else list(columns)
    if group is None:
        return shown.read(wanted, use_threads=False)
    return shown.read_row_group(group, wanted, use_threads=False)
