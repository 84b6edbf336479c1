"""Numbers that JSON can say."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["finite"]


def finite(value: Any) -> Any:
    """The value; None for NaN and infinity, of which JSON knows nothing."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
