"""`muster demo`: the whole of it on a small cluster, its end in every way, and the parts that draw and sum up."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from muster.cli.demo import greedy
from muster.cli.demo import play as demo_play
from muster.cli.demo import summary as demo_summary
from muster.cli.demo.beside import Beside, Pair, Sums
from muster.cli.demo.beside import Racks as Used
from muster.cli.demo.children import Child, ChildError, _environment
from muster.cli.demo.gangs import MOST_PODS, SEGMENT, SMALL, Sizes, manifest
from muster.cli.demo.mends import mended
from muster.cli.demo.picture import picture
from muster.cli.demo.play import Options, Result
from muster.cli.demo.screen import Screen
from muster.cli.demo.summary import Told
from muster.cli.rackmap.model import Health
from muster.embedded.nodes.racks import Racks
from muster.kube.hostlist import compress, run_lengths
from muster.safety import Violation
from muster.safety.record import Event

Object = dict[str, Any]
DEMO = [sys.executable, "-m", "muster", "demo", "--racks", "8"]


def test_the_whole_story_on_eight_racks() -> None:
    done = subprocess.run(
        [*DEMO, "--speed", "5", "-o", "json"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["racks"], told["nodes"], told["gpus"]) == (8, 144, 576)
    assert told["brokenOff"] is None
    assert told["safety"]["violations"] == []
    assert told["safety"]["events"] > 500
    jobs = {job["job"]: job for job in told["jobs"]}
    assert jobs["pretrain"]["attempts"] == 3
    lost, failed = told["repairs"]
    assert (lost["cause"], len(lost["moved"]), lost["kept"], lost["sameRacks"]) == ("node", 1, 31, True)
    assert (failed["cause"], failed["moved"], failed["kept"]) == ("failure", [], 32)
    for repair in told["repairs"]:
        assert list(repair["seconds"]) == ["detected", "decided", "deleted", "created", "running"]
        assert sorted(repair["seconds"].values()) == list(repair["seconds"].values())
    assert told["lastWords"].splitlines()[-2:] == [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB",
        "[stand-in] ended with code 1",
    ]
    assert "in the same rack; 31 keep theirs" in done.stderr
    assert jobs["pretrain"]["domains"]["nvlink"] == {"used": 2, "least": 2}
    assert jobs["second"]["waitedSeconds"] > jobs["sweep"]["waitedSeconds"]
    assert {job["phase"] for name, job in jobs.items() if name.startswith("tune")} == {"Succeeded"}
    assert "missing" in told["waiting"] or "fragment" in told["waiting"].lower()
    assert "must add up to replicas" in told["refused"]
    assert jobs["pretrain"]["greedy"] == {"used": 2, "opened": 2}
    greedy = told["greedy"]
    assert (greedy["placements"], greedy["withoutRoom"]) == (12, 0)
    assert greedy["racks"]["used"] == greedy["ours"]["used"]
    assert "given the same 12 gangs in the same order" in done.stderr
    assert "4,608" not in done.stderr
    assert "found no breach of S1-S7" in done.stderr


@pytest.fixture
def running(tmp_path: Path) -> Any:
    """A demo that has started both of its children, and their process ids."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(DEMO, stdout=out, stderr=out, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(children(process.pid)) < 2:
            assert process.poll() is None, (tmp_path / "out").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process, children(process.pid)
    finally:
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def gone(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGTERM, 143, id="asked"),
    ],
)
def test_nothing_outlives_it(running: Any, tmp_path: Path, sent: signal.Signals, code: int) -> None:
    process, pids = running
    process.send_signal(sent)
    assert process.wait(20) == code
    assert gone(pids, 10)
    assert not list(tmp_path.glob("muster-demo-*"))


def test_a_breach_is_a_failure() -> None:
    told = Result(Options())
    assert told.well
    assert not Result(Options(), broken="it broke off").well
    broken = Result(Options(), violations=[Violation("S2", 7, "two gangs overlap", ("a", "b"))])
    assert not broken.well
    assert broken.as_json()["safety"]["violations"] == ["S2 at 7: two gangs overlap"]


