from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.fakeapi import FakeApi

from muster.cli.main import main

Muster = Callable[..., tuple[int, str, str]]
"""Runs a command line against the fake API server: exit code, standard output, standard error."""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi().start()
    yield fake
    fake.stop()


@pytest.fixture
def muster(api: FakeApi, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Muster:
    kubeconfig = api.kubeconfig(tmp_path)

    def run(command: str, *args: str, at: str = kubeconfig) -> tuple[int, str, str]:
        code = main([command, "--kubeconfig", at, *args])
        out, err = capfdbinary.readouterr()
        return code, out.decode(errors="surrogateescape"), err.decode()

    return run
