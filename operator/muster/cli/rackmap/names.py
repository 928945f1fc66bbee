"""Names in little room: what tells labels apart, kept; what they share, dropped."""

from __future__ import annotations

from collections.abc import Sequence

_SEPARATORS = "-_./:"


def short(labels: Sequence[str]) -> list[str]:
    """Labels without the words that all of them begin with: `leaf-r00`, `leaf-r01` -> `r00`, `r01`. One alone stays."""
    named = [label for label in labels if label]
    if len(set(named)) < 2:
        return list(labels)
    common = _common(named)
    at = max(common.rfind(separator) for separator in _SEPARATORS) + 1
    return [label[at:] for label in labels]


def span(labels: Sequence[str]) -> str:
    """The first and the last of a row: `r00`, ..., `r07` -> `r00-07`."""
    if not labels or labels[0] == labels[-1]:
        return labels[0] if labels else ""
    first, last = labels[0], labels[-1]
    same = len(_common((first, last)))
    while same and first[same - 1].isdigit():  # whole numbers only
        same -= 1
    return f"{first}-{last[same:]}"


def stem(labels: Sequence[str]) -> str:
    """What names share, up to a separator: `r07-n00`, `r07-n17` -> `r07`. Empty if that is nothing, or for one name."""
    if len(set(labels)) < 2:
        return ""
    common = _common(labels)
    return common[: max(max(common.rfind(separator) for separator in _SEPARATORS), 0)]


def fit(text: str, width: int) -> str:
    """At most `width` characters; the end of a name tells more than its beginning."""
    if len(text) <= width:
        return text
    return "" if width < 1 else text[-1:] if width == 1 else f"~{text[1 - width :]}"


def head(text: str, width: int) -> str:
    """At most `width` characters of a sentence, from its beginning."""
    return text if len(text) <= width else f"{text[: max(width - 3, 0)]}..."[: max(width, 0)]


def wrapped(parts: Sequence[str], width: int, joint: str) -> list[str]:
    """Parts joined into lines of at most `width` characters, broken only between parts."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(joint) + len(part) > width:
            lines.append("")
        lines[-1] += f"{joint if lines[-1] else ''}{part}"
    return [head(line, width) for line in lines]


def _common(labels: Sequence[str]) -> str:
    first, last = min(labels), max(labels)
    at = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:at]