@pytest.mark.parametrize("racks", [8, 9, 13, 64, 100, 1024])
def test_the_story_holds_on_every_number_of_racks(racks: int) -> None:
    sizes = Sizes(racks)
    left = racks - sizes.pretrain - sizes.sweep
    assert 0 <= left < sizes.second, "second has to wait"
    assert sizes.pretrain + sizes.second + sizes.night <= racks, "it fits when sweep has ended, and night too"
    assert max(sizes.pretrain, sizes.sweep, sizes.second) * SEGMENT <= MOST_PODS
    gaps = (sizes.pretrain + sizes.sweep) * 2 - 2 * len(SMALL)
    assert sizes.odd <= left * 18 + max(0, gaps), "eval fits"
    rest = racks - sizes.pretrain - sizes.second - sizes.night
    assert rest >= -(-sizes.odd // 18), "and what comes later fits beside it"


def nodes() -> list[Object]:
    return list(Racks(racks=9, nodes=2).objects())


def bound(job: str, node: str, phase: str = "Running") -> Object:
    meta = {"name": f"{job}-{node}", "namespace": "default", "labels": {"muster.dev/job-name": job}}
    return {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": phase}}


def job(name: str, phase: str, second: int, **status: Any) -> Object:
    meta = {"name": name, "namespace": "default", "creationTimestamp": f"2026-01-01T00:00:{second:02}Z"}
    return {"metadata": meta, "status": {"phase": phase, **status}}


def test_the_picture_shows_who_holds_what() -> None:
    every = nodes()
    every[1]["spec"]["unschedulable"] = True
    every[2]["status"]["conditions"][0]["status"] = "Unknown"
    pods = [bound("a", "r00-n00"), bound("a", "r08-n01", "Pending"), bound("b", "r01-n01", "Succeeded")]
    jobs = [job("b", "Pending", 1, waiting={"reason": "Fragmented"}), job("a", "Running", 2)]
    made = picture(every, pods, jobs)
    assert [group.name for group in made.groups] == ["leaf-r000", "leaf-r001"]
    cells = {cell.node: cell for cell in made.cells()}
    assert cells["r00-n00"].jobs == ("default/a",)
    assert cells["r00-n00"].running
    assert not cells["r08-n01"].running
    assert cells["r00-n01"].health is Health.CORDONED
    assert cells["r01-n00"].health is Health.NOT_READY
    assert cells["r01-n01"].jobs == ()
    assert cells["r01-n01"].free == 4
    first, second = made.jobs
    assert (first.key, first.nodes, first.racks, first.groups) == ("default/a", 2, 2, 2)
    assert (second.key, second.note) == ("default/b", "Fragmented")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_screen_draws_only_on_a_terminal(terminal: bool) -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=terminal, width=80, height=30, color_system=None))
    screen.open(lambda: picture(nodes(), [bound("a", "r00-n00")], [job("a", "Running", 1)]))
    screen.line("a line of [markup] http://127.0.0.1:1")
    screen.refresh()
    screen.close()
    assert "a line of [markup] http://127.0.0.1:1" in out.getvalue()
    assert ("9 racks" in out.getvalue()) is terminal


def test_on_a_terminal_long_lines_are_broken_between_words() -> None:
    for terminal in (True, False):
        out = io.StringIO()
        screen = Screen(Console(file=out, force_terminal=terminal, width=40, color_system=None))
        screen.line("second waits: needs 512 free slots, 232 are free: 280 missing")
        lines = out.getvalue().splitlines()
        assert (max(map(len, lines)) <= 40, len(lines) > 1) == (terminal, terminal)
        assert not terminal or lines[1].startswith(" " * 9)


