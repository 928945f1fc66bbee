"""The list. A mutant replaces `old`, which stands exactly once in `file` (below operator/muster/), by `new`."""

from __future__ import annotations

from dataclasses import dataclass

LANES = ("stories", "scenarios", "units", "systematic", "storms")
"""In the order in which they are tried, the quick ones first: the stories of the simulator without faults, the scenario
files in the pure core, the tests of the module, plans of faults, storms."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks`: what is wrong with it, in words. `hint`: plans and storms that found it before, tried first."""

    breaks: str
    file: str
    old: str
    new: str
    hint: tuple[str, ...] = ()


MUTANTS = (
    # --- the table ---
    Mutant(
        "Starting without the view",
        "core/lifecycle.py",
        "return seen.complete and seen.viewed and not seen.stale",
        "return seen.complete and not seen.stale",
    ),
    Mutant(
        "Starting before all pods exist",
        "core/lifecycle.py",
        "return seen.complete and seen.viewed and not seen.stale",
        "return seen.viewed and not seen.stale",
    ),
    Mutant(
        "Starting while earlier pods still run",
        "core/lifecycle.py",
        "seen.viewed and not seen.stale and not seen.terminating",
        "seen.viewed and not seen.terminating",
    ),
    Mutant(
        "Starting though a pod is being deleted",
        "core/lifecycle.py",
        "seen.viewed and not seen.stale and not seen.terminating",
        "seen.viewed and not seen.stale",
    ),
    Mutant(
        "back to the queue before the pods are gone",
        "core/lifecycle.py",
        "(Row.REQUEUED, _phases(P.STOPPING), lambda s: s.seen.holding == 0, _requeue)",
        "(Row.REQUEUED, _phases(P.STOPPING), lambda s: True, _requeue)",
    ),
    Mutant(
        "the claim ends at the abort",
        "core/lifecycle.py",
        "stopping=Stopping(reason, message), waiting=None, **edits)",
        "stopping=Stopping(reason, message), waiting=None, live=False, **edits)",
    ),
    Mutant(
        "the claim ends with the job and not with its last pod",
        "core/lifecycle.py",
        "lambda s: s.status.live and s.seen.holding == 0,",
        "lambda s: s.status.live,",
    ),
    Mutant(
        "a claim that does not hold any more is kept",
        "core/lifecycle.py",
        "lambda s: s.seen.void is not None, _void)",
        "lambda s: False, _void)",
    ),
    Mutant(
        "suspend is not heard",
        "core/lifecycle.py",
        "(Row.SUSPENDING, ACTIVE, lambda s: s.job.suspend, _suspend)",
        "(Row.SUSPENDING, ACTIVE, lambda s: False, _suspend)",
    ),
    Mutant(
        "a repair keeps the attempt's number",
        "core/lifecycle.py",
        "    attempt = s.status.attempt + 1\n    placement = replace(\n        old,",
        "    attempt = s.status.attempt\n    placement = replace(\n        old,",
    ),
    Mutant(
        "a whole gang made anew keeps its rendezvous",
        "core/lifecycle.py",
        "gang_attempt=attempt if mend.whole else old.gang_attempt,",
        "gang_attempt=old.gang_attempt,",
    ),
    Mutant(
        "restarts are allowed for ever",
        "core/lifecycle.py",
        "return own and counted(s) and in_row(s) + 1 > s.job.policy.max_restarts",
        "return False",
    ),
    Mutant(
        "kept nodes are kept for ever",
        "core/lifecycle.py",
        "lambda s: s.status.reservation is not None and s.now >= s.status.reservation.until,",
        "lambda s: False,",
    ),
    Mutant(
        "a node is avoided after one blame",
        "core/lifecycle.py",
        "BLAMED_TWICE = 2",
        "BLAMED_TWICE = 1",
    ),
    # --- what is observed ---
    Mutant(
        "a term decides between overlapping claims",
        "core/observe.py",
        "    taken = world.inventory.overlaps(job.id)\n",
        "    taken = world.inventory.overlaps(job.id)\n"
        "    if any(isinstance(j, Job) and j.id != job.id and j.status.live and j.status.placement is not None and "
        "int(j.status.placement.term or 0) < int(placement.term or 0) for j in world.jobs()):\n"
        "        taken = ()\n",
    ),
    Mutant(
        "overlapping claims are not seen",
        "core/observe.py",
        "    taken = world.inventory.overlaps(job.id)\n",
        "    taken = ()\n",
    ),
    Mutant(
        "Running when the first pod runs",
        "core/observe.py",
        "    seen.all_ran = all(\n",
        "    seen.all_ran = any(\n",
    ),
    Mutant(
        "a placement that waited long is written as it is",
        "core/observe.py",
        "    job, placement = world.acknowledged(transition.job), transition.status.placement\n    if not",
        "    job, placement = world.acknowledged(transition.job), None\n    if not",
        ("second@0 0/write:21=lose-reply:40",),
    ),
    Mutant(
        "pods that vanished on a silent machine are forgotten",
        "core/observe.py",
        "if not seen.at(ghost_until(world, job, ghost), now)]",
        "if False]",
    ),
    Mutant(
        "how long a machine is silent is read off another's clock",
        "core/stopped.py",
        "    since = world.silent_since(node)\n",
        "    since = node.unready_since\n",
    ),
    Mutant(
        "a clock that is set makes machines silent for longer",
        "loop.py",
        "            self.put(ClockSet(by))\n",
        "",
    ),
    Mutant(
        "a new leader does not look for pods that vanished",
        "core/world.py",
        "                            self._ghosts.look(job, self.pods_of(job.id), self._silent)\n",
        "                            pass\n",
        ("forced@0",),
    ),
    Mutant(
        "where ranks ran before they moved is not kept",
        "core/lifecycle.py",
        "return tuple(sorted({*s.status.leaving, *moved}))",
        "return ()",
        ("forced@0",),
    ),
    Mutant(
        "a failed pod of a running gang is not noticed",
        "core/breaks.py",
        "        elif seen.pod.stage is Stage.FAILED:\n",
        "        elif False:\n",
    ),
    Mutant(
        "a pod that others deleted is not missed",
        "core/breaks.py",
        "                self._broke(Fault.DISRUPTED, why, silent=silent(node))\n"
        "        elif seen.pod.stage is Stage.FAILED",
        "                pass\n        elif seen.pod.stage is Stage.FAILED",
    ),
    Mutant(
        "a node that is gone is not missed",
        "core/breaks.py",
        'return "the node was deleted", False, False',
        "return None",
    ),
    Mutant(
        "drain rules are not heard",
        "core/breaks.py",
        "            if already or begun is None or self.at(begun + rule.after, self.now):",
        "            if False:",
    ),
    Mutant(
        "a process that may still run on a silent machine is taken for dead",
        "core/breaks.py",
        '{self.job.policy.unreachable_after // 1000} s", True, True',
        '{self.job.policy.unreachable_after // 1000} s", True, False',
    ),
    # --- S3 ---
    Mutant(
        "a pod counts as stopped while it is being deleted",
        "core/stopped.py",
        "    if not pod.terminal:\n        return None\n",
        "    if not pod.terminal:\n        return 0 if pod.terminating else None\n",
    ),
    Mutant(
        "the garbage collector's word counts as the kubelet's",
        "core/stopped.py",
        "    if not silent(node):\n        return 0\n    return seen.since",
        "    if True:\n        return 0\n    return seen.since",
    ),
    Mutant(
        "a silent machine is given up at once",
        "core/stopped.py",
        "    return job.policy.unreachable_after\n",
        "    return 0\n",
    ),
    Mutant(
        "unreachable Wait does not wait",
        "core/stopped.py",
        "    if job is None or not job.policy.replaces_unreachable:",
        "    if job is None:",
    ),
    # --- duties ---
    Mutant(
        "a rank's next pod is made while the earlier one runs",
        "core/duties.py",
        "if born == job.status.attempt and key not in before:",
        "if born == job.status.attempt:",
    ),
    Mutant(
        "duties follow from a decision that is not acknowledged",
        "core/duties.py",
        "    job = world.acknowledged(uid)\n    if job is None or world.assumed(uid) is not None or not world.ready",
        "    job = world.job(uid)\n    if job is None or not world.ready",
    ),
    Mutant(
        "gates are taken off as pods are made",
        "core/duties.py",
        "            due += _start(world, job, placement, now)",
        "            due += [*_start(world, job, placement, now), *(Ungate(p.id, p.name) for p in world.pods_of(uid) "
        "if p.our_gate)]",
    ),
    Mutant(
        "pods of a later attempt than known are deleted",
        "core/duties.py",
        "        if pod.born is None or pod.born > status.attempt:\n            return False",
        "        if pod.born is None:\n            return False",
    ),
    Mutant(
        "pods without a place are left",
        "core/duties.py",
        "            return not has_place(active, pod)\n",
        "            return False\n",
    ),
    Mutant(
        "pods orphaned on purpose are deleted",
        "core/duties.py",
        "        if job.orphaning:\n            return ()\n",
        "",
    ),
    Mutant(
        "every pod is deleted by force",
        "core/duties.py",
        "        if off(world, pod.node, patience(job if isinstance(job, Job) else None), now):",
        "        if True:",
    ),
    Mutant(
        "a pod on a machine that is off is not forced away",
        "core/duties.py",
        "        if off(world, pod.node, patience(job if isinstance(job, Job) else None), now):",
        "        if False:",
    ),
    Mutant(
        "the Service of a finished job stays",
        "core/duties.py",
        "            yield DropChild(child.id, child.name)",
        "            yield from ()",
    ),
    Mutant(
        "work begins, and sweeping, before all caches are synced",
        "core/world.py",
        "return len(self._synced) == len(Kind)",
        "return Kind.JOB in self._synced",
    ),
    Mutant(
        "sweep before all caches are synced",
        "core/duties.py",
        "    if not world.ready:\n        return ()\n    pods = [",
        "    pods = [",
    ),
    # --- the world ---
    Mutant(
        "a decision under way claims nothing",
        "core/world.py",
        "[entry.record.status] + ([entry.assumed.status] if entry.assumed else [])",
        "[entry.record.status]",
    ),
    Mutant(
        "what a decision under way gives up is free at once",
        "core/world.py",
        "[entry.record.status] + ([entry.assumed.status] if entry.assumed else [])",
        "[entry.assumed.status if entry.assumed else entry.record.status]",
    ),
    Mutant(
        "a lost decision stands",
        "core/world.py",
        "                if entry and entry.assumed and entry.assumed.base_rv == base_rv:",
        "                if False:",
    ),
    Mutant(
        "kept nodes are not claimed",
        "core/world.py",
        "            placements += [_kept(s.reservation) for s in statuses if s.reservation is not None]\n",
        "",
    ),
    Mutant(
        "a view before this term counts",
        "core/world.py",
        "                self._viewed.clear()\n",
        "",
    ),
    # --- committing ---
    Mutant(
        "a compare-and-set is retried blindly",
        "worker/commit.py",
        "        if self._unanswered and carries(",
        "        from dataclasses import replace\n\n        self._job = shown\n        self._transition = "
        "replace(self._transition, base_rv=shown.rv)\n        return None\n        if self._unanswered and carries(",
    ),
    Mutant(
        "a status is written without its resourceVersion",
        "kube/status.py",
        '{"metadata": {"uid": job.id, "resourceVersion": str(job.rv)}}',
        '{"metadata": {"uid": job.id}}',
    ),
    Mutant(
        "an unknown answer is counted as lost",
        "worker/commit.py",
        "                self._may_land_until = self._tools.clock() + IN_FLIGHT_AT_MOST\n"
        "                return await self._look()",
        "                return self._lost()",
    ),
    Mutant(
        "an unknown answer is counted as done",
        "worker/commit.py",
        "                self._may_land_until = self._tools.clock() + IN_FLIGHT_AT_MOST\n"
        "                return await self._look()",
        "                return Outcome.COMMITTED",
    ),
    Mutant(
        "a conflict is taken for success",
        "worker/commit.py",
        "            return Outcome.COMMITTED\n        return self._lost()\n\n    def _gone",
        "            return Outcome.COMMITTED\n        return Outcome.COMMITTED\n\n    def _gone",
    ),
    # --- carrying out ---
    Mutant(
        "a pod that is being deleted is taken for the one to make",
        "worker/steps.py",
        "        if pod.terminating:\n            self._upsert(pod)\n            raise _leftover",
        "        if False:\n            self._upsert(pod)\n            raise _leftover",
    ),
    Mutant(
        "a delete does not say which object",
        "kube/client.py",
        '        preconditions = {"uid": uid}\n',
        "        preconditions = {}\n",
    ),
    Mutant(
        "the sweeper does not ask for the owner",
        "worker/reaper.py",
        "        if await self._forsaken(orphan, owned):",
        "        if True:",
    ),
    Mutant(
        "the lease is not looked at before a write",
        "worker/tools.py",
        "        if not self.closed and not self._lease_fresh():",
        "        if False:",
    ),
    Mutant(
        "a defect ends a worker for good",
        "worker/pool.py",
        "            self.task = None\n            self.pool.ended(self.uid)",
        "            self.pool.ended(self.uid)",
    ),
    # --- the lease ---
    Mutant(
        "a leader counts from the answer of a renewal, and long",
        "kube/lease.py",
        "            self._record = msgspec.json.decode(answer)\n            self._until = began + self._deadline",
        "            self._record = msgspec.json.decode(answer)\n            self._until = self._clock() + 60",
    ),
    Mutant(
        "a follower does not wait for the lease to run out",
        "kube/lease.py",
        "            if waited or self.holder in",
        "            if True or self.holder in",
    ),
    # --- news ---
    Mutant(
        "old news is let in",
        "feeds/door.py",
        "        if held is not None and record.rv <= held.rv:",
        "        if False:",
    ),
    Mutant(
        "who is gone may come back",
        "feeds/door.py",
        "        if id_ in self._gone[kind] or (",
        "        if (",
    ),
    Mutant(
        "what vanished in a gap of the watch is not told",
        "kube/reflector.py",
        "        gone = self._held - seen\n",
        "        gone = set[str]()\n",
    ),
    Mutant(
        "a watch that expired is resumed where it was",
        "kube/reflector.py",
        '        if error.answer is Answer.EXPIRED:\n            self._rv = ""\n        elif',
        "        if error.answer is Answer.EXPIRED:\n            pass\n        elif",
    ),
    Mutant(
        "deletions are not told",
        "kube/reflector.py",
        "                    sink(Gone(kind, event.id, now()))",
        "                    pass",
    ),
    # --- the wire ---
    Mutant(
        "any 404 means gone",
        "kube/errors.py",
        "            return Answer.GONE if ours else Answer.UNKNOWN",
        "            return Answer.GONE",
    ),
    Mutant(
        "pods are made without a gate",
        "kube/render.py",
        '"schedulingGates": [{"name": GATE}],',
        '"schedulingGates": [],',
    ),
)
