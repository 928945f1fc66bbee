"""The TrainingJobs that `what-if` is asked about, as people have them in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muster.cli import files
from muster.cli.output import Failed

SUFFIXES = (".yaml", ".yml", ".json")
"""Of a directory the files that are read, as kubectl does."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document. `where` says which one it is; `key` is namespace/name as far as it has them; `namespace` goes for
    an object that names none."""

    where: str
    value: Any
    namespace: str

    @property
    def key(self) -> str:
        """What people know it by."""
        meta = self.value.get("metadata") if isinstance(self.value, Mapping) else None
        meta = meta if isinstance(meta, Mapping) else {}
        name = meta.get("name") or (f"{meta['generateName']}*" if meta.get("generateName") else self.where)
        return f"{meta.get('namespace') or self.namespace}/{name}"


Manifests = list[Manifest]


def read(paths: Sequence[Path], namespace: str) -> Manifests:
    """The documents of files and directories in their order, the items of a List one by one. Raises Failed."""
    found = [manifest for path in paths for each in _files(path) for manifest in _of(each, namespace)]
    if not found:
        raise Failed(f"{', '.join(map(str, paths))} holds no manifest.")
    return found


def _files(path: Path) -> Sequence[Path]:
    if str(path) == "-" or not path.is_dir():
        return [path]
    try:
        return sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror or error}.") from None


def _of(path: Path, namespace: str) -> Iterator[Manifest]:
    number = 0
    for document in files.documents(path):
        items = document.get("items") if isinstance(document, Mapping) else None
        for value in items if isinstance(items, list) else [document]:
            number += 1
            yield Manifest(f"{path.name}, document {number}", value, namespace)
