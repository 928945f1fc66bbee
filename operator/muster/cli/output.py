"""What the commands share: how to fail, how to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any


class Failed(Exception):  # noqa: N818  (what the user sees, not a class of fault)
    """Something the user can mend; the message says what, where and how."""


class Form(StrEnum):
    """The value of `-o`."""

    TEXT = "text"
    JSON = "json"


def print_json(value: Any) -> None:
    """Print for machines; keys keep their order."""
    import msgspec

    # json's own encoder indents in Python: of a hundred thousand ranks that would take a minute.
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell, two spaces apart."""
    lines = [tuple(heads), *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
