from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web
from tests.cli.conftest import Muster
from tests.cli.fakeapi import JOBS, UID, FakeApi, job, placed, pods

from muster.kube.remote import V4

PODS = "/api/v1/pods"
SUCCESS = b'\x03{"kind":"Status","status":"Success"}'
POD = f"train-worker-1-{UID[:8]}-1"


def failure(code: int) -> bytes:
    details = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    status = {"kind": "Status", "status": "Failure", "reason": "NonZeroExitCode", "details": details}
    return b"\x03" + json.dumps(status).encode()


def says(api: FakeApi, *messages: bytes) -> None:
    """The command answers with these messages, whatever it is given."""

    async def answer(socket: web.WebSocketResponse, received: list[bytes]) -> None:
        for message in messages:
            await socket.send_bytes(message)

    api.on_exec = answer


def echoes(api: FakeApi) -> list[bytes]:
    """The command returns its input until that ends, then ends well; what it got."""
    heard: list[bytes] = []

    async def answer(socket: web.WebSocketResponse, received: list[bytes]) -> None:
        await socket.send_bytes(b"\x01")  # the server begins with an empty message on each channel
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                continue
            heard.append(message.data)
            if message.data[0] == 0:
                await socket.send_bytes(b"\x01" + message.data[1:])
            if message.data == b"\xff\x00" or b"\x04" in message.data[1:]:
                await socket.send_bytes(SUCCESS)
                return

    api.on_exec = answer
    return heard


@pytest.fixture(autouse=True)
def running(api: FakeApi) -> None:
    train = placed(job())
    api.objects[JOBS] = [train]
    api.objects[PODS] = pods(train)


def test_output_and_exit_code_are_the_commands(api: FakeApi, muster: Muster) -> None:
    says(api, b"\x01out\n", b"\x02err\n", b"\x01more\n", failure(17))
    code, out, err = muster("exec", "train", "--rank", "1", "--", "ls", "-l", "a b&c")
    assert (code, out, err) == (17, "out\nmore\n", "err\n")
    request = api.requests[-1]
    assert request.path.endswith(f"/pods/{POD}/exec")
    assert request.query.getall("command") == ["ls", "-l", "a b&c"]
    assert {k: v for k, v in request.query.items() if k != "command"} == {
        "container": "main",
        "stdout": "true",
        "stderr": "true",
    }
    assert request.headers["Authorization"] == "Bearer secret"
    says(api, SUCCESS)
    assert muster("exec", "train", "--", "true")[0] == 0


def test_json_takes_output_apart(api: FakeApi, muster: Muster) -> None:
    says(api, b"\x01a", b"\x02b\xff", b"\x01c", failure(3))
    code, out, _ = muster("exec", "train", "--rank", "1", "-o", "json", "--", "x")
    said = json.loads(out)
    assert code == 3
    assert said == {
        "role": "worker",
        "rank": 1,
        "attempt": 1,
        "pod": POD,
        "container": "main",
        "exitCode": 3,
        "stdout": "ac",
        "stderr": "b�",
    }


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        pytest.param((b"\x01half",), "broke off before the command had ended", id="no status"),
        pytest.param((b"\x03nonsense",), "nonsense", id="no JSON"),
        pytest.param(
            (b'\x03{"status":"Failure","message":"exec failed: \\"nope\\": executable file not found"}',),
            "executable file not found",
            id="not started",
        ),
    ],
)
def test_an_end_that_is_no_exit_code(api: FakeApi, muster: Muster, messages: Sequence[bytes], told: str) -> None:
    says(api, *messages)
    code, _, err = muster("exec", "train", "--", "nope")
    assert code == 1
    assert told in err
    assert len(err.splitlines()) == 1


def script(api: FakeApi, folder: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "muster", "exec", "train", "--kubeconfig", api.kubeconfig(folder), *args]


def test_input_is_passed_on_and_ends(api: FakeApi, tmp_path: Path) -> None:
    heard = echoes(api)
    sent = os.urandom(300_000).replace(b"\x04", b"")
    done = subprocess.run(script(api, tmp_path, "-i", "--", "cat"), input=sent, capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == sent
    assert heard[-1] == b"\xff\x00"


def test_an_old_server_cannot_end_input_and_muster_says_so(api: FakeApi, tmp_path: Path) -> None:
    api.protocols = (V4,)

    async def answer(socket: web.WebSocketResponse, received: list[bytes]) -> None:
        await socket.receive_bytes()
        await asyncio.sleep(0.5)  # by then the end of the input would have come
        await socket.send_bytes(SUCCESS)

    api.on_exec = answer
    done = subprocess.run(script(api, tmp_path, "-i", "--", "cat"), input=b"x", capture_output=True, timeout=30)
    assert done.returncode == 0
    assert done.stderr == b"muster: this API server cannot tell the command that its input has ended\n"


def test_a_terminal_is_raw_and_its_size_is_told(api: FakeApi, tmp_path: Path) -> None:
    heard = echoes(api)
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        script(api, tmp_path, "-it", "--", "bash"), stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    )
    try:
        deadline = time.monotonic() + 20
        while not heard and time.monotonic() < deadline:
            time.sleep(0.05)
        assert json.loads(heard[0][1:]) == {"Width": 101, "Height": 33}
        os.write(ours, b"\x03")  # Ctrl-C is the command's
        while len(heard) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert heard[1] == b"\x00\x03"
        os.write(ours, b"\x04")
        assert process.wait(20) == 0
        assert termios.tcgetattr(theirs)[3] & termios.ICANON
        assert select.select([ours], [], [], 5)[0]
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_what_is_refused_before_anything_runs(api: FakeApi, muster: Muster) -> None:
    assert muster("exec", "train", "-it", "--", "bash")[2].startswith("muster: -t needs -i and a terminal here.")
    assert muster("exec", "train", "--rank", "2", "--", "x")[2] == (
        "muster: role worker of research/train has the ranks 0 to 1; there is no rank 2.\n"
    )
    assert "Missing argument" in muster("exec", "train")[2]
    api.objects[PODS][0]["status"]["phase"] = "Failed"
    assert "rank 0 of research/train does not run: its pod" in muster("exec", "train", "--", "x")[2]
    api.objects[JOBS] = [job()]
    api.objects[PODS] = []
    code, _, err = muster("exec", "train", "--", "x")
    assert (code, "is not placed" in err) == (1, True)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        pytest.param((403, 'pods "p" is forbidden: User "u" cannot get resource "pods/exec"'), "cannot get", id="RBAC"),
        pytest.param((404, "nothing"), "nothing (404)", id="not found"),
        pytest.param((501, "commands are not run here"), "commands are not run here (501)", id="not built"),
        pytest.param((502, ""), "nothing here (502)", id="a proxy"),
    ],
)
def test_the_servers_words_reach_the_user(api: FakeApi, muster: Muster, refusal: tuple[int, str], told: str) -> None:
    api.refused[f"/api/v1/namespaces/research/pods/{POD}/exec"] = refusal
    code, _, err = muster("exec", "train", "--rank", "1", "--", "x")
    assert code == 1
    assert told in err
    assert len(err.splitlines()) == 1
