"""Machines and the pods on them, as kube-controller-manager looks at them: `nodecare` decides by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from muster.embedded.nodes.demands import Taint, Toleration
from muster.embedded.nodes.feed import RESET, SYNCED, Feed, Serving
from muster.embedded.nodes.racks import OFF

UNREACHABLE = "node.kubernetes.io/unreachable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


class _Condition(msgspec.Struct, gc=False):
    type: str
    status: str


class _NodeSpec(msgspec.Struct, gc=False):
    taints: tuple[Taint, ...] | None = None


class _NodeStatus(msgspec.Struct, gc=False):
    conditions: list[_Condition] | None = None


class _NodeMeta(msgspec.Struct, gc=False):
    name: str
    annotations: dict[str, str] | None = None


class _Node(msgspec.Struct):
    metadata: _NodeMeta
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


class _PodMeta(msgspec.Struct, gc=False, rename="camel"):
    name: str
    namespace: str
    uid: str
    deletion_timestamp: str | None = None


class _PodSpec(msgspec.Struct, gc=False, rename="camel"):
    node_name: str = ""
    tolerations: tuple[Toleration, ...] | None = None


class _PodStatus(msgspec.Struct, gc=False):
    phase: str = "Pending"


class _Pod(msgspec.Struct):
    metadata: _PodMeta
    spec: _PodSpec
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


_nodes = msgspec.json.Decoder(_Node)
_pods = msgspec.json.Decoder(_Pod)


@dataclass(slots=True)
class Machine:
    """A node."""

    taints: tuple[Taint, ...]
    """Those that evict."""
    ready: bool
    off_since: int | None
    """ms; None: it is on."""
    marked: bool
    """It carries the taint of an unreachable node."""


@dataclass(slots=True)
class Held:
    """A bound pod."""

    path: str
    node: str
    tolerations: tuple[Toleration, ...]
    terminating: bool
    ended: bool
    evict_at: int | None = None
    """When its eviction is due, ms."""


class Machines:
    """Kept up to date by `refresh`."""

    def __init__(self, server: Serving) -> None:
        self._node_feed = Feed(server, "/api/v1/nodes")
        self._pod_feed = Feed(server, "/api/v1/pods", "spec.nodeName!=")
        self.nodes: dict[str, Machine] = {}
        self.pods: dict[str, Held] = {}
        """By uid."""
        self.on_node: dict[str, dict[str, None]] = {}
        """Uids by node name."""
        self.gone: dict[str, int] = {}
        """Names without a Node object to which pods are bound, and since when (ms) that is known."""
        self.out: set[str] = set()
        """Nodes that are out of service."""
        self._toleration_sets: dict[tuple[Toleration, ...], tuple[Toleration, ...]] = {}

    def refresh(self, now: int) -> set[str]:
        """Take in the news; the names of nodes about which something may have to be done."""
        return self._take_nodes(now) | self._take_pods(now)

    def listen(self, on_news: Callable[[], None]) -> None:
        """Have this called when there are news: in the middle of a write, so only to note it."""
        self._node_feed.on_news = self._pod_feed.on_news = on_news

    def _take_nodes(self, now: int) -> set[str]:
        touched: set[str] = set()
        listed: set[str] = set()
        for kind, raw in self._node_feed.pull():
            if kind == RESET:
                listed = set()
            elif kind == SYNCED:
                for name in [name for name in self.nodes if name not in listed]:
                    self._lose(name, now)
            else:
                node = _nodes.decode(raw)
                name = node.metadata.name
                if kind == "DELETED":
                    self._lose(name, now)
                else:
                    listed.add(name)
                    if self._put_machine(node, now):
                        touched.add(name)
        return touched

    def _lose(self, name: str, now: int) -> None:
        self.nodes.pop(name, None)
        self.out.discard(name)
        if name in self.on_node:
            self.gone.setdefault(name, now)

    def _put_machine(self, node: _Node, now: int) -> bool:
        name = node.metadata.name
        every = node.spec.taints or ()
        before = self.nodes.get(name)
        off = (node.metadata.annotations or {}).get(OFF) == "true"
        since = (before.off_since if before is not None and before.off_since is not None else now) if off else None
        new = Machine(
            taints=tuple(taint for taint in every if taint.effect == "NoExecute"),
            ready=any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or ()),
            off_since=since,
            marked=any(taint.key == UNREACHABLE for taint in every),
        )
        self.nodes[name] = new
        if any(taint.key == OUT_OF_SERVICE for taint in new.taints):
            self.out.add(name)
        else:
            self.out.discard(name)
        self.gone.pop(name, None)
        return before != new and (bool(new.taints) or off or before is not None)

    def _take_pods(self, now: int) -> set[str]:
        touched: set[str] = set()
        listed: set[str] | None = None
        for kind, raw in self._pod_feed.pull():
            if kind == RESET:
                listed = set()
            elif kind == SYNCED:
                for uid in [uid for uid in self.pods if listed is not None and uid not in listed]:
                    self._forget(uid)
                listed = None
            else:
                pod = _pods.decode(raw)
                if listed is not None:
                    listed.add(pod.metadata.uid)
                if kind == "DELETED":
                    self._forget(pod.metadata.uid)
                else:
                    self._put_pod(pod, now)
                    touched.add(pod.spec.node_name)
        return {name for name in touched if name in self.nodes and self.nodes[name].taints}

    def _put_pod(self, pod: _Pod, now: int) -> None:
        meta, name = pod.metadata, pod.spec.node_name
        own = pod.spec.tolerations or ()
        # A gang's pods have equal ones.
        tolerations = self._toleration_sets.setdefault(own, own)
        terminating, ended = meta.deletion_timestamp is not None, pod.status.phase in ("Succeeded", "Failed")
        held = self.pods.get(meta.uid)
        if held is None:
            path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}"
            self.pods[meta.uid] = Held(path, name, tolerations, terminating, ended)
            self.on_node.setdefault(name, {})[meta.uid] = None
            if name not in self.nodes:
                self.gone.setdefault(name, now)
        else:
            held.tolerations, held.terminating, held.ended = tolerations, terminating, ended

    def _forget(self, uid: str) -> None:
        held = self.pods.pop(uid, None)
        if held is not None:
            on_node = self.on_node[held.node]
            on_node.pop(uid, None)
            if not on_node:
                del self.on_node[held.node]
                self.gone.pop(held.node, None)
