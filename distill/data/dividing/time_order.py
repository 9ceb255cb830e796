"""Splits by time: train holds the earliest rows and test the latest, as a model meets what comes after training."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError
from distill.core.untrusted import short_repr

MONTH = re.compile(r"\d{4}-\d{2}")


def parse_time(value: Any, where: str) -> float:
    """Seconds since 1970 of an ISO 8601 date, month or time (in UTC unless it says otherwise), or any number as it
    stands, such as a year, or a compact date, 20240501: each is in order among its own. Raises DataError, which
    names the row `where`."""
    if isinstance(value, str):
        text = value.strip()
        try:
            return _finite(float(text if "_" not in text else "nan"))  # Python reads 2024_05 as a number
        except ValueError:
            pass
        try:
            text += "-01" * bool(MONTH.fullmatch(text))  # which Python reads as no date
            time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
            return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
        except (ValueError, OverflowError):
            pass
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _finite(float(value))
        except (ValueError, OverflowError):
            pass
    elif isinstance(value, datetime):  # of a Parquet file
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    elif isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=timezone.utc).timestamp()
    raise DataError(
        f"{where} is {short_repr(value)}, not a time; write a number or an ISO 8601 time such as 2024-05-01 or "
        "2024-05-01T12:00:00Z"
    )


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return value


def time_split(
    times: NDArray[np.float64], shares: Sequence[float], groups: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Row indices of each part, ascending, from `times` (N,); parts come one after the other in time.

    A group counts by its earliest row, so that what is seen again later was seen in training and is tested nowhere.
    Groups of one time stay together, so shares are as near as that allows. Raises DataError if there are fewer
    different times than parts.
    """
    earliest = np.full(int(groups.max()) + 1, np.inf)
    np.minimum.at(earliest, groups, times)
    moments, moment_of = np.unique(earliest[groups], return_inverse=True)
    if len(moments) < len(shares):
        raise DataError(
            f"{len(times)} rows of {len(moments)} different times cannot be divided into {len(shares)} parts by "
            "time; give more rows, or times that are more precise"
        )
    rows_until = np.cumsum(np.bincount(moment_of))
    part_of_moment = np.zeros(len(moments), dtype=np.int64)
    start = 0
    for part, share in enumerate(np.cumsum(shares)[:-1], 1):
        last = len(moments) - len(shares) + part  # leaves a moment to each part that follows
        start += 1 + int(np.abs(rows_until[start:last] - share * len(times)).argmin())
        part_of_moment[start:] = part
    return [np.flatnonzero(part_of_moment[moment_of] == part) for part in range(len(shares))]
