"""What the pods of jobs really request: their templates, as the API server's dry runs have answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from muster.core.model import Admission, Job, Rejected, RoleShape, Shape


def template_key(job: Job, role: int, pod_defaults: str) -> str:
    """The key of the admission of one role's pods: its template, the pod defaults, and the PriorityClass, for which
    the pods of another job with the same template may be refused."""
    return f"{job.roles[role].template}+{pod_defaults}+{job.priority_class}"


class Admissions:
    """The answers by namespace and template, and the shapes that follow from them. `pod_defaults` is the topology's of
    now; whoever changes it says so (`anew`)."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Admission] = {}
        self._shapes: dict[str, tuple[Job, Shape]] = {}
        """The shape of each job, and for which record of it;"""
        self._alike: dict[Shape, Shape] = {}
        """jobs with an equal one share it."""

    def __iter__(self) -> Iterator[Admission]:
        return iter(self._answers.values())

    def get(self, namespace: str, template: str) -> Admission | None:
        """What was answered about this template here."""
        return self._answers.get((namespace, template))

    def unasked(self, job: Job, pod_defaults: str) -> bool:
        """Some role's dry run has not answered."""
        keys = (template_key(job, i, pod_defaults) for i in range(len(job.roles)))
        return any(self.get(job.namespace, key) is None for key in keys)

    def shape(self, job: Job, pod_defaults: str, *, keep: bool) -> Shape:
        """What the solver is asked: the job's roles with the requests and filter of their pods as admitted, as written
        where admission has not been asked or was refused. `keep` it until something changes."""
        known = self._shapes.get(job.id)
        if known is not None and _asks_alike(known[0], job):
            return known[1]
        shape = self._shape(job, pod_defaults)
        shape = self._alike.setdefault(shape, shape)
        if keep:
            self._shapes[job.id] = job, shape
        return shape

    def _shape(self, job: Job, pod_defaults: str) -> Shape:
        roles = []
        for i, role in enumerate(job.roles):
            answer = self.get(job.namespace, template_key(job, i, pod_defaults))
            known = None if answer is None or answer.refused else answer
            roles.append(
                RoleShape(
                    name=role.name,
                    count=role.count,
                    requests=role.requests if known is None else known.requests,
                    filter=role.filter if known is None else known.filter,
                    required=role.required,
                    preferred=role.preferred,
                    segments=role.segments,
                )
            )
        return Shape(tuple(roles), job.required, job.preferred)

    # --- changing ---------------------------------------------------------------------------------------------------

    def put(self, answer: Admission) -> None:
        """A dry run has answered."""
        self._answers[answer.namespace, answer.template] = answer
        self.anew()

    def forget_refused(self) -> None:
        """What was refused may be admitted now."""
        self._answers = {key: answer for key, answer in self._answers.items() if not answer.refused}
        self.anew()

    def forget(self, namespace: str | None, claim: str | None) -> bool:
        """The answers of one namespace (None: of all) that hang on this volume claim (None: all of them) are outdated.
        Whether there were any."""
        outdated = [
            key
            for key, answer in self._answers.items()
            if namespace in (None, key[0]) and (claim is None or claim in answer.claims)
        ]
        for key in outdated:
            del self._answers[key]
        self.anew()
        return bool(outdated)

    def drop_job(self, uid: str) -> None:
        """Nobody asks about this job any more."""
        self._shapes.pop(uid, None)

    def anew(self) -> None:
        """What the pods of some job request may be something else now."""
        self._shapes.clear()
        self._alike.clear()

    def shift(self, by: int) -> None:
        """The clock was set forward by so much (ms)."""
        self._answers = {key: replace(answer, at=answer.at + by) for key, answer in self._answers.items()}

    def fingerprint(self) -> Mapping[tuple[str, str], Admission]:
        """Equal as long as the answers are."""
        return dict(self._answers)


def about(job: Job | Rejected, answer: Admission, pod_defaults: str) -> bool:
    """The pods of this job are what this dry run was about."""
    if not isinstance(job, Job) or job.namespace != answer.namespace:
        return False
    return any(template_key(job, i, pod_defaults) == answer.template for i in range(len(job.roles)))


def _asks_alike(a: Job, b: Job) -> bool:
    """Two records of one job have the same shape, as long as what its pods request is the same."""
    same = a.roles is b.roles or a.roles == b.roles
    return same and (a.required, a.preferred, a.priority_class) == (b.required, b.preferred, b.priority_class)
