"""Kubernetes quantities as whole thousandths of their unit, and what a pod asks of its node.

Written apart from the operator's own arithmetic, which is checked against this.
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

Written = str | int | float
Amounts = dict[str, int]
"""By resource name, thousandths of its unit."""

_QUANTITY = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,3})|([KMGTPE]i|[numkMGTPE]?))", re.ASCII)
_BINARY = {name: 1 << 10 * (power + 1) for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_NAMES = {power: name for name, power in _DECIMAL.items()}


@lru_cache(maxsize=65_536)
def thousandths(text: Written) -> int:
    """Return a quantity in thousandths, what is finer rounded up. Raises ValueError for what is none."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"not a quantity: {text!r}")
    sign, digits, exponent, suffix = found.groups()
    whole, _, fraction = digits.partition(".")
    number, power = int((whole + fraction) or "0"), 3 - len(fraction)
    if suffix in _BINARY:
        number *= _BINARY[suffix]
    else:
        power += int(exponent) if exponent is not None else _DECIMAL[suffix]
    value = number * int(10**power) if power >= 0 else -(-number // int(10**-power))
    return -value if sign == "-" else value


@lru_cache(maxsize=65_536)
def canonical(text: Written) -> str:
    """Return a quantity as the API server writes it: `0.5` is 500m, `1024Mi` is 1Gi. Raises ValueError for what is
    none."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"not a quantity: {text!r}")
    sign, digits, exponent, suffix = found.groups()
    whole, _, fraction = digits.partition(".")
    number, power = int((whole + fraction) or "0"), -len(fraction)
    if number == 0:
        return "0"
    if suffix in _BINARY:
        number, scale = number * _BINARY[suffix], int(10**-power)
        if number % scale == 0 and number // scale >= 1024:
            number //= scale
            names = ["", *_BINARY]
            place = 0
            while number % 1024 == 0 and place < len(names) - 1:
                number, place = number // 1024, place + 1
            return f"{sign}{number}{names[place]}"
    else:
        power += int(exponent) if exponent is not None else _DECIMAL[suffix]
    # Nothing is finer than a billionth.
    while power < -9:
        number, power = -(-number // 10), power + 1
    while number % 10 == 0 and power < 18:
        number, power = number // 10, power + 1
    while power % 3:
        number, power = number * 10, power - 1
    if exponent is not None:
        return f"{sign}{number}e{power}" if power else f"{sign}{number}"
    if power > 18:
        number, power = number * int(10 ** (power - 18)), 18
    return f"{sign}{number}{_NAMES[power]}"


def amounts(written: Mapping[str, Written] | None) -> Amounts:
    """Return a resource list as numbers."""
    return {name: thousandths(value) for name, value in written.items()} if written else {}


class Resources(msgspec.Struct, gc=False):
    """ResourceRequirements."""

    requests: dict[str, Written] | None = None
    limits: dict[str, Written] | None = None

    def asked(self) -> Amounts:
        """The requests; where there is only a limit, that."""
        return amounts(self.limits) | amounts(self.requests)


class Port(msgspec.Struct, gc=False, rename="camel"):
    """A container's port."""

    container_port: int = 0
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class Container(msgspec.Struct, gc=False, rename="camel"):
    """A container or init container."""

    name: str = ""
    restart_policy: str | None = None
    resources: Resources | None = None
    ports: list[Port] | None = None


def asked_of_node(
    containers: Iterable[Container],
    init_containers: Iterable[Container] = (),
    pod_level: Resources | None = None,
    overhead: Mapping[str, Written] | None = None,
) -> Amounts:
    """Return what a pod takes of its node: one of `pods`, and its effective requests.

    Sidecars count with the containers and with each init container after them. A resize in place is not looked at.
    """
    running: Amounts = {}
    for container in containers:
        _add(running, container.resources.asked() if container.resources else {})
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in init_containers:
        own = container.resources.asked() if container.resources else {}
        if container.restart_policy == "Always":
            _add(sidecars, own)
            own = sidecars
        else:
            own = dict(own)
            _add(own, sidecars)
        for name, value in own.items():
            starting[name] = max(starting.get(name, 0), value)
    _add(running, sidecars)
    for name, value in starting.items():
        running[name] = max(running.get(name, 0), value)
    if pod_level is not None:
        running |= {
            name: value
            for name, value in pod_level.asked().items()
            if name in ("cpu", "memory") or name.startswith("hugepages-")
        }
    _add(running, amounts(overhead))
    running["pods"] = 1000
    return running


def _add(to: Amounts, more: Mapping[str, int]) -> None:
    for name, value in more.items():
        to[name] = to.get(name, 0) + value
