from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.cli.conftest import Muster
from tests.cli.fakeapi import FakeApi, Object

LEASES = "/apis/coordination.k8s.io/v1/leases"


def lease(holder: str, version: int = 1) -> Object:
    metadata = {"namespace": "muster-system", "name": "muster", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"holderIdentity": holder}}


@contextmanager
def renewing(api: FakeApi, holder: str) -> Iterator[None]:
    """A leader: its lease gets a new version a few times a second."""
    done = threading.Event()

    def renew() -> None:
        version = 1
        while not done.wait(0.1):
            version += 1
            api.objects[LEASES] = [lease(holder, version)]

    api.objects[LEASES] = [lease(holder)]
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_working_installation(api: FakeApi, muster: Muster) -> None:
    with renewing(api, "a_1"):
        code, out, err = muster("check", "-o", "json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "well": True,
        "findings": [
            {"what": "custom resources", "well": "trainingjobs and clustertopologies are served", "wrong": ""},
            {"what": "leader", "well": "a_1 renews the lease muster-system/muster", "wrong": ""},
        ],
    }


def test_a_leader_that_is_gone_is_told_from_one_that_renews(
    api: FakeApi, muster: Muster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_LEASE_SECONDS", "3")
    api.objects[LEASES] = [lease("a_1")]
    code, out, _ = muster("check")
    assert code == 1
    assert "a_1 holds the lease muster-system/muster, but has not renewed it for 3 s" in out


@pytest.mark.parametrize(
    ("leases", "said"),
    [
        pytest.param([], "there is no lease muster-system/muster", id="none"),
        pytest.param([lease("")], "nobody holds the lease muster-system/muster", id="released"),
    ],
)
def test_nobody_leads(api: FakeApi, muster: Muster, leases: list[Object], said: str) -> None:
    api.objects[LEASES] = leases
    code, out, err = muster("check")
    assert (code, err) == (1, "")
    assert said in out


def test_kinds_that_are_not_installed(api: FakeApi, muster: Muster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_LEADER_ELECT", "false")
    api.refused["/apis/muster.dev"] = (404, "")
    code, out, _ = muster("check")
    assert code == 1
    assert out.splitlines()[1].split(maxsplit=3)[2:] == [
        "wrong",
        "cannot list them: the cluster does not serve it. `muster crds` prints what to apply.",
    ]
    assert "leader election is off" in out


def test_waiting_ends_when_all_is_well(api: FakeApi, muster: Muster) -> None:
    api.refused["/apis/muster.dev"] = (403, "not yet")
    healed = threading.Timer(1.0, api.refused.clear)
    with renewing(api, "a_1"):
        healed.start()
        code, out, _ = muster("check", "--wait", "60")
    assert code == 0, out
    assert not api.refused
