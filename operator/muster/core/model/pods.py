"""Pods as observed: where they are in their life, and how their containers ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from muster.core.model.nodes import Resources


class Stage(Enum):
    """How far a pod has come; each pod only moves forward."""

    GATED = 0
    """A scheduling gate is left on it."""
    UNBOUND = 1
    BOUND = 2
    RUNNING = 3
    """Phase Running: every container has been started."""
    SUCCEEDED = 4
    FAILED = 5


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How one container of a failed pod ended; `message` is the end of its termination message."""

    name: str
    exit_code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pod failed. `refused`: by kubelet or a device plugin, before any container ran (OutOf*,
    UnexpectedAdmissionError, ...). `disrupted`: the pod carries the condition DisruptionTarget or was evicted. `ends`
    and `conditions` (type, status) are what the rules of a failure policy look at."""

    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    message: str = ""
    """The end of the termination message, at most 1,024 characters."""
    finished_at: int | None = None
    refused: bool = False
    disrupted: bool = False
    ends: tuple[ContainerEnd, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the API shows it; ours (`job` set) or foreign.

    `node` is the node it is bound to; `pinned` the node it is nominated or pinned to by its node affinity while
    unbound. `job` is the uid of the TrainingJob that is its controller owner. `role`, `rank` and `born` come from our
    labels and are None where absent or not readable.
    """

    id: str
    namespace: str
    name: str
    rv: int
    stage: Stage
    requests: Resources
    node: str | None = None
    pinned: str | None = None
    terminating: bool = False
    daemon: bool = False
    """Of a DaemonSet, or a mirror pod: does not make a domain less intact."""
    our_gate: bool = False
    """The gate muster.dev/gang is on it."""
    foreign_gates: tuple[str, ...] = ()
    nominated: str | None = None
    """status.nominatedNodeName."""
    collected: bool = False
    """Ended by the pod garbage collector, which says nothing about its containers."""
    job: str | None = None
    role: str | None = None
    rank: int | None = None
    born: int | None = None
    failure: Failure | None = None
    finished_at: int | None = None
    """When its last container ended (ms), if it is terminal and says so."""
    cut_short: bool = False
    """It is terminal, and was being deleted before its last container ended: it ended because it was told to, whatever
    the exit code."""
    trouble: tuple[str, str] | None = None
    """(reason, message) of a container that cannot start: ImagePullBackOff, CreateContainerConfigError, ..."""
    unschedulable: str | None = None
    """The message of condition PodScheduled=False with reason Unschedulable."""

    @property
    def done(self) -> bool:
        """It ran to its good end."""
        return self.stage is Stage.SUCCEEDED and not self.cut_short

    @property
    def terminal(self) -> bool:
        """Succeeded or failed: it holds no resources any more."""
        return self.stage in (Stage.SUCCEEDED, Stage.FAILED)
