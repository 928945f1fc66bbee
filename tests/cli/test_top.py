from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Muster
from tests.cli.fakeapi import JOBS, FakeApi, Object, job, node, placed, pods

from muster.cli.rackmap.draw import plain
from muster.cli.rackmap.live import Screen
from muster.cli.rackmap.model import Cell, Group, JobLine, Picture, Rack
from muster.cli.rackmap.world import Painter
from muster.core.model import Gone, Kind, PriorityClass, Upsert
from muster.core.world import World
from muster.kube import parse

PODS, NODES, TOPOLOGIES = "/api/v1/pods", "/api/v1/nodes", "/apis/muster.dev/v1alpha1/clustertopologies"


def cluster(api: FakeApi) -> None:
    """Two racks of three nodes on two leaves: a job on r0-n0 and r0-n1, other pods on r0-n2, r1-n1 cordoned."""
    api.objects[NODES] = [node(f"r{r}-n{n}", f"c.{r}", f"leaf-{r}") for r in range(2) for n in range(3)]
    api.objects[NODES][4]["spec"]["unschedulable"] = True
    train = placed(job())
    api.objects[JOBS] = [train]
    api.objects[PODS] = [*pods(train), stranger("r0-n2")]


def stranger(where: str, **requests: str) -> Object:
    return {
        "kind": "Pod",
        "metadata": {"name": f"x-{where}", "namespace": "x", "uid": f"x-{where}", "resourceVersion": "9"},
        "spec": {
            "nodeName": where,
            "containers": [{"name": "c", "resources": {"requests": requests or {"nvidia.com/gpu": "1"}}}],
        },
        "status": {"phase": "Running"},
    }


def test_the_map_of_a_cluster(api: FakeApi, muster: Muster) -> None:
    cluster(api)
    code, out, err = muster("top")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2 racks, 6 nodes (3 held, 1 not usable), 11 of 24 GPUs free",
        "leaf   0 1",
        "0      A ·",
        "1      A /",
        "2      = ·",
        "nvlink 0 r1",
        "· free  a in small: not running  # several jobs  = other pods  / cordoned",
        "A research/train  Running, 2 nodes, 1/1 nvlink, 1/1 leaf",
    ]
    free = muster("top", "--once", "--by", "free")[1].splitlines()
    assert [line[7:10] for line in free[2:5]] == ["· 4", "· /", "3 4"]
    assert muster("top", "--by", "health", "--fold", "racks")[1].splitlines()[2][7:] == "· 1"


def test_json(api: FakeApi, muster: Muster) -> None:
    cluster(api)
    code, out, _ = muster("top", "-o", "json")
    said = json.loads(out)
    assert code == 0
    assert list(said) == ["levels", "unit", "totals", "jobs", "groups", "warnings"]
    assert said["levels"] == {"rack": "nvlink", "group": "leaf"}
    assert said["totals"] == {"racks": 2, "nodes": 6, "held": 3, "usable": 5, "slots": 24, "free": 11}
    assert said["jobs"] == [
        {
            "job": "research/train",
            "mark": "A",
            "phase": "Running",
            "nodes": 2,
            "racks": 1,
            "groups": 1,
            "note": "2 nodes, 1/1 nvlink, 1/1 leaf",
        }
    ]
    assert [group["name"] for group in said["groups"]] == ["leaf-0", "leaf-1"]
    (rack,) = said["groups"][0]["racks"]
    assert (rack["name"], rack["domain"]) == ("r0", "c.0")
    assert rack["nodes"][0] == {
        "node": "r0-n0",
        "health": "ok",
        "slots": 4,
        "free": 0,
        "jobs": ["research/train"],
        "running": True,
        "others": False,
    }
    assert (rack["nodes"][2]["free"], rack["nodes"][2]["others"]) == (3, True)
    assert said["groups"][1]["racks"][0]["nodes"][1]["health"] == "cordoned"


def test_without_our_kinds_the_map_is_drawn_all_the_same(api: FakeApi, muster: Muster) -> None:
    cluster(api)
    del api.objects[JOBS], api.objects[TOPOLOGIES]
    code, out, err = muster("top")
    assert (code, out.splitlines()[2]) == (0, "0      = ·")
    assert "the cluster does not serve trainingjobs" in err