def test_the_table() -> None:
    jobs = [
        Told("a", 32, "Running", 3.21, 2, {"nvlink": (2, 2), "leaf": (2, 1)}, Pair(Used(2, 2), Used(3, 1))),
        Told("b", 4),
        Told("c", 4, beside=Pair(Used(1, 0), None)),
    ]
    lines = demo_summary.text(jobs).splitlines()
    assert lines[1].split() == ["a", "Running", "3.2", "s", "32", "2", "2/2", "2/1", "3"]
    assert lines[2].split() == ["b", "Pending", "-", "4", "0", "-", "-", "-"]
    assert lines[3].endswith("no room")
    assert max(map(len, lines)) <= 80
    told = demo_summary.as_json(jobs)
    assert told[0]["domains"]["leaf"] == {"used": 2, "least": 1}
    assert [job["greedy"] for job in told] == [{"used": 3, "opened": 1}, None, None]


def racks_of(*free: int) -> tuple[Any, list[Any]]:
    """Free nodes of racks of 20 under one leaf, as best_fit takes them."""
    slots = np.array([int(node < n) for n in free for node in range(20)])
    return slots, [np.array([0, len(slots)]), np.arange(0, len(slots) + 1, 20)]


@pytest.mark.parametrize(
    ("free", "pods", "segment", "taken"),
    [
        pytest.param((19, 10, 10), 20, 1, [19, 1, 0], id="most room first, whatever is left over"),
        pytest.param((18, 9, 9), 18, 1, [18, 0, 0], id="one rack that holds it"),
        pytest.param((20, 18, 19), 18, 1, [0, 18, 0], id="the tightest"),
        pytest.param((17, 16, 20), 32, 16, [16, 16, 0], id="segments stay whole"),
        pytest.param((10, 10, 10), 31, 1, None, id="no room"),
        pytest.param((15, 15, 15), 16, 16, None, id="no room for a segment"),
    ],
)
def test_greedy_best_fit(free: tuple[int, ...], pods: int, segment: int, taken: list[int] | None) -> None:
    slots, starts = racks_of(*free)
    found = greedy.best_fit(slots, starts, pods, segment)
    assert (None if found is None else found.reshape(-1, 20).sum(axis=1).tolist()) == taken
    assert found is None or (found <= slots).all()


def committed(name: str, on: list[str], attempt: int = 1, *, live: bool = True, segment: int = 0) -> Event:
    made = manifest(name, len(on), segment)
    made["metadata"] |= {"uid": name, "resourceVersion": "1"}
    role = {"name": "worker", "nodes": compress(on), "born": run_lengths([attempt] * len(on))}
    placement = {"attempt": attempt, "roles": [role]}
    made["status"] = {"phase": "Placed", "live": live, "attempt": attempt, "placement": placement}
    return Event(1, "TrainingJob", "MODIFIED", made, 0.0)


def test_greedy_plays_the_same_story_on_its_own_cluster() -> None:
    place = Racks(racks=16)
    beside = Beside(place.objects())
    # A leaf with gaps of two and one free rack, and one that is free: the tighter one is no place for 28.
    events = [committed("big", [n for rack in range(7) for n in place.rack(rack)[:16]], segment=16)]
    beside.follow(events)
    events.append(committed("odd", place.rack(8) + place.rack(9)[:10]))
    beside.follow(events)
    beside.follow(events)
    assert beside.pairs["big"] == Pair(Used(7, 7), Used(7, 7))
    assert beside.pairs["odd"] == Pair(Used(2, 2), Used(6, 1))
    assert beside.pairs["odd"].text() == "would have used 6 racks for it, 4 more than muster's 2"
    assert beside.sums == Sums(2, [9, 9], [13, 8])
    # Nodes are lost; the gang is placed anew, with us and with it.
    events += [Event(2, "Node", "DELETED", {"metadata": {"name": f"r0{n}-n17"}}, 0.0) for n in range(3)]
    events.append(committed("odd", place.rack(8) + place.rack(9)[:10], attempt=2))
    beside.follow(events)
    assert beside.pairs["odd"].greedy == Used(7, 1)
    # Whoever has ended holds nothing; where greedy finds no room it says so.
    events += [committed("odd", [], attempt=2, live=False), committed("all", place.names()[1:], attempt=1)]
    beside.follow(events)
    assert beside.pairs["all"].greedy is None
    assert beside.sums.without_room == 1
    assert "It finds no room for 1." in beside.sums.text()
    events += [committed("big", [], live=False), committed("one", place.rack(0)[:4])]
    beside.follow(events)
    assert beside.pairs["one"] == Pair(Used(1, 0), Used(1, 1))


