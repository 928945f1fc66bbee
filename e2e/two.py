"""Two replicas by force: the leader is frozen with a request of its held, the second goes on, the first wakes up."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from e2e.client import wait_for
from e2e.faults import Action, Rule, Seen
from e2e.gangs import leads
from e2e.harness import Cluster, Operators
from e2e.proxy import FaultProxy

LEASE_SECONDS = 4
WRITES = "POST|PUT|PATCH|DELETE"
OBJECTS = "/(pods|services|trainingjobs)"


def says(phase: str) -> Callable[[Seen], bool]:
    """A rule's test: this status write says that phase."""
    return lambda seen: bool((seen.body.get("status") or {}).get("phase") == phase)


def real(seen: Seen) -> bool:
    """A rule's test: no dry run."""
    return "dryRun" not in seen.path


def ungates(seen: Seen) -> bool:
    """A rule's test: it takes a gate off."""
    return "schedulingGates" in str(seen.body)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the first leader is doing when it freezes: the request that is held, and how many of its like pass first."""

    method: str
    path: str
    action: Action
    when: Callable[[Seen], bool] | None = None
    skip: int = 0
    phase: str = "Pending"
    """What is committed then."""
    beside: str | None = None
    """Paths of other writes that may be under way at that moment."""

    def rule(self) -> Rule:
        """A rule for one use."""
        return Rule(self.method, self.path, self.action, self.when, skip=self.skip)


class Two:
    """A leader and a follower, each behind a proxy of its own."""

    def __init__(self, cluster: Cluster, operator: Operators) -> None:
        self.cluster = cluster
        self.beside: str | None = None
        self.proxies = [cluster.start_proxy(), cluster.start_proxy()]
        env = {"MUSTER_LEASE_SECONDS": str(LEASE_SECONDS), "MUSTER_IDENTITY": "replica-{index}"}
        [self.first] = operator(env=env, server=self.proxies[0].url)
        self.first.wait_until(lambda: leads(self.first), 60, "leading")
        [self.second] = operator(env=env, server=self.proxies[1].url)
        self.second.wait_until(lambda: "all caches are synced" in self.second.output(), 60, "synced")

    @property
    def proxy(self) -> FaultProxy:
        """The first leader's."""
        return self.proxies[0]

    def freeze_at(self, moment: Moment, begin: Callable[[], object]) -> Rule:
        """Begin something that concerns the job `gang`, and stop the first leader as soon as its request is held."""
        self.beside = moment.beside
        rule = self.proxy.add(moment.rule())
        begin()
        wait_for(lambda: rule.hits, 30, "the moment has come", pause=0.002)
        self.first.freeze()
        if moment.action.held_after:  # type: ignore[attr-defined]
            wait_for(lambda: all(s.delivered for s in self.held(rule)), 10, "it has been delivered")
        assert self.cluster.phase("gang") == moment.phase
        return rule

    def thaw(self, rule: Rule) -> None:
        """Wake the first leader, let go of what it had sent; it must decide nothing more, and end by itself.

        What had passed its lease check before the freeze, and waited for a connection, may still go out: its like
        (`rule`) and what was under way beside it is let through, nothing else.
        """
        sent = len(self.proxy.seen)
        self.first.thaw()
        rule.release()
        wait_for(lambda: not self.first.running, 15, "the first leader ends, its lease being stale")
        assert self.first.exit_code == 1, self.first.output()[-2000:]
        late = [s for s in self.proxy.seen[sent:] if re.fullmatch(WRITES, s.method) and re.search(OBJECTS, s.path)]
        late = [s for s in late if s.rule is not rule and not (self.beside and re.search(self.beside, s.path))]
        assert not late, [(s.method, s.path) for s in late]
        wait_for(lambda: all(s.delivered for s in self.held(rule)), 10, "all that was held has landed")

    def held(self, rule: Rule) -> list[Seen]:
        """The requests that this rule has held."""
        return [s for s in list(self.proxy.seen) if s.rule is rule]