@pytest.mark.parametrize("refused", [NODES, PODS])
def test_what_may_not_be_listed_is_one_line(api: FakeApi, muster: Muster, refused: str) -> None:
    cluster(api)
    api.refused[refused] = (403, f'x is forbidden: User "u" cannot list resource "{refused}"')
    code, out, err = muster("top")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "cannot list" in err


def test_no_way_to_the_server_is_one_line(muster: Muster, tmp_path: Path) -> None:
    code, _, err = muster("top", at=str(tmp_path / "none"))
    assert (code, len(err.splitlines())) == (1, 1)
    assert "does not exist" in err


def test_an_empty_cluster(api: FakeApi, muster: Muster) -> None:
    code, out, _ = muster("top")
    assert (code, out.splitlines()[0]) == (0, "0 racks, 0 nodes (0 held, 0 not usable), 0 of 0 nodes free")


def test_a_dump(tmp_path: Path, api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    from muster.cli.main import main

    cluster(api)
    items = [dict(obj, kind=kind) for kind, path in (("Node", NODES), ("Pod", PODS)) for obj in api.objects[path]]
    (tmp_path / "dump.json").write_text(json.dumps({"kind": "List", "items": items + api.objects[JOBS]}))
    assert main(["top", "--cluster", str(tmp_path / "dump.json")]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "0      A ·"


# --- World -> Picture -----------------------------------------------------------------------------------------------


def world(*objects: Object) -> World:
    made = World()
    for obj in objects:
        record = parse.record_from(obj)
        assert record is not None
        made.apply(Upsert(record, 0))
    return made


def labelled(name: str, **labels: str) -> Object:
    made = node(name)
    made["metadata"]["labels"] = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    return made


def test_nodes_without_labels_are_one_rack_and_without_gpus_are_left_out() -> None:
    plain_node = node("cpu-1", gpus=0)
    picture = Painter(world(node("a-1", "c.1"), labelled("b-1"), labelled("b-2"), plain_node)).picture()
    assert {rack.name: [cell.node for cell in rack.cells] for rack in picture.racks()} == {
        "c.1": ["a-1"],
        "none": ["b-1", "b-2"],
    }
    assert picture.warnings == ("1 nodes without accelerators are not drawn",)


def test_without_any_accelerator_nodes_are_the_unit() -> None:
    one = World()
    for name in ("k-1", "k-2"):
        one.apply(Upsert(parse.record_from(node(name, gpus=0)), 0))  # type: ignore[arg-type]
    pod = parse.record_from(stranger("k-1", cpu="1"))
    assert pod is not None
    one.apply(Upsert(pod, 0))
    picture = Painter(one).picture()
    assert picture.unit == "node"
    assert [(cell.free, cell.slots, cell.others) for cell in picture.cells()] == [(0, 1, True), (1, 1, False)]


def test_taints_that_pods_do_not_tolerate_and_those_that_they_do() -> None:
    gpu = node("a", taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}])
    own = node("b", taints=[{"key": "team", "value": "x", "effect": "NoSchedule"}])
    soft = node("c", taints=[{"key": "team", "value": "x", "effect": "PreferNoSchedule"}])
    off = node("d", taints=[{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}])
    dark = node("e") | {"status": {"allocatable": {"nvidia.com/gpu": "4"}, "conditions": []}}
    picture = Painter(world(gpu, own, soft, off, dark)).picture()
    assert [cell.health.value for cell in picture.cells()] == ["ok", "tainted", "ok", "outOfService", "notReady"]


def test_the_picture_follows_the_world() -> None:
    train = placed(job(), live=True)
    made = world(node("r0-n0"), node("r0-n1"), train, *pods(train))
    painter = Painter(made)
    assert [cell.jobs for cell in painter.picture().cells()] == [("research/train",)] * 2
    cordoned = parse.record_from(node("r0-n1", unschedulable=True) | {"kind": "Node"})
    assert cordoned is not None
    made.apply(Upsert(cordoned, 0))
    assert [cell.health.usable for cell in painter.picture().cells()] == [True, False]
    made.apply(Gone(Kind.NODE, "u-r0-n1", 0))
    assert [cell.node for cell in painter.picture().cells()] == ["r0-n0"]
    new = parse.record_from(node("r1-n0", "c.9"))
    assert new is not None
    made.apply(Upsert(new, 0))
    made.apply(Upsert(PriorityClass("x", 1, 0, False), 0))
    assert [rack.domain for rack in painter.picture().racks()] == ["c.0", "c.9"]


