"""Puts the jobs of a question to what is known of the cluster, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from muster.api import parse_job
from muster.cli import judge
from muster.cli.cluster import Known
from muster.cli.manifests import Manifest
from muster.core.model import Committed, Job, Objective, Phase, Placement, Rejected, Resources, Upsert
from muster.kube import parse


class Questions:
    """`sequential`: a job that fits keeps its room from those that are asked about after it."""

    def __init__(self, known: Known, sequential: bool) -> None:
        self._known = known
        self._sequential = sequential
        self._asked = 0
        self._answers: dict[object, judge.Element] = {}
        """By all that an answer depends on; in a sequence until the next job takes room."""
        self._phases = {job.key: job.status.phase.value for job in known.world.jobs()}
        self._seen: set[str] = set()

    def ask(self, manifest: Manifest) -> judge.Element:
        """The answer for one document."""
        self._asked += 1
        checked = parse_job(manifest.value, scheduler_name=self._known.scheduler)
        if isinstance(checked, list):
            return judge.refused(manifest.key, "", "; ".join(map(str, checked)))
        job = _job(manifest, self._asked)
        if isinstance(job, Rejected):
            return judge.judge(self._known, job)
        self._remark(job)
        known = self._known
        known.admit(job)
        about = (job.namespace, job.priority_class, known.world.shape(job), job.policy.prefer_wait)
        if about not in self._answers:
            self._answers[about] = judge.judge(known, job)
        answer = self._answers[about] | {"job": job.key}
        if self._sequential and answer["placed"]:
            self._take(job, answer)
        return answer

    def _remark(self, job: Job) -> None:
        """Say what of a job a question looks past."""
        warn = self._known.warnings.append
        if job.key in self._phases:
            warn(f"{job.key} is in the cluster already ({self._phases[job.key]}); it is judged as one more job")
        if job.key in self._seen:
            warn(f"{job.key} is asked about more than once; each is judged as one more job")
        self._seen.add(job.key)
        if job.suspend:
            warn(f"{job.key} is suspended (spec.suspend); it is judged as if it were not")

    def _take(self, job: Job, answer: judge.Element) -> None:
        """Let a job that fits run where it fits."""
        self._answers.clear()
        roles = tuple(role.name for role in job.roles)
        nodes = tuple(tuple(r["node"] for r in answer["ranks"] if r["role"] == name) for name in roles)
        placement = Placement(
            attempt=1,
            gang_attempt=1,
            term="",
            generation=job.generation,
            roles_hash=self._known.world.roles_hash(job),
            roles=roles,
            nodes=nodes,
            born=tuple((1,) * len(names) for names in nodes),
            objective=_objective(answer["objective"]),
            proven=answer["provenOptimal"],
            domains=tuple(answer["domains"].items()),
            least=(),
        )
        # Running, not Placed: one that has still to create its pods would hold the others up.
        status = Committed(phase=Phase.RUNNING, live=True, attempt=1, placement=placement)
        self._known.world.apply(Upsert(replace(job, status=status), 0))
        for role in self._known.world.shape(job).roles:
            total: Resources = tuple((name, amount * role.count) for name, amount in role.requests)
            self._known.dry_run.spend(job.namespace, total)


def _objective(said: dict[str, Any]) -> Objective:
    intact = tuple(said["intactOpened"].items())
    return Objective(said["preferred"], said["cost"], said["nodes"], intact, said["leftover"])


def _job(manifest: Manifest, number: int) -> Job | Rejected:
    """The job as the API server would make it."""
    meta = {"namespace": manifest.namespace, **manifest.value["metadata"]}
    meta |= {"uid": f"{number:08x}-0000-4000-8000-000000000000", "resourceVersion": "1", "generation": 1}
    meta.setdefault("name", f"{meta.get('generateName', '')}xxxxx")
    return parse.job_from({**manifest.value, "metadata": meta, "status": {}})
