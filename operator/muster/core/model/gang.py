"""What a gang asks for: the shape of its roles, and its policies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from muster.core.model.nodes import Filter, Resources


@dataclass(frozen=True, slots=True)
class Segments:
    """Consecutive ranks that must share a domain of `level`: either equal (`size`, the last may be shorter) or by
    `sizes`, in rank order. `sizes` is empty for equal segments; a list of equal sizes is parsed as `size`."""

    level: str
    size: int
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleShape:
    """One role of a gang as the solver sees it. `requests` and `filter` are those of the pod as admitted."""

    name: str
    count: int
    requests: Resources
    filter: Filter
    required: str | None = None
    preferred: str | None = None
    segments: tuple[Segments, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """A whole gang as the solver sees it; equal shapes share one verdict."""

    roles: tuple[RoleShape, ...]
    required: str | None = None
    preferred: str | None = None


class OnFailure(Enum):
    """How far an own failure of a role's pod reaches, after the rules."""

    RESTART_JOB = "RestartJob"
    RESTART_ROLE = "RestartRole"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One role of a job's spec. `template` is the hash of its pod template and launcher (together with the hash of the
    pod defaults the key of its admission). `requests` and `filter` are read from the template as written."""

    name: str
    count: int
    template: str
    requests: Resources
    filter: Filter
    required: str | None = None
    preferred: str | None = None
    segments: tuple[Segments, ...] = ()
    on_failure: OnFailure = OnFailure.RESTART_JOB


class SuccessWhen(Enum):
    """When the success policy is met."""

    ALL_PODS = "AllPods"
    ANY_POD = "AnyPod"
    FIRST_RANK = "FirstRank"


class Restart(Enum):
    """Which pods are made anew when a gang is restarted or repaired."""

    GANG = "Gang"
    FAILED_PODS = "FailedPods"


class FailureAction(Enum):
    """What a rule of the failure policy orders."""

    FAIL_JOB = "FailJob"
    RESTART = "Restart"
    REPLACE_NODE = "ReplaceNode"
    REQUEUE = "Requeue"


@dataclass(frozen=True, slots=True)
class FailureRule:
    """One rule of the failure policy; it matches a failed pod by the one of its three parts that is given.

    `codes` with `operator` In | NotIn: the exit code of a container that failed (of `container`, or of any if that is
    empty). `contains`: part of a container's termination message. `conditions`: (type, status), one of which the pod
    carries.
    """

    action: FailureAction
    counted: bool = True
    """A Restart that counts against maxRestarts."""
    container: str = ""
    operator: str = ""
    codes: tuple[int, ...] = ()
    contains: str = ""
    conditions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """How a job wants to be treated; all times in ms. The defaults are the API's, not the core's."""

    success_roles: tuple[str, ...]
    """Empty: all roles."""
    success_when: SuccessWhen
    linger: int
    backoff_base: int
    backoff_max: int
    bind_timeout: int
    start_timeout: int
    active_deadline: int | None
    ttl: int | None
    retain_attempts: int
    retain_pods: int
    max_restarts: int
    reset_after: int
    max_disruptions: int
    failure_grace: int
    """Grace for the survivors of a broken gang."""
    unreachable_after: int
    """An unready node counts as lost this long after it became unready."""
    image_pull_after: int
    """A container that cannot start (image, config) fails the start after this long."""
    prefer_wait: int
    """How long to wait for the preferred level, from when the gang first became placeable."""
    restart: Restart = Restart.GANG
    repairs: bool = True
    """Replace what broke; if not, every disruption requeues."""
    wait_for_repair: int = 0
    """No replacement to be had: keep the healthy nodes reserved this long."""
    replaces_unreachable: bool = True
    """Pods on unreachable nodes are given up after `unreachable_after`; if not, muster waits for the node."""
    quarantine: int = 3_600_000
    """A node blamed twice by the job is avoided by it this long."""
    rules: tuple[FailureRule, ...] = ()
    """The first that matches a failed pod wins."""
