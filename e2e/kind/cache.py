"""Where things that take long to make are kept between runs, by a digest of what they are made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def directory(*names: str) -> Path:
    """Return a directory of the cache, made if need be."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made = root.joinpath("muster", "kind", *names)
    made.mkdir(parents=True, exist_ok=True)
    return made


def digest(parts: Iterable[str | bytes]) -> str:
    """Twelve characters that stand for the parts in this order."""
    total = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()[:12]


def files(root: Path, *names: str) -> list[str | bytes]:
    """Names and contents of the files below some paths of `root`, for `digest`; caches of Python are left out."""
    found: list[str | bytes] = []
    for name in names:
        top = root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                found += [str(path.relative_to(root)), path.read_bytes()]
    return found


def forget_others(keep: Path, pattern: str) -> None:
    """Remove what earlier versions of the same thing left beside the one to keep."""
    for path in keep.parent.glob(pattern):
        if path != keep:
            path.unlink()
