"""What a user wrote stays in its line, and moves nobody's cursor, wherever it is repeated."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kube import objects

from muster.core.model import Committed, Phase, Reason, StartFailures, Verdict, Waiting
from muster.kube import parse
from muster.kube.errors import classify
from muster.kube.plain import plain
from muster.kube.status import status_of
from muster.kube.transport import Response

NASTY = "all is well\x1b[2K\r\nWarning  Evicted  node \u202egnp.exe\u2028and\x07\x9b31m"
TAMED = "all is well\\x1b[2K  Warning  Evicted  node \\u202egnp.exe and\\x07\\x9b31m"


@given(st.text())
def test_one_printable_line_whatever_it_was(text: str) -> None:
    assert plain(text).isprintable()
    assert plain(plain(text)) == plain(text)
    if text.isprintable():
        assert plain(text) == text


def test_what_it_looks_like() -> None:
    assert plain(NASTY) == TAMED


def failed_pod() -> bytes:
    end = {"exitCode": 1, "message": NASTY, "reason": NASTY, "finishedAt": "2027-01-01T00:00:00Z"}
    status = {"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": end}}]}
    return json.dumps(objects.pod(**status)).encode()


def test_the_last_words_of_a_program_are_one_line_to_people_and_whole_to_the_rules() -> None:
    failure = parse.pod(failed_pod()).failure
    assert failure is not None
    assert failure.message == TAMED
    assert failure.reason == TAMED
    assert failure.ends[0].message == NASTY


def test_what_kubelet_repeats_of_an_image() -> None:
    waiting = {"reason": "InvalidImageName", "message": f"Failed to apply default image tag {NASTY}"}
    status = {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": waiting}}]}
    pod = parse.pod(json.dumps(objects.pod(**status)).encode())
    assert pod.trouble is not None
    assert pod.trouble[1].endswith(TAMED)


@pytest.mark.parametrize("body", [NASTY, json.dumps({"kind": "Status", "reason": "Forbidden", "message": NASTY})])
def test_what_a_webhook_answers(body: str) -> None:
    assert classify(Response(403, {}, body.encode()), "").message.strip() == TAMED


def test_a_class_that_cannot_be() -> None:
    job = parse.job(json.dumps(objects.job(priorityClassName=NASTY)).encode())
    assert getattr(job, "priority_class", "") == TAMED


def test_whatever_was_missed_is_caught_when_a_status_is_written() -> None:
    waiting = Waiting(Verdict(Reason.START_FAILED), NASTY, 0)
    status = Committed(phase=Phase.PENDING, waiting=waiting, start_failures=StartFailures(1, NASTY, 1, "x"))
    assert NASTY not in repr(status_of(parse.job(json.dumps(objects.job()).encode()), status, 0))
    assert json.dumps(status_of(parse.job(json.dumps(objects.job()).encode()), status, 0)).count("\\u001b") == 0


def test_a_status_that_somebody_forged_is_read_as_one_line() -> None:
    waiting = {"reason": "StartFailed", "message": NASTY}
    manifest = objects.job() | {"status": {"phase": "Pending", "waiting": waiting}}
    read = parse.job(json.dumps(manifest).encode()).status.waiting
    assert read is not None
    assert read.message == TAMED
