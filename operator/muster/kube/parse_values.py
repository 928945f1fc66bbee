"""Reading values that anybody may have written: each answers with a default instead of raising; and hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from muster.kube.plain import plain

LARGEST = 2**63 - 1


def canonical_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of the canonical JSON. Raises TypeError or ValueError for what is no JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def mapping(value: Any) -> Mapping[str, Any]:
    """The mapping, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    """The list, or an empty one."""
    return value if isinstance(value, list | tuple) else ()


def text(value: Any, default: str = "") -> str:
    """The string in one printable line, or the default: whoever has written it, people read it on terminals."""
    return plain(value) if isinstance(value, str) else default


def integer(value: Any, default: int = 0) -> int:
    """The whole number of 64 bits, or the default."""
    maybe = optional_integer(value)
    return default if maybe is None else maybe


def optional_integer(value: Any) -> int | None:
    """The whole number of 64 bits, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST else None
