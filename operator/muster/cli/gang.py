"""A job's ranks and their pods, of this attempt and of those before that podRetention keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from muster.cli.gang_pods import RankPod, ranked
from muster.cli.output import Failed
from muster.cli.session import NotYet, Session, refusal
from muster.core.model import Job, Phase, Placement, Rejected
from muster.kube import parse, paths
from muster.kube.errors import Answer, ApiError
from muster.kube.launchers import segment_of
from muster.kube.render import LABEL_UID


class Gang:
    """A job with its pods."""

    def __init__(self, job: Job | Rejected, pods: Sequence[RankPod]) -> None:
        self.job = job
        self.pods = sorted(pods, key=lambda pod: (pod.role, pod.rank, pod.attempt))

    @property
    def key(self) -> str:
        """namespace/name."""
        return self.job.key

    @property
    def placement(self) -> Placement | None:
        """Where the present or last attempt is placed."""
        return self.job.status.placement

    def roles(self) -> dict[str, int]:
        """Pods by role, as placed, else as the spec says."""
        if self.placement is not None:
            return {role: len(nodes) for role, nodes in zip(self.placement.roles, self.placement.nodes, strict=True)}
        return {role.name: role.count for role in self.job.roles} if isinstance(self.job, Job) else {}

    def role(self, asked: str | None) -> str:
        """The role asked for, or the only one. Raises Failed, and NotYet for a job that has none."""
        roles = self.roles()
        if not roles:  # refused by the operator as it is written
            raise NotYet(f"{self.key} is not placed: {self.why()}")
        if asked is None and len(roles) == 1:
            return next(iter(roles))
        if asked in roles:
            return str(asked)
        said = f"has no role {asked}" if asked is not None else "has several roles"
        raise Failed(f"{self.key} {said}: use --role with {_either(roles)}.")

    def pod(self, role: str | None, rank: int, attempt: int | None) -> RankPod:
        """The pod of a rank, of the newest attempt that has one unless an attempt is named.

        Raises Failed, saying what there is instead; NotYet while the job has not come so far.
        """
        name = self.role(role)
        count = self.roles()[name]
        if not 0 <= rank < count:
            raise Failed(f"role {name} of {self.key} has the ranks 0 to {count - 1}; there is no rank {rank}.")
        pods = [pod for pod in self.pods if (pod.role, pod.rank) == (name, rank)]
        made = self.job.status.attempt
        if attempt is None:
            born = self._born(name, rank)
            found = [pod for pod in pods if born in (None, pod.attempt)]
        else:
            if not 0 < attempt <= made:
                raise Failed(f"{self.key} has made {made} attempt{'' if made == 1 else 's'}; there is no {attempt}.")
            # Of the present attempt it may be a pod made in an earlier one, which a repair left in its place.
            made_in = self._born(name, rank) if self.placement and self.placement.attempt == attempt else attempt
            found = [pod for pod in pods if pod.attempt == (made_in or attempt)]
        if found:
            return found[-1]
        which = f"{name} rank {rank}" + ("" if attempt is None else f" in attempt {attempt}")
        raise self._missing(which, pods, attempt)

    def _born(self, role: str, rank: int) -> int | None:
        """The attempt of the pod that runs this rank now; None: no attempt is under way."""
        placement = self.placement
        if placement is None or not self.job.status.live or role not in placement.roles:
            return None
        return placement.born[placement.roles.index(role)][rank]

    def _missing(self, which: str, pods: Sequence[RankPod], attempt: int | None) -> Failed:
        job, status = self.job, self.job.status
        kept = _either(f"attempt {pod.attempt}" for pod in pods)
        add = f" Its earlier pods are kept: {kept}." if kept else ""
        if attempt in (None, status.attempt):
            if status.phase is Phase.PENDING:
                return NotYet(f"{self.key} is not placed: {self.why()}{add}")
            if status.phase is Phase.SUSPENDED:
                return NotYet(f"{self.key} is suspended.{add}")
            if status.phase in (Phase.PLACED, Phase.REPAIRING):
                doing = "placed" if status.phase is Phase.PLACED else "being repaired"
                return NotYet(f"{self.key} is {doing}, and the pod of {which} has not been made yet.{add}")
        said = f"the pod of {which} of {self.key} is gone"
        if isinstance(job, Job):
            policy = job.policy
            said += (
                f": podRetention keeps {policy.retain_pods} ended pods of the last {policy.retain_attempts} attempts"
            )
        if kept:
            return Failed(f"{said}. Of this rank there is: {kept}.")
        others = sorted({(pod.attempt, pod.role, pod.rank) for pod in self.pods if pod.terminal}, reverse=True)
        listed = ", ".join(f"attempt {a} {role} {rank}" for a, role, rank in others[:8])
        return Failed(f"{said}. {f'There is: {listed}' if listed else 'None is left'}.")

    def why(self) -> str:
        """Why the job waits, as a sentence."""
        if isinstance(self.job, Rejected):
            return f"{self.job.path}: {self.job.message}"
        waiting = self.job.status.waiting
        if waiting is None:
            return "the operator has said nothing about it yet. Is `muster run` running?"
        return f"{waiting.verdict.reason.value}: {waiting.message}"

    def segment(self, role: str, rank: int) -> int:
        """The rank's innermost segment."""
        spec = next((r for r in self.job.roles if r.name == role), None) if isinstance(self.job, Job) else None
        return segment_of(spec.segments, rank)[0] if spec is not None else 0


async def read(api: Session, namespace: str, name: str) -> Gang:
    """The job and its pods, as they are now. Raises Failed."""
    try:
        job = parse.job(await api.client.get(paths.trainingjob(namespace, name)))
    except ApiError as error:
        if error.answer is Answer.GONE:
            raise Failed(
                f"there is no TrainingJob {name} in namespace {namespace}. `kubectl get trainingjobs -A` lists them."
            ) from None
        raise refusal(error, f"read the TrainingJob {namespace}/{name}", ours=True) from None
    pods: list[RankPod] = []
    levels = [level for level, _ in job.status.placement.domains] if job.status.placement is not None else []
    try:
        async for page in api.client.list_pages(paths.pods(namespace), label_selector=f"{LABEL_UID}={job.id}"):
            pods += ranked(page, levels)
    except ApiError as error:
        raise refusal(error, f"list the pods of {job.key}") from None
    except msgspec.MsgspecError as error:
        raise Failed(f"cannot read the pods of {job.key}: {error}.") from None
    return Gang(job, pods)


def container_of(pod: RankPod, asked: str | None) -> str:
    """The container asked for, else the default one: that of kubectl's annotation, or the first. Raises Failed."""
    if asked is None:
        return pod.default_container
    if asked not in pod.containers:
        raise Failed(f"pod {pod.name} has no container {asked}: use -c with {_either(pod.containers)}.")
    return asked


def _either(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
