"""Dumps as people have them: what is read, what is counted, what is refused and in which words."""

from __future__ import annotations

import copy
import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cli.dumps import Bench, job, named, node, pod, racks, running

from muster.cli.main import main


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


def listed(objects: list[Any], **top: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects, **top})


# --- forms that are read ---


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda objects: listed(objects), id="json"),
        pytest.param(lambda objects: json.dumps(json.loads(listed(objects)), indent=4), id="as kubectl prints it"),
        pytest.param(lambda objects: json.dumps(objects), id="an array"),
        pytest.param(lambda objects: yaml.safe_dump(json.loads(listed(objects))), id="yaml"),
        pytest.param(lambda objects: yaml.safe_dump_all(objects), id="yaml, one document each"),
        pytest.param(lambda objects: gzip.compress(listed(objects).encode()), id="gzip"),
        pytest.param(lambda objects: listed(objects).encode("utf-16"), id="as PowerShell writes it"),
        pytest.param(lambda objects: b"\xef\xbb\xbf" + listed(objects).encode(), id="utf-8 with its mark"),
    ],
)
def test_a_dump_is_read_in_every_form_that_people_have(bench: Bench, write: Any) -> None:
    held = pod("p", "r0-n0", gpu="1")
    code, said = bench.ask(job(replicas=4), cluster=bench.file("dump", write([*bench.objects, held])))
    assert (code, said["jobs"][0]["details"]["missing"]) == (2, 1)


def test_the_items_of_a_list_of_one_kind_need_not_say_theirs(bench: Bench) -> None:
    bare = [{k: v for k, v in each.items() if k not in ("kind", "apiVersion")} for each in bench.objects]
    code, said = bench.ask(job(), cluster=bench.file("d", json.dumps({"kind": "NodeList", "items": bare})))
    assert (code, said["jobs"][0]["placed"]) == (0, True)


def test_a_kind_of_another_group_that_bears_the_same_name_is_not_ours(bench: Bench) -> None:
    bench.objects.append(named("Node", "r9-n9", version="other.example/v1", spec={"nodes": 3}))
    code, said = bench.ask(job())
    assert code == 0
    assert len(said["warnings"]) == 1


def test_standard_input_is_a_dump_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(bench.dump(), "rb") as stream:
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": stream}))
        assert bench.ask(job(), cluster="-")[0] == 0


# --- what is no dump ---


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(listed(racks())[:900], "is cut off", id="cut off"),
        pytest.param(gzip.compress(listed(racks()).encode())[:100], "cut off or damaged", id="gzip, cut off"),
        pytest.param("", "is empty", id="empty"),
        pytest.param(" \n", "is empty", id="blank"),
        pytest.param('{"kind": "List",\n "items": [}', "line 2, is no JSON", id="not JSON"),
        pytest.param("a: [", "neither JSON nor YAML", id="not YAML"),
        pytest.param("just words", "no object of Kubernetes", id="words"),
        pytest.param(b"\xff\xff\x00", "neither JSON nor YAML", id="bytes"),
        pytest.param("&a [*a]", "refers to itself", id="a circle"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(listed(racks()) * 2, "more follows", id="two after each other"),
        pytest.param('{"kind": "List", "items": {"a": 1}}', "items: expected", id="items are no list"),
        pytest.param('{"kind": "List", "items": []}', "holds no nodes, but nothing", id="nothing in it"),
        pytest.param('{"kind": "List", "items": [1]}', "no object of Kubernetes", id="numbers"),
        pytest.param(json.dumps(pod("p", "n")), "holds no nodes, but 1 Pod", id="a single pod"),
        pytest.param(listed([named("ConfigMap", "c")] * 3), "but 3 ConfigMap", id="other kinds"),
        pytest.param("apiVersion: v1\nkind: Config\nclusters: []", "is a kubeconfig", id="a kubeconfig"),
        pytest.param(json.dumps(job()), "but 1 TrainingJob", id="a manifest"),
        pytest.param('{"kind": "Status", "message": "no rights"}', "no rights", id="a refusal"),
        pytest.param(listed([node("", "c")]), "metadata.name is missing", id="a node without a name"),
    ],
)
def test_what_is_no_dump_is_told_in_a_sentence(bench: Bench, content: str | bytes, says: str) -> None:
    assert says in bench.fails(bench.file("bad", content))


