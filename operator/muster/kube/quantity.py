"""Kubernetes quantities, exactly, as whole numbers.

The grammar is that of apimachinery's resource.Quantity: a signed decimal and a suffix, binary (Ki .. Ei), decimal
(n, u, m, none, k .. E) or an exponent (e3, E-2). As there, what is finer than the unit rounds up and what is larger
than 2^63 - 1 is capped. What is no quantity, or below zero, is answered with a sentence: refusal is a value here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from muster.core.model import Resources

Written = str | int | float
"""A quantity as JSON carries it: a string from the API, a number in what a person wrote."""

LARGEST = 2**63 - 1

_GRAMMAR = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4}|[KMGTPE]i|[numkMGTPE]?)", re.ASCII)
_LONGEST = 64
"""Characters of a quantity that are read at all: nobody writes more, and the work stays bounded."""
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


@dataclass(frozen=True, slots=True)
class Malformed:
    """What could not be read, in a sentence that says how to mend it."""

    message: str


@lru_cache(maxsize=65_536)
def amount(resource: str, text: str) -> int | Malformed:
    """The quantity `text` of `resource` in the unit of `model.Resources`: thousandths for cpu, else base units."""
    match = _GRAMMAR.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return Malformed(
            f"{text[:_LONGEST]!r} is not a quantity of {resource}; write a number with one of the suffixes "
            "n u m k M G T P E Ki Mi Gi Ti Pi Ei, such as 4, 500m or 16Gi"
        )
    sign, digits, suffix = match.groups()
    whole, _, fraction = digits.partition(".")
    mantissa = int(whole + fraction) if whole + fraction else 0
    if sign == "-" and mantissa:
        return Malformed(f"{text!r} of {resource} is below zero; write zero or more")
    exponent = -len(fraction) + (3 if resource == "cpu" else 0)
    if suffix in _BINARY:
        mantissa <<= _BINARY[suffix]
    elif suffix in _DECIMAL:
        exponent += _DECIMAL[suffix]
    else:
        exponent += int(suffix[1:])
    if exponent >= 0:
        # 10^20 is beyond the largest already: larger powers need not be worked out.
        return min(mantissa * int(10 ** min(exponent, 20)), LARGEST)
    divisor = int(10 ** min(-exponent, 2 * _LONGEST))
    return min(-(-mantissa // divisor), LARGEST)


def amount_of(resource: str, value: Written) -> int | Malformed:
    """The quantity as JSON carries it: numbers are read as they would be written."""
    return amount(resource, value if isinstance(value, str) else _plain(value))


def amounts(values: Mapping[str, Written]) -> dict[str, int]:
    """A map of quantities of an object that the API server has admitted; what does not parse is left out."""
    parsed: dict[str, int] = {}
    for name, value in values.items():
        one = amount_of(name, value)
        if not isinstance(one, Malformed):
            parsed[name] = one
    return parsed


def resources(parsed: Mapping[str, int]) -> Resources:
    """Amounts in the form of the core: sorted by name, no zero entries."""
    return tuple(sorted((name, value) for name, value in parsed.items() if value))


def _plain(number: int | float) -> str:
    """A JSON number as text; a bool or an infinity becomes something that is no quantity."""
    if isinstance(number, int) and abs(number) > LARGEST:
        # str() itself refuses whole numbers of some thousand digits.
        return "a number beyond 2^63 - 1"
    return format(number, "d") if isinstance(number, int) and not isinstance(number, bool) else str(number)
