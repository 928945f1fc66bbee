"""Numbers back into quantities, in the form that the API server would write."""

from __future__ import annotations

from muster.embedded.quantities import Written, canonical

_BINARY = (("Ei", 1 << 60), ("Pi", 1 << 50), ("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))
_DECIMAL = (("E", 10**18), ("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))


def canonize(listed: dict[str, Written] | None) -> None:
    """Write every amount of a resource list in its canonical form, in place. Raises ValueError."""
    if listed:
        for name, value in listed.items():
            listed[name] = canonical(value)


def _suffixed(whole: int, suffixes: tuple[tuple[str, int], ...]) -> str:
    for suffix, factor in suffixes:
        if whole and whole % factor == 0:
            return f"{whole // factor}{suffix}"
    return str(whole)


def written(resource: str, thousandths: int) -> str:
    """An amount of a resource as a quantity: memory in binary suffixes where they fit, all else in decimal ones."""
    if thousandths % 1000:
        return f"{thousandths}m"
    whole = thousandths // 1000
    binary = resource.rpartition(".")[2] in ("memory", "storage", "ephemeral-storage") or "hugepages-" in resource
    return _suffixed(whole, _BINARY if binary else _DECIMAL)
