"""A TrainingJob, parsed or refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from muster.core.model.gang import Policy, RoleSpec
from muster.core.model.status import Committed


@dataclass(frozen=True, slots=True)
class Job:
    """A TrainingJob. `manifest` is the adapter's own handle on the whole object (for rendering pods); the core never
    looks into it. `roles_hash` covers roles, topology, launcher and priorityClassName; what a placement records is this
    and the hash of the pod defaults, joined by `+`."""

    id: str
    namespace: str
    name: str
    rv: int
    generation: int
    created: int
    deleting: bool
    orphaning: bool
    """Carries the finalizer `orphan`: its pods are to be left as they are."""
    suspend: bool
    priority_class: str
    roles: tuple[RoleSpec, ...]
    required: str | None
    preferred: str | None
    policy: Policy
    roles_hash: str
    status: Committed
    gitops: bool = False
    """Carries an Argo CD or Flux tracking label or annotation."""
    manifest: Any = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """namespace/name, for people."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A TrainingJob that the parser could not take: it stays Pending with this field and sentence. `status` is what it
    had. What its pods hold still counts; it makes no more of them, so nothing else of its claim is needed."""

    id: str
    namespace: str
    name: str
    rv: int
    generation: int
    path: str
    """The field at fault, as a person would write it: spec.roles[0].replicas."""
    message: str
    status: Committed
    deleting: bool = False
    manifest: Any = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """namespace/name, for people."""
        return f"{self.namespace}/{self.name}"
