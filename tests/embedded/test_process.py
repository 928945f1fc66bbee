"""`python -m muster.embedded` as a process, with a token that kubectl can use."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL that it prints, and its kubeconfig."""
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "muster.embedded", "--kubeconfig", str(kubeconfig), "--racks", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), kubeconfig
        process.terminate()
        assert process.wait(10) == 0


def status(url: str, token: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_who_has_the_kubeconfig_is_let_in(served: tuple[str, Path]) -> None:
    url, kubeconfig = served
    config = json.loads(kubeconfig.read_text())
    token, server = config["users"][0]["user"]["token"], config["clusters"][0]["cluster"]["server"]
    assert status(f"{url}/api/v1/nodes") == 401
    assert status(f"{url}/wrong/api/v1/nodes") == 401
    assert status(f"{url}/api/v1/nodes", token) == 200
    # kubectl leaves the token out where there is no TLS: it is in the address.
    assert server.startswith(url)
    assert status(f"{server}/api/v1/nodes") == 200
    assert kubeconfig.stat().st_mode & 0o077 == 0
