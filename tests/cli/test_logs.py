from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import Muster
from tests.cli.fakeapi import JOBS, UID, FakeApi, job, placed, pods

from muster.core.model import Phase

PODS = "/api/v1/pods"
TEXT = b"one\n\n  two\xff\nthree"


def running(api: FakeApi, attempt: int = 1, roles: tuple[tuple[str, int], ...] = (("worker", 2),)) -> None:
    train = placed(job(roles=roles), attempt=attempt)
    api.objects[JOBS] = [train]
    api.objects[PODS] = pods(train)
    api.log = TEXT


def asked(api: FakeApi) -> tuple[str, dict[str, str]]:
    """The pod and the query of the last request for a log."""
    request = next(r for r in reversed(api.requests) if r.path.endswith("/log"))
    return request.path.split("/")[-2], dict(request.query)


def test_bytes_pass_as_they_are(api: FakeApi, muster: Muster) -> None:
    running(api)
    code, out, err = muster("logs", "train", "--rank", "1", "-c", "main")
    assert (code, out.encode(errors="surrogateescape"), err) == (0, TEXT, "")
    assert asked(api) == (f"train-worker-1-{UID[:8]}-1", {"container": "main"})


def test_the_options_become_the_query(api: FakeApi, muster: Muster) -> None:
    running(api)
    args = ("-f", "--tail", "5", "--since", "60", "--timestamps", "--previous", "-c", "side")
    assert muster("logs", "train", *args)[0] == 0
    query = {"container": "side", "timestamps": "true", "follow": "true", "previous": "true"}
    assert asked(api)[1] == query | {"tailLines": "5", "sinceSeconds": "60"}


