"""The code that docs/security.md names for each right is there, and makes such a request."""

from __future__ import annotations

import re

import pytest
from e2e import needs
from e2e.needs import METHODS, NEEDS, Need

from muster.feeds import SOURCES
from muster.kube import paths

CALLED = {
    "clustertopologies/status": "clustertopology_status",
    "limitranges": "limit_ranges",
    "nodes": "nodes",
    "persistentvolumeclaims": "volume_claims?",
    "persistentvolumes": "volumes?",
    "resourcequotas": "resource_quotas",
    "runtimeclasses": "runtime_classes",
    "priorityclasses": "priority_classes",
}
"""Names in kube.paths that differ from a resource's own; else it is the plural or the singular."""


def names(resource: str) -> str:
    """A pattern of the functions of kube.paths that give a path of this resource."""
    plural, _, sub = resource.partition("/")
    singular = plural.removesuffix("s")
    return CALLED.get(resource, f"{singular}_{sub}" if sub else f"{singular}s?")


@pytest.mark.parametrize(
    ("need", "code"),
    [pytest.param(n, c, id=f"{'-'.join(n.verbs)} {n.resource} {c}") for n in NEEDS for c in n.code],
)
def test_the_code_makes_the_request(need: Need, code: str) -> None:
    _, text = needs.source(code)
    if code == "kube.render:_owner":
        assert '"blockOwnerDeletion": True' in text
        return
    if code == "feeds.sources:SOURCES":
        assert need.resource in {paths.split(each.path)[0] for each in SOURCES.values()}
    if not code.startswith("kube.lease:"):  # it keeps its paths
        pattern = names(need.resource)
        assert re.search(rf"\bpaths\.{pattern}\b", text), f"no paths.{pattern} in {code}"
    if need.verbs == needs.READ:
        return
    for verb in need.verbs:
        assert re.search(rf"_client\.{METHODS.get(verb, verb)}\(|self\._patch_pod\(", text), f"no {verb} in {code}"


def test_the_table_on_the_page_is_what_is_printed() -> None:
    text = needs.PAGE.read_text()
    assert needs.page(text) == text, "run: python -m e2e.needs"


def test_every_path_that_there_is_is_accounted_for() -> None:
    """A new kind in kube.paths is a new right: it belongs into the table, and into the chart."""
    known = {need.resource.partition("/")[0] for need in NEEDS}
    made = {
        value(*["x"] * value.__code__.co_argcount)
        for name, value in vars(paths).items()
        if callable(value) and not name.startswith("_") and name not in ("quote", "split")
    }
    assert {paths.split(path)[0] for path in made} == known
