"""What tests need of a cluster, whichever it is: the real control plane or the embedded one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from e2e.client import Client


class Plane(Protocol):
    """A running API server and its controllers; the kubelets are the tests' own."""

    @property
    def client(self) -> Client:
        """An administrator."""
        ...

    @property
    def server(self) -> str:
        """The address."""
        ...

    @property
    def ca(self) -> Path | None:
        """The certificate that the server's is signed by; None for plain HTTP."""
        ...

    def kubeconfig_for(self, user: str, groups: Iterable[str] = (), server: str | None = None) -> Path:
        """Return a kubeconfig for a user, at another address if given (a fault proxy's)."""
        ...

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator."""
        ...

    def restart_apiserver(self, kill: bool = False, down_seconds: float = 0.0) -> None:
        """Stop the API server, leave it down for a while, start it at the same address with what it held."""
        ...

    def compact(self) -> int:
        """Make the storage forget every revision before the present one; returns that."""
        ...
