"""Merging, comparing and taking apart typed values: the arithmetic of server-side apply (structured-merge-diff)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from muster.embedded.patching.fieldsets import Path, Paths, key_element, shown, value_element
from muster.embedded.patching.typed import Place
from muster.embedded.schemas.validation import same
from muster.embedded.wire import Object


class Mistyped(ValueError):  # noqa: N818 -- a refusal with a reason, raised to be shown
    """A value that does not fit its type; the text names its path."""


def elements(place: Place, items: list[Any], path: Path) -> list[tuple[str, Any]]:
    """The entries of a list with keys or of a set, by path element. Raises Mistyped for one without its key."""
    keys = place.list_keys()
    out = []
    for index, item in enumerate(items):
        if not keys:
            out.append((value_element(item), item))
            continue
        if not isinstance(item, dict):
            raise Mistyped(f"{shown(path)}: element {index}: associative list with keys may not have non-map elements")
        try:
            out.append((key_element(place.key_of(item)), item))
        except KeyError as error:
            why = f"associative list with keys has an element that omits key field {str(error.args[0])!r}".replace(
                "'", '"'
            )
            raise Mistyped(f"{shown(path)}: element {index}: {why} (and doesn't have default value)") from error
    return out


def check(place: Place, value: Any, path: Path = ()) -> None:
    """Refuse fields that a type does not have and entries that a list has twice. Raises Mistyped with the first."""
    if isinstance(value, dict):
        for name, item in value.items():
            if not place.knows(name):
                raise Mistyped(f"{shown((*path, f'f:{name}'))}: field not declared in schema")
            check(place.field(name), item, (*path, f"f:{name}"))
    elif isinstance(value, list):
        if place.list_keys() is not None:
            seen = set()
            for element, item in elements(place, value, path):
                if element in seen:
                    raise Mistyped(f"{shown(path)}: duplicate entries for key {shown((element,))}")
                seen.add(element)
                check(place.item(), item, (*path, element))
        else:
            for item in value:
                check(place.item(), item, path)


def fields(place: Place, value: Any, path: Path = ()) -> Iterator[Path]:
    """What a manager owns who applies this value."""
    if isinstance(value, dict) and value and not place.whole():
        free = place.map()
        for name, item in value.items():
            below = (*path, f"f:{name}")
            yield from fields(place.field(name), item, below)
            if free and path:
                yield below
    elif isinstance(value, list) and value and place.list_keys() is not None:
        for element, item in elements(place, value, path):
            below = (*path, element)
            yield below
            if place.list_keys():
                yield from fields(place.item(), item, below)
    elif path:
        yield path


def merge(place: Place, live: Any, applied: Any) -> Any:
    """The live value with what is applied put over it; neither is changed."""
    if isinstance(live, dict) and isinstance(applied, dict) and not place.whole():
        out = dict(live)
        for name, item in applied.items():
            out[name] = merge(place.field(name), live[name], item) if name in live else item
        return out
    if isinstance(live, list) and isinstance(applied, list) and place.list_keys() is not None:
        before, after = elements(place, live, ()), elements(place, applied, ())
        wanted = dict(after)
        there = {element for element, _ in before}
        kept = [
            merge(place.item(), item, wanted[el]) if el in wanted and place.list_keys() else item for el, item in before
        ]
        return kept + [item for element, item in after if element not in there]
    return applied


def changes(place: Place, old: Any, new: Any, path: Path = ()) -> tuple[Paths, Paths]:
    """What was set or changed from one value to the next, and what went."""
    changed: Paths = set()
    gone: Paths = set()
    _compare(place, old, new, path, changed, gone)
    return changed, gone


_ABSENT = object()


def _compare(place: Place, old: Any, new: Any, path: Path, changed: Paths, gone: Paths) -> None:
    if new is old:
        return
    if isinstance(old if new is _ABSENT else new, dict) and not place.whole():
        before, after = (v if isinstance(v, dict) else {} for v in (old, new))
        _own(old, new, dict, path, changed, gone)
        for name in before.keys() | after.keys():
            below = (*path, f"f:{name}")
            _compare(place.field(name), before.get(name, _ABSENT), after.get(name, _ABSENT), below, changed, gone)
    elif isinstance(old if new is _ABSENT else new, list) and place.list_keys() is not None:
        _own(old, new, list, path, changed, gone)
        was = dict(elements(place, old, path)) if isinstance(old, list) else {}
        now = dict(elements(place, new, path)) if isinstance(new, list) else {}
        keyed = bool(place.list_keys())
        for element in was.keys() | now.keys():
            below = (*path, element)
            if element not in was:
                changed.add(below)
            elif element not in now:
                gone.add(below)
            if keyed:
                there, then = was.get(element, _ABSENT), now.get(element, _ABSENT)
                _compare(place.item(), there, then, below, changed, gone)
    elif new is _ABSENT:
        gone.add(path)
    elif old is _ABSENT or not same(new, old):
        changed.add(path)


def _own(old: Any, new: Any, kind: type, path: Path, changed: Paths, gone: Paths) -> None:
    """The container itself, where it comes or goes."""
    if not path:
        return
    if new is _ABSENT:
        gone.add(path)
    elif not isinstance(old, kind):
        changed.add(path)


def without(place: Place, value: Any, removed: Paths, path: Path = ()) -> Any:
    """A value without the fields and entries at some paths; what holds none of them is shared."""
    if isinstance(value, dict):
        out: Object = {}
        for name, item in value.items():
            below = (*path, f"f:{name}")
            if below not in removed:
                out[name] = without(place.field(name), item, removed, below)
        return out
    if isinstance(value, list) and place.list_keys() is not None:
        pairs = [((*path, element), item) for element, item in elements(place, value, path)]
        return [without(place.item(), item, removed, below) for below, item in pairs if below not in removed]
    return value
