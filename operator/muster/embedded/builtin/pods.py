"""Pods: what is done to one when it is written, bound, evicted, deleted."""

from __future__ import annotations

from muster.embedded.builtin import admission, poddefaults, podrules
from muster.embedded.builtin.behaviour import Behaviour, Causes
from muster.embedded.metadata import forbid, required
from muster.embedded.storage.state import Change, Route, State
from muster.embedded.storage.store import Entry
from muster.embedded.wire import Object, conflict, invalid

GATED = "Scheduling is blocked due to non-empty scheduling gates"
TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
TERMINAL = ("Succeeded", "Failed")


class Pods(Behaviour):
    """See the module."""

    generation = True
    returns_deleted = True

    def default(self, obj: Object) -> None:
        """The defaults of the spec."""
        spec = obj.get("spec")
        if not isinstance(spec, dict):
            spec = obj["spec"] = {}
        poddefaults.default(spec)

    def prepare(self, state: State, obj: Object) -> None:
        """A status of its own."""
        spec = obj["spec"]
        status: Object = {"phase": "Pending"}
        if spec.get("schedulingGates"):
            status["conditions"] = [condition(state, "False", "SchedulingGated", GATED)]
        status["qosClass"] = poddefaults.quality(spec)
        obj["status"] = status

    def admit(self, state: State, obj: Object, change: Change) -> None:
        """Every admission plugin but quota."""
        admission.admit(state, obj)
        obj["status"]["qosClass"] = poddefaults.quality(obj["spec"])

    def check(self, obj: Object) -> Causes:
        """What is wrong with a new pod."""
        return podrules.check(obj["spec"])

    def prepare_change(self, state: State, new: Object, old: Object, subresource: str) -> None:
        """What of the status nobody sets, and what stays as it was."""
        if subresource == "status":
            status = new.setdefault("status", {})
            status.setdefault("phase", (old.get("status") or {}).get("phase") or "Pending")
            status["qosClass"] = (old.get("status") or {}).get("qosClass") or "BestEffort"
            if (new["spec"].get("nodeName") or "") == "" and new["spec"].get("schedulingGates"):
                held = [c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"]
                if not held:
                    status["conditions"] = [
                        condition(state, "False", "SchedulingGated", GATED),
                        *(status.get("conditions") or ()),
                    ]

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        """What may not change."""
        if subresource == "status":
            return _status_causes(new, old)
        return podrules.check_change(new["spec"], old["spec"])

    def grace(self, obj: Object, asked: int | None) -> int | None:
        """Nothing is owed to a pod that runs nowhere."""
        spec = obj["spec"]
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in TERMINAL:
            return 0
        period: int = spec.get("terminationGracePeriodSeconds", poddefaults.GRACE) if asked is None else asked
        return period if period >= 0 else 1


def _status_causes(new: Object, old: Object) -> Causes:
    before, after = old.get("status") or {}, new.get("status") or {}
    # Containers of a pod that never restarts them do not come back from their end.
    if new["spec"].get("restartPolicy") == "Always":
        return
    ended = {c["name"] for c in before.get("containerStatuses") or () if "terminated" in (c.get("state") or {})}
    never = new["spec"].get("restartPolicy") == "Never"
    codes = {
        c["name"]: c["state"]["terminated"].get("exitCode", 0)
        for c in before.get("containerStatuses") or ()
        if c["name"] in ended
    }
    for index, container in enumerate(after.get("containerStatuses") or ()):
        if container.get("name") not in ended or "terminated" in (container.get("state") or {}):
            continue
        if never or codes[container["name"]] == 0:
            yield forbid(f"status.containerStatuses[{index}].state", "may not be transitioned to non-terminated state")


def condition(state: State, status: str, reason: str = "", message: str = "") -> Object:
    """The condition PodScheduled."""
    found: Object = {
        "type": "PodScheduled",
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": state.timestamp(),
    }
    return found | ({"reason": reason, "message": message} if reason else {})


def bind(state: State, route: Route, binding: Object, dry_run: bool) -> None:
    """Put a pod on a node. StatusError (404, 409, 422)."""
    target = binding.get("target") or {}
    causes = []
    if target.get("kind") not in (None, "", "Node"):
        causes.append(forbid("target.kind", 'must be empty or "Node"'))
    if not target.get("name"):
        causes.append(required("target.name"))
    if causes:
        raise invalid("Binding", "", route.name, causes)
    entry = route.entry(state)
    wanted = (binding.get("metadata") or {}).get("uid")
    if wanted and wanted != entry.uid:
        raise conflict("pods", "", route.name, storage_uid(route, wanted, entry.uid))
    pod = entry.object()
    spec, status, meta = pod["spec"], pod.setdefault("status", {}), pod["metadata"]
    why = ""
    if meta.get("deletionTimestamp"):
        why = f"pod {route.name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {route.name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {route.name} has non-empty .spec.schedulingGates"
    if why:
        raise conflict("pods/binding", "", route.name, why)
    spec["nodeName"] = target["name"]
    node = state.table("", "nodes").entries.get(target["name"])
    if node is not None:
        given = {key: node.labels[key] for key in TOPOLOGY if key in node.labels}
        if given:
            meta["labels"] = {**(meta.get("labels") or {}), **given}
    if binding.get("metadata", {}).get("annotations"):
        meta["annotations"] = {**(meta.get("annotations") or {}), **binding["metadata"]["annotations"]}
    status.pop("nominatedNodeName", None)
    others = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    status["conditions"] = [condition(state, "True"), *others]
    if not dry_run:
        state.store.put(state.store.table(route.kind), pod, entry)


def storage_uid(route: Route, asked: str, found: str) -> str:
    """What the storage says to a uid that is not the one it holds."""
    return (
        f"StorageError: invalid object, Code: 4, Key: /registry/pods/{route.key}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"
    )


def disrupted(state: State, entry: Entry) -> Entry:
    """Mark a pod as about to be evicted."""
    pod = entry.object()
    told = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": state.timestamp(),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    status = pod.setdefault("status", {})
    others = [c for c in status.get("conditions") or () if c.get("type") != "DisruptionTarget"]
    status["conditions"] = [*others, told]
    return state.store.put(state.table("", "pods"), pod, entry)
