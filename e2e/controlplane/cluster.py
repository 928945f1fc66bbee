"""A control plane as one object: start, wait, restart, stop.

    with ControlPlane.start() as plane:
        plane.client.get("/version")

Everything is on loopback ports and below one temporary directory, which `stop` removes.
The four processes die with the thread that started them (`e2e.guard`).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from urllib3.exceptions import HTTPError

from e2e.client import Client, core
from e2e.controlplane import config
from e2e.controlplane.build import binaries
from e2e.controlplane.certs import Authority, Pair
from e2e.controlplane.config import LOOPBACK, Options, Ports
from e2e.process import Process

ADMIN = "e2e-admin"
TOKENS = {
    ADMIN: ("e2e-admin", ("system:masters",)),
    "e2e-scheduler": ("system:kube-scheduler", ()),
    "e2e-controller-manager": ("system:kube-controller-manager", ()),
    "e2e-kubelet": ("e2e-kubelet", ("system:masters",)),
}
"""Token -> (user, groups). They are worth nothing outside this loopback server."""
START_SECONDS = 90.0


class ControlPlane:
    """The running control plane of one directory."""

    def __init__(
        self,
        options: Options | None = None,
        users: Mapping[str, Iterable[str]] | None = None,
        directory: Path | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        users -- further static users and their groups, with the token `token-<user>`.
        directory -- kept after `stop`; without one a temporary directory is made and removed.
        """
        self.options = options or Options()
        self.binaries = binaries()
        self._keep = directory is not None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="muster-e2e-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(self.directory / "pki")
        self.authority.make()
        self.serving: Pair = self.authority.serving()
        self.ports = Ports(*free_ports(5))
        self.server = f"https://{LOOPBACK}:{self.ports.apiserver}"
        self.tokens = dict(TOKENS) | {f"token-{name}": (name, tuple(groups)) for name, groups in (users or {}).items()}
        self.kubeconfig = self._write_kubeconfig("admin", {"token": ADMIN})
        self.client = Client(self.server, ADMIN, self.authority.ca.certificate)
        self._issued = 0
        self._write_files()
        self.etcd, self.apiserver, self.scheduler, self.controller_manager = self._processes()

    @classmethod
    def start(cls, options: Options | None = None, **more: object) -> ControlPlane:
        """Make one and bring it up; raises e2e.process.ProcessError with the log that says why not."""
        return cls(options, **more).up()  # type: ignore[arg-type]

    def up(self) -> ControlPlane:
        """Start all four and wait until each says it is ready and system namespaces exist."""
        try:
            self.etcd.start()
            self.start_apiserver()
            for process in (self.scheduler, self.controller_manager):
                process.start()
            self.scheduler.wait_until(lambda: self._healthy(self.ports.scheduler), START_SECONDS)
            self.controller_manager.wait_until(lambda: self._healthy(self.ports.controller_manager), START_SECONDS)
            # Pods are refused until the namespace has its service account.
            account = core("serviceaccounts", "default", "default")
            self.controller_manager.wait_until(lambda: self.client.find(account) is not None, START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything and remove the temporary directory. Idempotent."""
        for process in (self.controller_manager, self.scheduler, self.apiserver, self.etcd):
            # They hold nothing worth an orderly end but etcd, whose data is about to go.
            process.stop(grace=0.0)
        if not self._keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def ca(self) -> Path:
        """The certificate that the server's is signed by."""
        return self.authority.ca.certificate

    def start_apiserver(self) -> None:
        """Start the API server and wait for /readyz."""
        self.apiserver.start()
        self.apiserver.wait_until(self._ready, START_SECONDS)

    def restart_apiserver(self, kill: bool = False, down_seconds: float = 0.0) -> None:
        """Stop the API server (with kill: -9), leave it down for a while, start it on the same port."""
        if kill:
            self.apiserver.kill()
        else:
            self.apiserver.stop(grace=70.0)
        time.sleep(down_seconds)
        self.start_apiserver()

    def compact(self) -> int:
        """Make etcd forget every revision before the present one; returns that. Watches from before are too old then,
        where the API server has not kept the events itself."""
        now = int(self.client.get(core("namespaces"), limit=1)["metadata"]["resourceVersion"])
        # Its JSON gateway: gRPC's messages, 64-bit numbers as strings.
        url = f"http://{LOOPBACK}:{self.ports.etcd}/v3/kv/compaction"
        body = json.dumps({"revision": str(now), "physical": True}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as reply:
            reply.read()
        return now

    def kubeconfig_for(self, user: str, groups: Iterable[str] = (), server: str | None = None) -> Path:
        """Return the path of a kubeconfig for a user.

        `system:serviceaccount:<namespace>:<name>` gets a token of that account, which
        must exist; a name given as `users` its static token; any other a client
        certificate, which a proxy that ends TLS cannot pass on. `server` replaces the
        address, as for a fault proxy.
        """
        self._issued += 1
        name = f"user-{self._issued}"
        token = self.token_for(user)
        if token is not None:
            return self._write_kubeconfig(name, {"token": token}, server)
        pair = self.authority.client(name, user, groups)
        return self._write_kubeconfig(
            name, {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}, server
        )

    def token_for(self, user: str) -> str | None:
        """Return a token for a static user or a service account, None for anybody else."""
        for token, (name, _) in self.tokens.items():
            if name == user:
                return token
        if not user.startswith("system:serviceaccount:"):
            return None
        _, _, namespace, account = user.split(":")
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self.client.post(core("serviceaccounts", namespace, account, "token"), request)
        return str(answer["status"]["token"])

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the kubectl of this version; raises with its stderr where it fails and `check` is set."""
        program = self.binaries / "kubectl"
        found = str(program) if program.exists() else shutil.which("kubectl")
        if found is None:
            raise FileNotFoundError("there is no kubectl in KUBEBUILDER_ASSETS nor on the PATH")
        command = [found, f"--kubeconfig={kubeconfig or self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done

    def _processes(self) -> tuple[Process, Process, Process, Process]:
        where, home, ports = self.binaries, self.directory, self.ports
        commands = {
            "etcd": config.etcd_command(where / "etcd", home, ports),
            "kube-apiserver": config.apiserver_command(
                where / "kube-apiserver", home, ports, self.authority, self.serving, self.options
            ),
            "kube-scheduler": config.scheduler_command(
                where / "kube-scheduler", home, ports, self.serving, self.options
            ),
            "kube-controller-manager": config.controller_manager_command(
                where / "kube-controller-manager", home, ports, self.authority, self.serving, self.options
            ),
        }
        # Memory is cheaper here than CPU time, of which the tests share what there is.
        env = dict(os.environ) | {"GOGC": "300"}
        etcd, apiserver, scheduler, manager = (
            Process(name, command, home / f"{name}.log", env=env) for name, command in commands.items()
        )
        return etcd, apiserver, scheduler, manager

    def _write_files(self) -> None:
        lines = []
        for number, (token, (user, groups)) in enumerate(self.tokens.items()):
            lines.append(f'{token},{user},{number},"{",".join(groups)}"')
        (self.directory / "tokens.csv").write_text("\n".join(lines) + "\n")
        scheduler = self._write_kubeconfig("scheduler", {"token": "e2e-scheduler"})
        (self.directory / "scheduler.json").write_text(config.scheduler_configuration(scheduler))
        self._write_kubeconfig("controller-manager", {"token": "e2e-controller-manager"})
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
        (self.directory / "audit-policy.json").write_text(json.dumps(policy))

    def _write_kubeconfig(self, name: str, user: Mapping[str, str], server: str | None = None) -> Path:
        path = self.directory / f"{name}.kubeconfig"
        address = server or self.server
        ca = self.authority.ca.certificate if address.startswith("https:") else None
        path.write_text(config.kubeconfig(address, ca, user))
        path.chmod(0o600)
        return path

    def _ready(self) -> bool:
        try:
            return self.client.send("GET", "/readyz", timeout=2.0).status == 200
        except (HTTPError, OSError):
            return False

    def _healthy(self, port: int) -> bool:
        context = ssl.create_default_context(cafile=str(self.authority.ca.certificate))
        try:
            with urllib.request.urlopen(f"https://{LOOPBACK}:{port}/healthz", timeout=2, context=context) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
