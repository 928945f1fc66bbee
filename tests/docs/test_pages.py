"""What the documentation shows is what the code does: pictures, worked examples, and commands with their output."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from docs import placement_pictures as pictures
from muster.api.clustertopology import Preset
from muster.api.failurepolicy import FailurePolicy
from muster.core.health_presets import COMMON, preset_rules
from muster.core.model import Filter, Found, HealthAction, HealthRule, RoleShape, Segments, Shape
from muster.kube.parse_topology import topology_from

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "placement.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^\$ (muster .*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)


def rows(first: str) -> list[list[str]]:
    """The cells of the lines of the page's table that begins with this line."""
    lines = PAGE[PAGE.index(first) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_pictures_are_those_that_the_solver_makes(name: str) -> None:
    made = pictures.PICTURES[name]()
    assert made == (DOCS / name).read_text(encoding="utf-8"), "python docs/placement_pictures.py draws them anew"
    assert f"]({name})" in PAGE


def test_pictures_have_a_text_alternative_and_fetch_nothing() -> None:
    for name in pictures.PICTURES:
        text = (DOCS / name).read_text(encoding="utf-8")
        assert re.search(r"<title id=\"t\">.+</title>\n<desc id=\"d\">.+</desc>", text)
        assert len(text) < 20_000
        assert "href" not in text
        assert "url(" not in text
    assert not re.findall(r"!\[.{0,80}\]\(placement", PAGE), "the page describes each picture"


def test_the_worked_example() -> None:
    cluster = pictures.two_leaves()
    role = pictures.gang(64, 16).roles[0]
    first = Shape(
        (
            RoleShape(
                role.name, 64, role.requests, Filter((("example.com/leaf", "l0"),)), None, None, (Segments("rack", 16),)
            ),
        )
    )
    told = rows("| second leaf")
    for line, shape in zip(told, (pictures.gang(64, 16), first), strict=True):
        found = cluster.solver.place(cluster.inventory, shape)
        assert isinstance(found, Found)
        best = found.objective
        assert line[1].endswith(f" = {best.cost}")
        assert line[2:] == [str(best.nodes), ", ".join(str(n) for _, n in best.intact), str(best.leftover)]


def test_the_table_of_least_keys() -> None:
    cluster = pictures.Cluster([[(4, 0), (3, 0), (2, 0)]])
    pods, touched, leftover, where = rows("| pods | 1 |")[0], *rows("| racks touched")
    for n, racks, left, on in zip(pods[1:], touched[1:], leftover[1:], where[1:], strict=True):
        found = cluster.solver.place(cluster.inventory, pictures.gang(int(n)))
        if racks == "-":
            assert not isinstance(found, Found)
            continue
        assert isinstance(found, Found)
        held = [sum(name in rack for name in found.nodes[0]) for rack in cluster.racks]
        assert (racks, left) == (str(dict(found.domains)["rack"]), str(found.objective.leftover))
        assert on == "+".join(map(str, held))


def shown() -> list[tuple[str, str, str]]:
    """(page, command, output) of every command on files of the repository that a page shows with its output."""
    return [
        (page.name, found[1], found[2])
        for page in (ROOT / "README.md", *DOCS.glob("*.md"))
        for found in COMMAND.finditer(page.read_text(encoding="utf-8"))
        if "examples/" in found[1] and found[2].strip()
    ]


@pytest.mark.parametrize(("page", "command", "output"), shown())
def test_commands_print_what_the_pages_show(page: str, command: str, output: str) -> None:
    words = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == output.split(), f"{page}: {command}\n{done.stdout}{done.stderr}"


JOBS = [path for path in sorted((ROOT / "examples").glob("*.yaml")) if "kind: TrainingJob" in path.read_text("utf-8")]


ON_THE_DUMP = {"torchrun-64": "Fragmented", "amd": "Unsatisfiable", "cpu-only": "Unsatisfiable"}
"""Why those wait that do not fit on a dump of GB300 racks."""


@pytest.mark.parametrize("example", JOBS, ids=lambda path: path.stem)
def test_the_examples_can_be_asked_about_on_the_dump(example: Path) -> None:
    dump = ROOT / "examples" / "five-racks.json"
    assert dump.stat().st_size < 60_000
    words = [sys.executable, "-m", "muster", "what-if", "-f", str(example), "--cluster", str(dump), "-o", "json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    reason = ON_THE_DUMP.get(example.stem, "")
    assert done.returncode == {"": 0, "Fragmented": 2, "Unsatisfiable": 3}[reason], done.stderr
    (answer,) = json.loads(done.stdout)["jobs"]
    assert (answer["placed"], answer["reason"]) == (not reason, reason)


def test_the_table_of_health_rules_is_what_the_presets_bring() -> None:
    page = (DOCS / "failure.md").read_text(encoding="utf-8")
    lines = page[page.index("| preset | sign |") :].split("\n\n")[0].splitlines()[2:]
    told: dict[str, list[tuple[str, ...]]] = {}
    for line in lines:
        preset, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        told.setdefault(preset, []).append(tuple(cells))
    assert told.pop("every preset") == [_told(rule) for rule in COMMON]
    for preset in get_args(Preset):
        own = preset_rules(preset)[len(COMMON) :]
        expected = (
            [rule for rules in told.values() for rule in rules]
            if preset in ("Auto", "Custom")
            else told.get(preset, [])
        )
        assert [_told(rule) for rule in own] == expected, preset


def _told(rule: HealthRule) -> tuple[str, ...]:
    bad = "any" if rule.bad is None else f"`{rule.bad}`"
    after = str(rule.after // 1000) if rule.action is HealthAction.DRAIN else "-"
    return f"{rule.kind} `{rule.key}`", bad, rule.action.value, after


def test_the_example_of_health_rules_can_be_applied() -> None:
    page = (DOCS / "failure.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "healthRules" in block)
    spec = topology_from(yaml.safe_load(example))
    assert spec.invalid == ""
    assert spec.health_rules is not None
    assert len(spec.health_rules) == 3


def test_the_example_of_rules_is_one_that_the_api_takes() -> None:
    page = (DOCS / "failure.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if block.startswith("rules:"))
    policy = FailurePolicy.model_validate(yaml.safe_load(example))
    assert [rule.action for rule in policy.rules] == ["FailJob", "ReplaceNode", "Restart"]
    assert [rule.counted for rule in policy.rules] == [True, True, False]