def test_a_repair_in_words_and_numbers() -> None:
    times = {"detected": "00.5", "decided": "00.750", "deleted": "02", "created": "02.1", "running": "04"}
    repair = {name: f"2026-03-01T12:00:{at}Z" for name, at in times.items()}
    repair |= {"failed": "2026-03-01T12:00:00Z", "attempt": 2, "cause": "node"}
    before = {0: "r01-n00", 1: "r01-n01", 2: "r01-n02"}

    def after(nodes: str) -> Object:
        last = {"message": "worker 1 lost its node r01-n01"}
        return {"lastRepair": repair, "lastFailure": last, "placement": {"roles": [{"nodes": nodes}]}}

    made = mended("a", after("r01-n[00,17,02]"), before)
    assert made is not None
    assert made.moves() == "rank 1 moves from r01-n01 to r01-n17, in the same rack; 2 keep theirs"
    assert made.stages() == "seen 0.5, decided 0.8, old pods gone 2.0, new pods made 2.1, all running 4.0"
    away = mended("a", after("r02-n[00-02]"), before)
    assert away is not None
    assert (away.same_racks, away.kept) == (False, 0)
    assert "and 2 more ranks move, in another rack" in away.moves()
    stayed = mended("a", after("r01-n[00-02]"), before)
    assert stayed is not None
    assert stayed.moves() == "all 3 ranks keep their nodes"
    assert mended("a", {}, before) is None


def test_a_child_that_is_waited_for(tmp_path: Path) -> None:
    child = Child("the child", "muster", "--help", log=tmp_path / "log", env={})
    assert "what-if" in asyncio.run(child.over(20))
    with pytest.raises(ChildError, match="did not end within 0 s"):
        asyncio.run(Child("the child", "muster", "crds", log=tmp_path / "two", env={}).over(0.001))


def test_a_restart_in_place_is_no_placement() -> None:
    place = Racks(racks=16)
    beside = Beside(place.objects())
    again = committed("a", place.rack(0)[:4], attempt=2)
    again.object["status"]["phase"] = "Repairing"
    beside.follow([committed("a", place.rack(0)[:4]), again])
    assert beside.sums.placements == 1
    elsewhere = committed("a", place.rack(0)[1:5], attempt=3)
    elsewhere.object["status"]["phase"] = "Repairing"
    beside.follow([*[again] * 2, elsewhere])
    assert beside.sums.placements == 2


def test_a_child_that_ends_is_named_with_its_log(tmp_path: Path) -> None:
    child = Child("the child", "muster", "no-such-command", log=tmp_path / "log", env={})
    assert gone_quietly(child)
    with pytest.raises(ChildError, match=r"the child ended with 1:\n[\s\S]*no-such-command"):
        child.check()
    child.stop()


def gone_quietly(child: Child) -> bool:
    deadline = time.monotonic() + 20
    while not child.ended:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_ours_of_the_environment_do_not_reach_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PODS_QPS", "1")
    monkeypatch.setenv("KUBECONFIG", "/elsewhere")
    assert not {"MUSTER_PODS_QPS", "KUBECONFIG"} & _environment().keys()
    assert demo_play.OPERATOR["MUSTER_PODS_QPS"] == "0"
