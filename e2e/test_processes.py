"""What the harness promises about processes: nothing outlives a test run, however that ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from e2e.client import wait_for
from e2e.controlplane import build
from e2e.harness import ROOT
from e2e.process import Process, ProcessError

PARENT = """
import sys, time
from pathlib import Path
from e2e.process import Process
child = Process("child", [sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1])).start()
print(child.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "child.log")]
    parent = Process("parent", command, tmp_path / "parent.log", cwd=ROOT).start()
    parent.wait_until(lambda: parent.output().endswith("\n"), 10)
    child = int(parent.output())
    assert alive(child)
    os.kill(parent.pid, 9)
    wait_for(lambda: not alive(child), 5, "the child is gone too")


def test_a_frozen_process_is_stopped_all_the_same(tmp_path: Path) -> None:
    process = Process("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "log").start()
    process.freeze()
    process.stop(grace=2)
    assert not process.running


def test_a_process_that_ends_early_says_why(tmp_path: Path) -> None:
    process = Process("fails", [sys.executable, "-c", "import sys; sys.exit('no such luck')"], tmp_path / "log").start()
    with pytest.raises(ProcessError, match="no such luck"):
        process.wait_until(lambda: False, 10)


def test_incomplete_assets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(build.BuildError, match=r"lacks kube-apiserver, kube-controller-manager, kube-scheduler"):
        build.binaries()
    for name in build.NEEDED:
        (tmp_path / name).touch(mode=0o755)
    assert build.binaries() == tmp_path