def test_files_that_cannot_be_read(bench: Bench) -> None:
    assert "directory" in bench.fails(str(bench.folder))
    assert "cannot be read" in bench.fails(str(bench.folder / "nowhere"))
    shut = bench.file("shut", "{}")
    os.chmod(shut, 0)
    if not os.access(shut, os.R_OK):  # root reads everything
        assert "ermission" in bench.fails(shut)


# --- what is odd ---


@pytest.mark.parametrize(
    ("objects", "warning"),
    [
        pytest.param(
            [pod("a", "gone"), pod("b", "gone"), pod("c", "r0-n0")],
            "2 Pods are bound to nodes that are not in the dump (first: x/a on gone)",
            id="pods on nodes that are not there",
        ),
        pytest.param(
            [node("r0-n0", "c.9")],
            "1 Node is in the dump more than once; the first one counts (first: items[4], r0-n0)",
            id="a node twice",
        ),
        pytest.param(
            [pod("a", "r0-n0", cpu="12 apples"), pod("b", "r0-n0", cpu="1")],
            "1 Pod is not readable in part; that part counts as absent (first: items[4], x/a: "
            "spec.containers[0].resources.requests[cpu]: '12 apples' is not a quantity of cpu",
            id="an unknown quantity",
        ),
        pytest.param(
            [pod("a", "r0-n0") | {"spec": {"containers": "none"}}],
            "1 Pod is left out (first: items[4], x/a: spec.containers: expected `array | null`, got `str`)",
            id="a pod of no shape",
        ),
        pytest.param(
            [{"kind": "Pod", "metadata": {}, "spec": {"nodeName": "r0-n0"}} for _ in range(2)],
            "2 Pods are not readable in part; that part counts as absent (first: items[4]: metadata.name is missing)",
            id="pods without names",
        ),
        pytest.param(
            [7, "x"], "2 items are no object of Kubernetes and left out (first: items[4]: expected", id="no objects"
        ),
        pytest.param(
            [running("a", "r0-n0") | {"status": "fine"}],
            "(first: items[4], research/a: status: expected an object; the job counts as new)",
            id="a status that is text",
        ),
        pytest.param(
            [running("a", "r0-n0") | {"status": {"phase": "Dancing"}}],
            "status.phase: there is no phase 'Dancing'",
            id="a phase that there is not",
        ),
        pytest.param(
            [running("a", "r0-n0") | {"status": {"phase": "Running", "live": True, "placement": {"roles": 3}}}],
            "status.placement",
            id="a placement of garbage",
        ),
        pytest.param(
            [named("ResourceQuota", "q", "research", spec={"hard": {"pods": "1"}, "scopes": ["BestEffort"]})],
            "1 ResourceQuota is left out (first: items[4], research/q: spec.scopes",
            id="a quota with scopes",
        ),
        pytest.param(
            [named("ClusterTopology", "default", version="muster.dev/v1alpha1", spec={"preset": "Custom"})],
            "1 ClusterTopology is not readable in part",
            id="a topology that cannot be",
        ),
        pytest.param(
            [named("LimitRange", "l", "research", spec={"limits": [{"type": "Container", "default": {"cpu": []}}]})],
            "LimitRange l is not applied to pods",
            id="a LimitRange of no shape",
        ),
    ],
)
def test_what_is_odd_is_counted_and_shown_once(bench: Bench, objects: list[Any], warning: str) -> None:
    bench.objects += objects
    code, said = bench.ask(job())
    assert code in (0, 3)
    assert [w for w in said["warnings"] if warning in w], said["warnings"]


def test_a_page_of_a_list_is_known_as_one(bench: Bench) -> None:
    page = bench.file("d", listed(bench.objects, metadata={"continue": "abc"}))
    assert any("one page of several" in w for w in bench.ask(job(), cluster=page)[1]["warnings"])


def test_an_unknown_amount_of_a_node_is_none_of_it(bench: Bench) -> None:
    bench.objects[0]["status"]["allocatable"]["nvidia.com/gpu"] = "four"
    code, said = bench.ask(job(replicas=4))
    assert (code, said["jobs"][0]["reason"]) == (3, "Unsatisfiable")
    assert any("1 Node is not readable in part" in w and "'four'" in w for w in said["warnings"])


