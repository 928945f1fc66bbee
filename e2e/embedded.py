"""The embedded cluster as a process: `muster.embedded` with its scheduler and controllers, without kubelets.

The kubelets are the tests' own (`e2e.kubelet`), as beside the real control plane, so that a test can stop them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from urllib3.exceptions import HTTPError

from e2e.client import Client
from e2e.controlplane import config
from e2e.controlplane.cluster import ADMIN, free_ports
from e2e.process import Process

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0


class EmbeddedPlane:
    """One embedded cluster on a loopback port. There is one user; whatever name is asked for, it is given its token."""

    ca: Path | None = None

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="muster-embedded-"))
        (port,) = free_ports(1)
        self.server = f"http://127.0.0.1:{port}"
        self.client = Client(self.server, ADMIN, None)
        self._issued = 0
        command = [sys.executable, "-m", "muster.embedded", "--port", str(port), "--token", ADMIN, "--without-kubelets"]
        self.process = Process("embedded", command, self.directory / "embedded.log", env=dict(os.environ), cwd=ROOT)

    @classmethod
    def start(cls) -> EmbeddedPlane:
        """Make one and bring it up; raises e2e.process.ProcessError with its log."""
        made = cls()
        try:
            made.process.start()
            made.process.wait_until(made._ready, START_SECONDS)
        except BaseException:
            made.stop()
            raise
        return made

    def stop(self) -> None:
        """End it and remove its directory. Idempotent."""
        self.process.stop(grace=2.0)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> EmbeddedPlane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def kubeconfig_for(self, user: str, groups: Iterable[str] = (), server: str | None = None) -> Path:
        """Return a kubeconfig for the one user there is."""
        self._issued += 1
        path = self.directory / f"user-{self._issued}.kubeconfig"
        path.write_text(config.kubeconfig(server or self.server, None, {"token": ADMIN}))
        path.chmod(0o600)
        return path

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the kubectl on the PATH."""
        found = shutil.which("kubectl")
        if found is None:
            raise FileNotFoundError("there is no kubectl on the PATH")
        command = [found, f"--kubeconfig={kubeconfig or self.kubeconfig_for(ADMIN)}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done

    def restart_apiserver(self, kill: bool = False, down_seconds: float = 0.0) -> None:
        """Not to be had: it keeps its objects in memory."""
        raise NotImplementedError("the embedded server loses its objects when it ends")

    def compact(self) -> int:
        """Not to be had: it has no etcd."""
        raise NotImplementedError("the embedded server compacts by itself")

    def _ready(self) -> bool:
        try:
            return self.client.send("GET", "/readyz", timeout=2.0).status == 200
        except (HTTPError, OSError):
            return False
