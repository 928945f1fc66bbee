"""The Go programs of the tests come from three modules; what these share is compiled once if its version is one."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

E2E = Path(__file__).resolve().parent.parent.parent / "e2e"
MODULES = ("controlplane", "tools", "kind/programs")
OWN = {"github.com/coredns/caddy"}
"""CoreDNS builds on a commit of it, kubeadm reads Corefiles with a release."""


def required(module: str) -> dict[str, str]:
    text = (E2E / module / "go.mod").read_text()
    return dict(re.findall(r"^\s+(\S+/\S+) (v\S+)", text, re.MULTILINE))


@pytest.mark.parametrize(("one", "two"), list(combinations(MODULES, 2)))
def test_shared_modules_have_one_version(one: str, two: str) -> None:
    first, second = required(one), required(two)
    shared = first.keys() & second.keys() - OWN
    assert len(shared) > 30
    assert {name: (first[name], second[name]) for name in shared if first[name] != second[name]} == {}