def test_explain_tells_the_same(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.objects += [running("a", "r0-n0"), pod("p", "gone")]
    assert main(["explain", "a", "--cluster", bench.dump()]) == 0
    out, err = capsys.readouterr()
    assert "research/a: Running" in out
    assert "bound to nodes that are not in the dump" in err


# --- whatever else ---


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, part in inner for place in _places(part, (*at, key)))]


FULL: dict[str, Any] = json.loads(
    listed(
        [
            *racks(),
            pod("p", "r0-n0", gpu="1"),
            pod("d", "r0-n1", owner={"kind": "DaemonSet", "uid": "d", "apiVersion": "apps/v1"}, cpu="1"),
            running("live", "r1-n0"),
            named("ClusterTopology", "default", version="muster.dev/v1alpha1", spec={"preset": "GB300"}),
            named("PriorityClass", "muster-default", version="scheduling.k8s.io/v1", value=0, preemptionPolicy="Never"),
            named(
                "ResourceQuota",
                "q",
                "research",
                spec={"hard": {"pods": "9", "requests.cpu": "99"}},
                status={"hard": {"pods": "9", "requests.cpu": "99"}, "used": {"pods": "1", "requests.cpu": "1"}},
            ),
            named(
                "LimitRange", "l", "research", spec={"limits": [{"type": "Container", "defaultRequest": {"cpu": "1"}}]}
            ),
            named(
                "RuntimeClass",
                "nvidia",
                version="node.k8s.io/v1",
                handler="nvidia",
                overhead={"podFixed": {"cpu": "1"}},
                scheduling={
                    "nodeSelector": {"kubernetes.io/hostname": "r0-n0"},
                    "tolerations": [{"operator": "Exists"}],
                },
            ),
            named("PersistentVolumeClaim", "data", "research", spec={"volumeName": "v"}),
            named(
                "PersistentVolume",
                "v",
                spec={
                    "nodeAffinity": {
                        "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}
                    }
                },
            ),
        ]
    )
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [-1, 2**70, 1.5, "", "x", "12 apples", "-4", "r0-n[0-", "2026-13-45T99:99:99Z", "\udcff", "a" * 5000]
    ),
    st.sampled_from([[], {}, [1], {"a": 1}, [[]], [None], {"": None}]),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_dump_that_anybody_has_edited_is_answered_or_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    dump = json.loads(json.dumps(FULL))
    for _ in range(data.draw(st.integers(1, 4))):
        places = [place for place in _places(dump) if place]
        *to, last = data.draw(st.sampled_from(places))
        holder = dump
        for key in to:
            holder = holder[key]
        if data.draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = copy.deepcopy(data.draw(ODD))  # else a later edit would change what is drawn from
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    asked = [job(pod={"runtimeClassName": "nvidia", "volumes": [volume]}), job("plain")]
    jobs = bench.file("jobs.json", json.dumps({"kind": "List", "items": asked}))
    path = bench.file("dump.json", json.dumps(dump))
    for args in (
        ["what-if", "-f", jobs, "--cluster", path, "--sequential", "-o", "json"],
        ["what-if", "-f", jobs, "--cluster", path, "--free", "r1-n0", "--add-racks", "1"],
        ["explain", "live", "--cluster", path],
    ):
        code = main(args)
        out, err = capsys.readouterr()
        assert code in (0, 1, 2, 3)
        assert "internal error" not in err, err
        assert out or err


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(json.dumps(FULL))))
def test_a_dump_cut_off_anywhere_is_refused(bench: Bench, at: int) -> None:
    text = json.dumps(FULL)
    assert bench.fails(bench.file("cut.json", text[:at])) if at < len(text) else True


def test_a_quota_whose_numbers_cannot_be_read_bounds_nothing_and_is_told(bench: Bench) -> None:
    status = {"hard": {"pods": "", "services": "5"}, "used": {"services": "two"}}
    bench.objects.append(named("ResourceQuota", "team", "research", spec={"hard": {"pods": "9"}}, status=status))
    code, said = bench.ask(job())
    assert code == 0
    assert any("ResourceQuota" in warning for warning in said["warnings"]), said["warnings"]
