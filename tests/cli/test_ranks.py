from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Muster
from tests.cli.fakeapi import JOBS, UID, FakeApi, job, placed, pods

from muster.core.model import Phase

PODS = "/api/v1/pods"


def test_the_table(api: FakeApi, muster: Muster) -> None:
    train = placed(job(roles=(("worker", 3), ("eval", 1))))
    api.objects[JOBS] = [train]
    api.objects[PODS] = pods(train)
    api.objects[PODS][1]["status"] = {
        "phase": "Failed",
        "containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 7}}}],
    }
    del api.objects[PODS][2]
    code, out, err = muster("ranks", "train")
    assert (code, err) == (0, "")
    uid = UID[:8]
    assert [line.split() for line in out.splitlines()] == [
        ["ROLE", "RANK", "POD", "NODE", "SEGMENT", "LEAF", "NVLINK", "STATE"],
        ["worker", "0", f"train-worker-0-{uid}-1", "r0-n0", "0", "l0", "c.0", "Running"],
        ["worker", "1", f"train-worker-1-{uid}-1", "r0-n1", "0", "l0", "c.0", "Failed:", "exit", "code", "7"],
        ["worker", "2", "-", "r0-n2", "1", "-", "-", "NoPod"],
        ["eval", "0", f"train-eval-0-{uid}-1", "r0-n3", "0", "l0", "c.0", "Running"],
    ]
    _, only, _ = muster("ranks", "train", "--role", "eval")
    assert len(only.splitlines()) == 2


def test_json(api: FakeApi, muster: Muster) -> None:
    train = placed(job())
    api.objects[JOBS] = [train]
    api.objects[PODS] = pods(train, "Pending")
    code, out, _ = muster("ranks", "train", "-o", "json")
    said = json.loads(out)
    assert code == 0
    assert list(said) == ["job", "phase", "attempt", "message", "ranks"]
    assert said["ranks"][1] == {
        "role": "worker",
        "rank": 1,
        "pod": f"train-worker-1-{UID[:8]}-1",
        "node": "r0-n1",
        "segment": 0,
        "domains": {"leaf": "l0", "nvlink": "c.0"},
        "attempt": 1,
        "state": "Gated",
        "reason": "",
    }


def test_a_past_attempt_as_far_as_its_pods_are_kept(api: FakeApi, muster: Muster) -> None:
    now = placed(job(), attempt=3)
    api.objects[JOBS] = [now]
    api.objects[PODS] = pods(placed(job(), attempt=2), "Failed")[:1] + pods(now)
    code, out, _ = muster("ranks", "train", "--attempt", "2", "-o", "json")
    assert (code, [r["attempt"] for r in json.loads(out)["ranks"]]) == (0, [2])
    code, _, err = muster("ranks", "train", "--attempt", "1")
    assert (code, err) == (
        1,
        "muster: no pod of attempt 1 of research/train is left: podRetention says how many are kept.\n",
    )
    assert muster("ranks", "train", "--attempt", "4")[2] == (
        "muster: research/train has made 3 attempts; there is no 4.\n"
    )


def test_a_job_that_waits_says_why(api: FakeApi, muster: Muster) -> None:
    waiting = {"reason": "Fragmented", "message": "not in that shape", "since": "2026-01-01T00:00:00Z"}
    api.objects[JOBS] = [job() | {"status": {"phase": "Pending", "waiting": waiting}}]
    code, out, _ = muster("ranks", "train")
    assert (code, out) == (2, "research/train is not placed: Fragmented: not in that shape\n")
    code, out, _ = muster("ranks", "train", "-o", "json")
    assert (code, json.loads(out)["ranks"]) == (2, [])
    api.objects[JOBS] = [job()]
    assert "is `muster run` running?" in muster("ranks", "train")[1].lower()
    api.objects[JOBS] = [job() | {"status": {"phase": Phase.SUSPENDED.value}}]
    assert muster("ranks", "train")[1] == "research/train is Suspended\n"
    api.objects[PODS] = pods(placed(job(), attempt=2), "Failed")
    assert muster("ranks", "train")[1] == ("research/train is Suspended. Pods are kept of attempt 2: see --attempt.\n")


def test_what_goes_wrong_is_one_line(api: FakeApi, muster: Muster, tmp_path: Path) -> None:
    code, out, err = muster("ranks", "other")
    assert (code, out) == (1, "")
    assert err == (
        "muster: there is no TrainingJob other in namespace research. `kubectl get trainingjobs -A` lists them.\n"
    )
    assert "in namespace sales" in muster("ranks", "other", "-n", "sales")[2]
    assert "in namespace default" in muster("ranks", "other", at=api.kubeconfig(tmp_path, None))[2]
    api.objects[JOBS] = [placed(job())]
    assert "has no role ps: use --role with worker." in muster("ranks", "train", "--role", "ps")[2]
    api.refused["/api/v1/namespaces/research/pods"] = (403, 'pods is forbidden: User "u" cannot list resource "pods"')
    assert muster("ranks", "train")[2].startswith("muster: cannot list the pods of research/train: the API server ref")
    api.refused[JOBS.replace("/trainingjobs", "")] = (404, "")
    assert "`muster crds` prints what to apply" in muster("ranks", "train")[2]
    api.refused[JOBS.replace("/trainingjobs", "")] = (500, "etcdserver: no leader")
    code, _, err = muster("ranks", "train")
    assert (code, err) == (1, "muster: cannot read the TrainingJob research/train: etcdserver: no leader (500).\n")


def test_during_a_repair_it_says_what_a_new_pod_waits_for(api: FakeApi, muster: Muster) -> None:
    train = placed(job(), attempt=2, phase=Phase.REPAIRING)
    api.objects[JOBS] = [train]
    api.objects[PODS] = pods(placed(job()))[:1]
    rows = json.loads(muster("ranks", "train", "-o", "json")[1])["ranks"]
    assert [(row["state"], row["reason"]) for row in rows[:2]] == [
        ("NoPod", f"train-worker-0-{UID[:8]}-1 has to stop first"),
        ("NoPod", ""),
    ]
