"""Every knob of the operator, in one model: `MUSTER_<NAME>` in the environment, and flags of `muster run`.

docs/settings.md is `markdown()`; a test keeps it so. Names are chosen so that none of them equals a variable which
Kubernetes makes for a Service called `muster` or `muster-metrics` (MUSTER_PORT, MUSTER_METRICS_PORT, ...).
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "MUSTER_"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT(_\d+_(TCP|UDP|SCTP)(_|$)|$)")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class SettingsError(ValueError):
    """A setting that cannot be used; the message says which, what it was, and what would do."""


class Settings(BaseSettings):
    """What a running operator is told; immutable. Times carry their unit in the name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    kubeconfig: str = Field(
        "",
        description="Kubeconfig file. Empty: in a pod the service account, else `$KUBECONFIG`, else `~/.kube/config`.",
    )
    context: str = Field("", description="Context of the kubeconfig. Empty: its current one.")

    watch_namespaces: str = Field(
        "",
        description="Namespaces whose TrainingJobs are served, separated by commas; nothing is written in others. "
        "Empty: all. Pods and the claims of TrainingJobs are read everywhere in any case, since they hold room.",
    )

    leader_elect: bool = Field(
        True, description="Take part in leader election. Off: this process decides at once; never run two like that."
    )
    lease_namespace: str = Field(
        "", description="Namespace of the Lease. Empty: the pod's own, outside a pod `muster-system`."
    )
    lease_name: str = Field("muster", min_length=1, max_length=63, description="Name of the Lease.")
    lease_seconds: int = Field(15, ge=3, le=600, description="How long the lease holds without being renewed.")
    identity: str = Field("", description="Name of this replica in the Lease. Empty: host name and a random suffix.")

    pods_qps: float = Field(50, ge=0, description="Pod creates and gate removals a second; 0 is without limit.")
    pods_burst: int = Field(
        100, ge=0, description="How many of them may go at once after a quiet time; 0 is without limit."
    )
    creates_in_flight: int = Field(32, ge=1, le=1000, description="Pod requests in flight at the same time.")
    nominate: bool = Field(
        True,
        description="Write status.nominatedNodeName on gated pods, so that kube-scheduler "
        "keeps their room against equal and lower priority. Costs one request a pod.",
    )
    scheduler_name: str = Field(
        "default-scheduler",
        min_length=1,
        max_length=253,
        description="schedulerName of the pods; a template may only name this one.",
    )

    relist_seconds: int = Field(
        300,
        ge=10,
        le=86_400,
        description="How often TrainingJobs and ClusterTopologies are listed anew; the list is the truth of them.",
    )
    page_size: int = Field(500, ge=10, le=10_000, description="Objects a page of a list.")
    plan_quiet_ms: int = Field(5, ge=0, le=10_000, description="Plan when nothing has come in for this long,")
    plan_latest_ms: int = Field(50, ge=1, le=10_000, description="and at the latest this long after the first news.")
    reaper_seconds: int = Field(
        10, ge=1, le=86_400, description="How often children of jobs that are gone are looked for."
    )
    topology_status_seconds: int = Field(
        30, ge=1, le=86_400, description="ClusterTopology.status is written at most this often."
    )

    bind_host: str = Field("", description="Address for metrics and probes. Empty: all in a pod, else 127.0.0.1.")
    metrics_bind_port: int = Field(8080, ge=0, le=65_535, description="Port of `/metrics`; 0 turns it off.")
    probe_bind_port: int = Field(
        8081, ge=0, le=65_535, description="Port of `/healthz` and `/readyz`; 0 turns them off."
    )
    stuck_seconds: int = Field(
        60, ge=5, le=3600, description="`/healthz` fails when the loop has not turned for this long."
    )
    shutdown_seconds: int = Field(20, ge=1, le=600, description="How long a shutdown waits for writes in flight.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: console on a terminal, else json."
    )

    @field_validator("watch_namespaces")
    @classmethod
    def _named(cls, value: str) -> str:
        for name in _split(value):
            if len(name) > 63 or not _LABEL.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a namespace")
        return value

    def namespaces(self) -> frozenset[str]:
        """The namespaces whose jobs are served; empty: all."""
        return frozenset(_split(self.watch_namespaces))

    def lease_namespace_or_default(self, own: Path = _NAMESPACE_FILE) -> str:
        """The Lease's namespace; `own` is the file in which a pod finds its own."""
        if self.lease_namespace:
            return self.lease_namespace
        try:
            return own.read_text(encoding="utf-8").strip() or "muster-system"
        except OSError:
            return "muster-system"

    def identity_or_default(self) -> str:
        """This replica's name; a new one at every call where none is set (a restarted pod keeps its host name, and must
        not take its predecessor's lease for its own)."""
        return self.identity or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"

    def bind_host_or_default(self, environ: Mapping[str, str] = os.environ) -> str | None:
        """The address to listen on; None is all of them."""
        if self.bind_host:
            return self.bind_host
        return None if "KUBERNETES_SERVICE_HOST" in environ else "127.0.0.1"


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def load(**flags: Any) -> Settings:
    """Read the environment; `flags` win over it, those that are None are left out.

    Raises SettingsError with one line per setting at fault.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(dict(e), given) for e in error.errors())) from None
    if settings.plan_latest_ms < settings.plan_quiet_ms:
        raise SettingsError(
            f"{variable('plan_latest_ms')}={settings.plan_latest_ms}: is less than {variable('plan_quiet_ms')}="
            f"{settings.plan_quiet_ms}. Make it at least as large."
        )
    return settings


def unknown_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that look like settings and are none: probably misspelt (those of a Service excepted)."""
    known = {variable(name) for name in Settings.model_fields}
    return sorted(
        name for name in environ if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.search(name)
    )


def _line(error: dict[str, Any], flags: Mapping[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if name not in Settings.model_fields:
        return f"{name}: there is no such setting. `muster settings` lists them."
    where = f"--{name.replace('_', '-')}" if name in flags else variable(name)
    field = Settings.model_fields[name]
    what = str(error["msg"]).removeprefix("Value error, ")
    meaning = (field.description or "").rstrip(",")
    return f"{where}={error['input']!r}: {what[:1].lower()}{what[1:]}. {meaning} Default: {_shown(field.default)}."


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "empty" if value == "" else str(value)


def rows(settings: Settings | None = None) -> list[tuple[str, str, str, str, str]]:
    """(name, variable, default, present value, meaning) of every setting; without `settings`, value is the default."""
    return [
        (
            name,
            variable(name),
            _shown(field.default),
            _shown(getattr(settings, name, field.default)),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def markdown() -> str:
    """The page docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable of the operator and a flag of `muster run` (`MUSTER_PODS_QPS` is",
        "`--pods-qps`); flags win. This page is printed by `muster settings --markdown`.",
        "",
        "| setting | variable | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, env, default, _, meaning in rows():
        lines.append(f"| {name} | `{env}` | `{default}` | {meaning} |")
    return "\n".join(lines) + "\n"