def test_a_job_that_waits_stands_below_with_its_reason() -> None:
    waiting = {"reason": "Fragmented", "message": "not in that shape", "since": "2026-01-01T00:00:00Z"}
    waits = job("late") | {"status": {"phase": "Pending", "waiting": waiting}}
    waits["metadata"]["uid"] = "other"
    done = job("done") | {"status": {"phase": "Succeeded"}}
    done["metadata"]["uid"] = "third"
    train = placed(job())
    picture = Painter(world(node("r0-n0"), node("r0-n1"), waits, done, train)).picture()
    assert [(line.key, line.nodes, line.note) for line in picture.jobs] == [
        ("research/train", 2, "2 nodes, 1/1 nvlink, 1/1 leaf"),
        ("research/late", 0, "Fragmented: not in that shape"),
    ]


# --- live -----------------------------------------------------------------------------------------------------------


def test_keys_and_room_of_the_screen() -> None:
    from muster.cli.rackmap.draw import Fold
    from muster.cli.rackmap.glyphs import View

    screen = Screen(View.JOB, Fold.AUTO)
    rack = Rack("r", tuple(Cell(f"n{i}", free=4, slots=4) for i in range(18)))
    picture = Picture((Group("", (rack,)),), (JobLine("j", "Pending"),), warnings=("something",))
    assert plain(screen.lines(picture, 80, 30)).splitlines()[-1].startswith("by job, fold auto:  j job")
    for height in range(4, 40):
        assert len(screen.lines(picture, 80, height)) <= height
    assert all(map(screen.press, "fh "))
    assert (screen.view, screen.fold) == (View.HEALTH, Fold.NODES)
    assert not screen.press("z")
    assert screen.press("q")
    assert screen.over


def heeds_ctrl_c() -> None:
    """As on every terminal; what a shell starts in the background inherits that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """`muster top` on a pseudo-terminal of 80 by 24."""

    def __init__(self, *args: str) -> None:
        import fcntl
        import termios

        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        environ |= {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, "-m", "muster", "top", *args]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, preexec_fn=heeds_ctrl_c
        )
        os.close(theirs)
        self.text = ""

    def until(self, words: str, seconds: float = 20) -> None:
        """Read until the words were shown since the last call."""
        deadline = time.monotonic() + seconds
        seen = ""
        while words not in (clean := re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)):
            left = deadline - time.monotonic()
            assert left > 0, clean
            assert self.process.poll() is None, clean
            if select.select([self.ours], [], [], left)[0]:
                seen += os.read(self.ours, 65536).decode(errors="replace")
        self.text += seen

    def ended(self, seconds: float = 60) -> int:
        """The exit code; what is shown until then is read, or the process would wait for that."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it has not ended"
            if select.select([self.ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # the other end is closed
                    os.read(self.ours, 65536)
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture
def terminal(api: FakeApi, tmp_path: Path) -> Iterator[Any]:
    cluster(api)
    with contextlib.ExitStack() as stack:

        def start() -> Terminal:
            made = Terminal("--kubeconfig", api.kubeconfig(tmp_path))
            stack.callback(made.close)
            return made

        yield start


def test_live_follows_the_cluster_and_the_keys(api: FakeApi, terminal: Any) -> None:
    shown = terminal()
    shown.until("3 held")
    assert "\x1b[?1049h" in shown.text
    api.tell(PODS, "ADDED", stranger("r1-n0"))
    shown.until("4 held")
    os.write(shown.ours, b"f")
    shown.until("that many GPUs free")
    os.write(shown.ours, b"q")
    assert shown.ended() == 0


def test_ctrl_c_ends_it_well_and_gives_the_terminal_back(terminal: Any) -> None:
    import termios

    shown = terminal()
    shown.until("3 held")
    shown.process.send_signal(signal.SIGINT)
    assert shown.ended() == 0
    assert termios.tcgetattr(shown.ours)[3] & termios.ICANON
