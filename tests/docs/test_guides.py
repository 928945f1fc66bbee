"""The tables of docs/install.md and docs/gitops.md say what the code does, and every page of docs/ can be reached."""

from __future__ import annotations

import re
from pathlib import Path

from tests.gitops.states import JOBS

from muster.core.topology import PRESETS
from muster.kube.conditions import STALLED
from muster.kube.parse_job import GITOPS, GITOPS_LABEL

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)\)")


def table(page: str, first: str) -> list[list[str]]:
    """The cells of the table whose head begins with this."""
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = text[text.index(first) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_levels_of_the_presets() -> None:
    told = {}
    for names, *cells in table("install.md", "| preset | core |"):
        levels = dict(zip(("core", "spine", "leaf", "nvlink"), cells, strict=True))
        for name in names.split(", "):
            told[name] = {level: tuple(cell.split(", ")) for level, cell in levels.items() if cell != "-"}
    assert told == {name: {level.name: level.labels for level in levels} for name, levels in PRESETS.items()}


def test_what_is_shown_of_a_job() -> None:
    rows = {what: (kstatus, argo.split(",")[0]) for what, kstatus, argo in table("gitops.md", "| the job | kstatus")}
    assert set(rows.values()) == {(state.kstatus, state.argo) for state in JOBS}
    stalled = next(what for what in rows if what.startswith("cannot run"))
    assert all(reason.value in stalled for reason in STALLED)


def test_what_counts_as_tracked() -> None:
    text = (DOCS / "gitops.md").read_text(encoding="utf-8")
    assert all(f"`{prefix}`" in text for prefix in (*GITOPS, GITOPS_LABEL))


def test_every_link_leads_somewhere_and_every_page_is_linked() -> None:
    linked = set()
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            there = (page.parent / target).resolve()
            assert there.exists(), f"{page.name} links {target}"
            linked.add(there)
    assert {page for page in DOCS.glob("*.md") if page not in linked} == set()
