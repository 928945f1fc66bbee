"""The Lua of helm/gitops/argocd, run by Lua 5.1 with what Argo CD gives its scripts: no library but base and table."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51
from tests.gitops.states import JOBS, TOPOLOGIES, State

FILE = Path(__file__).parents[2] / "helm/gitops/argocd/argocd-cm.yaml"
DATA: dict[str, str] = yaml.safe_load(FILE.read_text())["data"]
ACTIONS = yaml.safe_load(DATA["resource.customizations.actions.muster.dev_TrainingJob"])
TAKEN_AWAY = ("string", "math", "io", "os", "debug", "coroutine", "package", "require", "bit", "jit", "python")


def run(script: str, obj: dict[str, Any]) -> Any:
    """What a script returns for an object, tables as dicts and lists."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    lua.execute("debug.setmetatable('', nil)")
    for name in TAKEN_AWAY:
        lua.globals()[name] = None
    lua.globals()["obj"] = lua.table_from(copy.deepcopy(obj), recursive=True)
    return plain(lua.execute(script))


def plain(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    items = dict(value.items())
    if items and list(items) == list(range(1, len(items) + 1)):
        return [plain(item) for item in items.values()]
    return {key: plain(item) for key, item in items.items()}


def health(obj: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = run(DATA[f"resource.customizations.health.muster.dev_{obj['kind']}"], obj)
    return found


@pytest.mark.parametrize("state", [*JOBS, *TOPOLOGIES], ids=lambda s: f"{s.object['kind']} {s.name}")
def test_health(state: State) -> None:
    seen = health(state.object)
    assert seen.keys() == {"status", "message"}
    assert seen["status"] == state.argo
    assert state.says in seen["message"]
    assert seen["message"]


@pytest.mark.parametrize("obj", [JOBS[0].object, TOPOLOGIES[0].object], ids=lambda obj: str(obj["kind"]))
def test_an_object_without_any_status(obj: dict[str, Any]) -> None:
    bare = {key: value for key, value in obj.items() if key != "status"}
    assert health(bare)["status"] == "Progressing"


@pytest.mark.parametrize("state", JOBS, ids=lambda s: s.name)
def test_actions(state: State) -> None:
    over = state.object["status"]["phase"] in ("Succeeded", "Failed") or "deletionTimestamp" in state.object["metadata"]
    for suspend in (True, False, None):
        obj = copy.deepcopy(state.object)
        obj["spec"].pop("suspend", None)
        if suspend is not None:
            obj["spec"]["suspend"] = suspend
        offered = set(run(ACTIONS["discovery.lua"], obj))
        assert offered == (set() if over else {"resume"} if suspend else {"suspend"})


def test_what_the_actions_do() -> None:
    obj = JOBS[0].object
    scripts = {action["name"]: action["action.lua"] for action in ACTIONS["definitions"]}
    assert set(scripts) == {"suspend", "resume"}
    for name, suspend in (("suspend", True), ("resume", False)):
        after = run(scripts[name], obj)
        assert after["spec"].pop("suspend") is suspend
        assert after["metadata"] == obj["metadata"]
        assert set(after["spec"]) == set(obj["spec"]) - {"suspend"}


def test_every_kind_has_its_health() -> None:
    kinds = {path.stem for path in (FILE.parents[3] / "crds").glob("*.yaml")} - {"priorityclasses"}
    assert kinds == {"trainingjobs", "clustertopologies"}
    assert sum(key.startswith("resource.customizations.health.") for key in DATA) == len(kinds)
