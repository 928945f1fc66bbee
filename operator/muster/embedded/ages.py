"""How long ago something was, in the words of kubectl (apimachinery's `duration.HumanDuration`)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:[.,](\d+))?(?:[Zz]|[+-]\d{2}:\d{2})")
UNKNOWN = "<unknown>"
INVALID = "<invalid>"


def milliseconds(text: str) -> int | None:
    """A time as RFC 3339 writes it, in ms since 1970; None for what is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    if found[1] is not None:
        # datetime takes at most six digits.
        begin, end = found.span(1)
        text = f"{text[: begin - 1]}.{text[begin : min(end, begin + 6)]}{text[end:]}"
    try:
        return (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None


def age(value: Any, now: int) -> str:
    """How long before `now` (ms) the time `value` is; `<unknown>` where there is none, `<invalid>` where it is none."""
    if not value:
        return UNKNOWN
    at = milliseconds(value) if isinstance(value, str) else None
    return INVALID if at is None else duration(now - at)


def duration(milliseconds_: int) -> str:
    """A duration in at most two units."""
    seconds = int(milliseconds_ / 1000)
    if seconds < -1:
        return INVALID
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    if hours < 24 * 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first}{unit}{second}{smaller}" if second else f"{first}{unit}"