def test_without_a_container_the_first_is_taken_and_said(api: FakeApi, muster: Muster) -> None:
    running(api)
    assert "container main of pod" in muster("logs", "train")[2]
    api.objects[PODS][0]["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "side"}
    muster("logs", "train")
    assert asked(api)[1]["container"] == "side"
    assert "has no container x: use -c with main, side." in muster("logs", "train", "-c", "x")[2]


def test_json_is_one_object_a_line(api: FakeApi, muster: Muster) -> None:
    running(api)
    api.log = b"2026-03-01T12:00:00.1Z one\n2026-03-01T12:00:01Z \n2026-03-01T12:00:02Z last"
    code, out, _ = muster("logs", "train", "-o", "json", "-c", "main")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert list(lines[0]) == ["role", "rank", "attempt", "pod", "container", "time", "line"]
    assert [(line["time"][-4:], line["line"]) for line in lines] == [("0.1Z", "one"), (":01Z", ""), (":02Z", "last")]


def test_the_newest_pod_that_runs_the_rank_unless_an_attempt_is_named(api: FakeApi, muster: Muster) -> None:
    running(api, attempt=3)
    api.objects[PODS] += pods(placed(job(), attempt=2), "Failed")
    muster("logs", "train", "--rank", "1")
    assert asked(api)[0].endswith("-3")
    muster("logs", "train", "--rank", "1", "--attempt", "2")
    assert asked(api)[0].endswith("-2")
    code, _, err = muster("logs", "train", "--rank", "1", "--attempt", "1")
    assert code == 1
    assert err == (
        "muster: the pod of worker rank 1 in attempt 1 of research/train is gone: podRetention keeps 8 ended pods of "
        "the last 2 attempts. Of this rank there is: attempt 2, attempt 3.\n"
    )


def test_a_pod_that_a_repair_left_in_its_place_is_one_of_the_present_attempt(api: FakeApi, muster: Muster) -> None:
    running(api, attempt=2)
    roles = api.objects[JOBS][0]["status"]["placement"]["roles"]
    roles[0]["born"] = "1x1,2x1"
    api.objects[PODS] = [pods(placed(job()))[0], api.objects[PODS][1]]
    assert muster("logs", "train", "--attempt", "2")[0] == 0
    assert asked(api)[0].endswith("-0-" + UID[:8] + "-1")


def test_of_a_finished_job_only_what_was_kept(api: FakeApi, muster: Muster) -> None:
    done = placed(job(), phase=Phase.FAILED, live=False)
    api.objects[JOBS] = [done]
    api.objects[PODS] = pods(done, "Failed")[1:]
    api.log = TEXT
    assert muster("logs", "train", "--rank", "1")[0] == 0
    code, _, err = muster("logs", "train", "--rank", "0")
    assert code == 1
    assert err.endswith("There is: attempt 1 worker 1.\n")
    api.objects[PODS] = []
    assert muster("logs", "train")[2].endswith("None is left.\n")


def test_between_two_attempts_the_last_log_is_shown(api: FakeApi, muster: Muster) -> None:
    api.objects[JOBS] = [job() | {"status": {"phase": "Pending", "attempt": 1}}]
    api.objects[PODS] = pods(placed(job()), "Failed")
    api.log = TEXT
    assert muster("logs", "train")[0] == 0


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        pytest.param(job(), "is not placed: the operator has said nothing", id="not judged yet"),
        pytest.param(job() | {"status": {"phase": "Suspended"}}, "is suspended.", id="suspended"),
        pytest.param(job() | {"spec": {"roles": 1}}, "is not placed: spec.roles", id="refused"),
        pytest.param(placed(job(), phase=Phase.PLACED), "the pod of worker rank 0 has not been made yet", id="placed"),
        pytest.param(
            placed(job(), phase=Phase.REPAIRING),
            "is being repaired, and the pod of worker rank 0 has not been made yet",
            id="repairing",
        ),
    ],
)
def test_not_yet_is_exit_code_2(api: FakeApi, muster: Muster, manifest: dict[str, Any], says: str) -> None:
    api.objects[JOBS] = [manifest]
    code, out, err = muster("logs", "train")
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_a_container_that_has_not_started_is_exit_code_2(api: FakeApi, muster: Muster) -> None:
    train = placed(job(), phase=Phase.PLACED)
    api.objects[JOBS] = [train]
    api.objects[PODS] = pods(train, "Pending")
    path = f"/api/v1/namespaces/research/pods/train-worker-0-{UID[:8]}-1/log"
    api.refused[path] = (400, 'container "main" in pod "p" is waiting to start: ContainerCreating')
    code, _, err = muster("logs", "train", "-c", "main")
    assert (code, err.startswith("muster: worker rank 0 has no log yet (Gated): container")) == (2, True)


def test_several_roles_need_one_named(api: FakeApi, muster: Muster) -> None:
    running(api, roles=(("worker", 2), ("eval", 1)))
    assert muster("logs", "train")[2] == ("muster: research/train has several roles: use --role with worker, eval.\n")
    assert muster("logs", "train", "--role", "eval")[0] == 0
    code, _, err = muster("logs", "train", "--role", "eval", "--rank", "1")
    assert (code, err) == (1, "muster: role eval of research/train has the ranks 0 to 0; there is no rank 1.\n")


def test_what_the_server_refuses(api: FakeApi, muster: Muster) -> None:
    running(api)
    path = f"/api/v1/namespaces/research/pods/train-worker-0-{UID[:8]}-1/log"
    api.refused[path] = (403, 'pods "p" is forbidden: User "u" cannot get resource "pods/log"')
    code, _, err = muster("logs", "train", "-c", "main")
    assert (code, "cannot read the log of pod" in err, len(err.splitlines())) == (1, True, 1)
    api.refused[path] = (501, "logs are not kept here")
    assert "logs are not kept here (501)" in muster("logs", "train", "-c", "main")[2]
    api.refused.clear()
    api.log_breaks = True
    code, _, err = muster("logs", "train", "-f", "-c", "main")
    assert (code, len(err.splitlines())) == (1, 1)
