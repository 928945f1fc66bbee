"""Quantities, and what a pod holds on its node: Kubernetes' own rules, written once more.

https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

Amounts = dict[str, Fraction]
_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+)|([A-Za-z]*))")


@lru_cache(maxsize=4096)
def quantity(text: str) -> Fraction:
    """Return the exact value of a Kubernetes quantity; raises ValueError for anything else."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"not a quantity: {text!r}")
    number, exponent, suffix = Fraction(found[1]), found[2], found[3] or ""
    if exponent is not None:
        return number * _power(int(exponent))
    if suffix in _BINARY:
        return number * (1 << 10 * _BINARY[suffix])
    if suffix not in _SUFFIXES:
        raise ValueError(f"not a quantity: {text!r}")
    return number * _power(_SUFFIXES[suffix])


def _power(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)


def amounts(texts: Mapping[str, Any] | None) -> Amounts:
    """Return a resource list as numbers."""
    return {name: quantity(str(text)) for name, text in (texts or {}).items()}


def pod_requests(spec: Mapping[str, Any]) -> Amounts:
    """Return what a pod of this spec holds: one of `pods`, and its requests."""
    main: Amounts = {}
    for container in spec.get("containers", ()):
        add(main, _requests(container.get("resources")))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("initContainers", ()):
        own = _requests(container.get("resources"))
        if container.get("restartPolicy") == "Always":
            add(sidecars, own)
            own = dict(sidecars)
        else:
            add(own, sidecars)
        starting = _larger(starting, own)
    add(main, sidecars)
    total = _larger(main, starting)
    total |= _requests(spec.get("resources"))
    add(total, amounts(spec.get("overhead")))
    total["pods"] = Fraction(1)
    return total


def add(to: Amounts, more: Mapping[str, Fraction]) -> None:
    """Add in place."""
    for name, value in more.items():
        to[name] = to.get(name, Fraction(0)) + value


def _requests(resources: Mapping[str, Any] | None) -> Amounts:
    given = resources or {}
    # A limit without a request is a request: the API server's defaulting, which a template has not seen.
    return amounts(given.get("limits")) | amounts(given.get("requests"))


def _larger(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, Fraction(0)), other.get(name, Fraction(0))) for name in one.keys() | other.keys()}
