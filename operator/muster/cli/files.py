"""Files of JSON and YAML as people have them: from a pipe, packed, cut off, in PowerShell's encoding."""

from __future__ import annotations

import codecs
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from muster.cli.output import Failed

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What Windows writes ahead of text; PowerShell's `>` makes UTF-16."""
_GZIP = b"\x1f\x8b"
_JSON = re.compile(rb"\s*(?:\{\s*(?:[\"}]|\Z)|\[)")
"""How JSON begins. What begins so is never tried as YAML: of a large file that is no JSON it would take minutes."""
_ARRAY = re.compile(rb"\s*\[")
_BYTE = re.compile(r" \(byte (\d+)\)$")


def read(path: Path) -> bytes:
    """The text of a file in UTF-8, unpacked if it is gzip; `-` is standard input. Raises Failed."""
    name = "standard input" if str(path) == "-" else str(path)
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        if data.startswith(_GZIP):
            data = _unpacked(data, name)
        for bom, encoding in _BOMS:
            if data.startswith(bom):
                data = data.decode(encoding).encode()
                break
    except OSError as error:
        raise Failed(f"{name} cannot be read: {error.strerror or error}.") from None
    except UnicodeError:
        raise Failed(f"{name} cannot be read: it is not UTF-8 or UTF-16 text.") from None
    if not data or data.isspace():
        raise Failed(f"{name} is empty.")
    return data


def looks_like_json(data: bytes) -> bool:
    """Whether it is to be read as JSON and as nothing else."""
    return _JSON.match(data) is not None


def looks_like_array(data: bytes) -> bool:
    """Whether it is a JSON array."""
    return _ARRAY.match(data) is not None


def documents(path: Path, data: bytes | None = None) -> list[Any]:
    """The documents of a JSON or YAML file as plain JSON values, null ones left out. Raises Failed."""
    data = read(path) if data is None else data
    if looks_like_json(data):
        try:
            return [msgspec.json.decode(data)]
        except (ValueError, RecursionError) as error:
            raise Failed(no_json(path, data, error)) from None
    return _yaml(path, data)


def no_json(path: Path, data: bytes, error: Exception) -> str:
    """What is wrong with a text that is not JSON, and where, in a sentence."""
    said = str(error)
    if isinstance(error, RecursionError):
        return f"{path} is nested too deeply for any object of Kubernetes."
    if "truncated" in said:
        return (
            f"{path} is cut off: its JSON ends in the middle, after {len(data):,} bytes. What wrote it was stopped, or "
            "the disk was full; write it again."
        )
    place = _BYTE.search(said)
    said = _BYTE.sub("", said).removeprefix("JSON is malformed: ")
    if place is None:
        return f"{path} is no JSON: {said}."
    at = int(place[1])
    where = f"line {data.count(10, 0, at) + 1}" if b"\n" in data else f"byte {at}"
    if "trailing" in said:
        return f"{path}, {where}: more follows after the end of the JSON; ask for all kinds in one `kubectl get`."
    return f"{path}, {where}, is no JSON: {said}."


def _unpacked(data: bytes, name: str) -> bytes:
    import gzip
    import zlib

    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error):
        raise Failed(f"{name} is gzip that is cut off or damaged; write it again.") from None


def _yaml(path: Path, data: bytes) -> list[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = [document for document in yaml.load_all(data, Loader=loader) if document is not None]
        # To JSON and back: dates become text and keys strings, as kubectl reads them; whatever has no JSON fails.
        return [msgspec.json.decode(msgspec.json.encode(document)) for document in found]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}," if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise Failed(f"{path}{where} is neither JSON nor YAML: {problem}.") from None
    except RecursionError:
        raise Failed(f"{path} refers to itself, or is nested too deeply; write it without anchors.") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise Failed(f"{path} holds YAML that has no form in JSON: {str(error).splitlines()[0]}.") from None
