"""The admission plugins for new pods: LimitRanger, ServiceAccount, Priority, DefaultTolerationSeconds, RuntimeClass.

In the order of the real server; each changes the pod or raises StatusError (403). No token is mounted for the service
account: there is nothing that a container could call.
"""

from __future__ import annotations

from muster.embedded.amounts import written
from muster.embedded.builtin.poddefaults import canonized, containers_of
from muster.embedded.quantities import amounts, thousandths
from muster.embedded.storage.state import State
from muster.embedded.wire import Object, StatusError, forbidden

ABSENT = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
SCHEDULING, NODE = "scheduling.k8s.io", "node.k8s.io"


def admit(state: State, pod: Object) -> None:
    """Put a new pod through all of them."""
    spec, meta = pod["spec"], pod["metadata"]
    name, namespace = meta.get("name") or "", meta.get("namespace") or ""
    _limit_ranger(state, pod, name, namespace)
    _service_account(state, spec, name, namespace)
    _priority(state, spec, name)
    _tolerations(spec)
    _runtime_class(state, spec, name)


def _refused(name: str, why: str) -> StatusError:
    return forbidden("pods", "", name, why)


def _service_account(state: State, spec: Object, name: str, namespace: str) -> None:
    account = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    found = state.find("", "serviceaccounts", account, namespace)
    if found is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise _refused(name, why)
    if found.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = found["imagePullSecrets"]


def _priority(state: State, spec: Object, name: str) -> None:
    wanted = spec.get("priorityClassName") or ""
    value, policy = 0, "PreemptLowerPriority"
    if wanted:
        found = state.find(SCHEDULING, "priorityclasses", wanted)
        if found is None:
            raise _refused(name, f"no PriorityClass with name {wanted} was found")
    else:
        found = _default_class(state)
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
    if found is not None:
        value, policy = found.get("value", 0), found.get("preemptionPolicy") or policy
    said = "priority admission controller computed"
    if spec.get("priority") not in (None, value):
        given = spec["priority"]
        why = f"the integer value of priority ({given}) must not be provided in pod spec; {said} {value} from the given"
        raise _refused(name, f"{why} PriorityClass name")
    if spec.get("preemptionPolicy") not in (None, policy):
        given = spec["preemptionPolicy"]
        why = f"the string value of PreemptionPolicy ({given}) must not be provided in pod spec; {said} {policy} from"
        raise _refused(name, f"{why} the given PriorityClass name")
    spec["priority"] = value
    spec["preemptionPolicy"] = policy


def _default_class(state: State) -> Object | None:
    table = state.table(SCHEDULING, "priorityclasses")
    found = [e.object() for e in table.scan("") if b'"globalDefault":true' in e.data]
    return min(found, key=lambda each: int(each.get("value", 0)), default=None)


def _tolerations(spec: Object) -> None:
    held = spec.get("tolerations") or []
    for key in ABSENT:
        if not any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in held):
            added = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            spec.setdefault("tolerations", []).append(added)


def _runtime_class(state: State, spec: Object, name: str) -> None:
    wanted = spec.get("runtimeClassName")
    if not wanted:
        if spec.get("overhead"):
            raise _refused(name, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        return
    found = state.find(NODE, "runtimeclasses", wanted)
    if found is None:
        raise _refused(name, f'pod rejected: RuntimeClass "{wanted}" not found')
    overhead = (found.get("overhead") or {}).get("podFixed")
    if overhead:
        if spec.get("overhead") and amounts(spec["overhead"]) != amounts(overhead):
            raise _refused(name, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        spec["overhead"] = overhead
    elif spec.get("overhead"):
        raise _refused(name, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
    scheduling = found.get("scheduling") or {}
    if scheduling.get("nodeSelector"):
        selector = spec.setdefault("nodeSelector", {})
        for key, value in scheduling["nodeSelector"].items():
            if selector.get(key, value) != value:
                why = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}"
                raise _refused(name, f"{why}; pod.spec.nodeSelector[{key}] = {selector[key]}")
            selector[key] = value
    for toleration in scheduling.get("tolerations") or ():
        if toleration not in spec.get("tolerations", ()):
            spec.setdefault("tolerations", []).append(toleration)


# --- LimitRanger ---


def default_range(spec: Object) -> None:
    """The defaults of a LimitRange itself."""
    for item in spec.get("limits") or ():
        canonized("LimitRange", *(value for value in item.values() if isinstance(value, dict)))
        if item.get("type") != "Container":
            continue
        default = dict(item.get("default") or {})
        request = dict(item.get("defaultRequest") or {})
        for key, value in (item.get("max") or {}).items():
            default.setdefault(key, value)
        for source in (default, item.get("min") or {}):
            for key, value in source.items():
                request.setdefault(key, value)
        if default:
            item["default"] = default
        if request:
            item["defaultRequest"] = request


def _limit_ranger(state: State, pod: Object, name: str, namespace: str) -> None:
    ranges = [e.object() for e in state.table("", "limitranges").scan(namespace)]
    if not ranges:
        return
    spec = pod["spec"]
    said: list[str] = []
    for one in ranges:
        _range_defaults(one["spec"], spec, said)
    if said:
        told = f"LimitRanger plugin set: {'; '.join(said)}"
        pod["metadata"].setdefault("annotations", {})["kubernetes.io/limit-ranger"] = told
    for one in ranges:
        faults: list[str] = []
        for item in one["spec"].get("limits") or ():
            if item.get("type") == "Container":
                for container in containers_of(spec):
                    faults += _out_of_range(item, container.get("resources") or {}, "Container")
            elif item.get("type") == "Pod":
                faults += _out_of_range(item, _whole(spec), "Pod")
        if faults:
            raise _refused(name, faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _range_defaults(limit_range: Object, spec: Object, said: list[str]) -> None:
    requests: Object = {}
    limits: Object = {}
    for item in limit_range.get("limits") or ():
        if item.get("type") == "Container":
            requests |= item.get("defaultRequest") or {}
            limits |= item.get("default") or {}
    kinds = {id(c): "init container" for c in spec.get("initContainers") or ()}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.setdefault("resources", {})
        told: list[str] = []
        for part, given in (("requests", requests), ("limits", limits)):
            set_: list[str] = []
            for key, value in given.items():
                if key not in (resources.get(part) or {}):
                    resources.setdefault(part, {})[key] = value
                    set_.append(key)
            if set_:
                whose = f"{kinds.get(id(container), 'container')} {container['name']}"
                told.append(f"{', '.join(sorted(set_))} {part[:-1]} for {whose}")
        said += told


def _whole(spec: Object) -> Object:
    """What all containers ask for and may use, as the plugin counts."""
    result: Object = {"requests": {}, "limits": {}}
    for part in ("requests", "limits"):
        for container in spec.get("containers") or ():
            for key, value in ((container.get("resources") or {}).get(part) or {}).items():
                total = result[part].get(key, "0")
                result[part][key] = _sum(key, total, value)
    return result


def _sum(key: str, left: str, right: str) -> str:
    return written(key, thousandths(left) + thousandths(right))


def _out_of_range(item: Object, resources: Object, kind: str) -> list[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    faults: list[str] = []
    for key, bound in (item.get("min") or {}).items():
        said = f"minimum {key} usage per {kind} is {bound}"
        if key not in requests:
            faults.append(f"{said}.  No request is specified")
        elif thousandths(requests[key]) < thousandths(bound):
            faults.append(f"{said}, but request is {requests[key]}")
        elif key in limits and thousandths(limits[key]) < thousandths(bound):
            faults.append(f"{said}, but limit is {limits[key]}")
    for key, bound in (item.get("max") or {}).items():
        said = f"maximum {key} usage per {kind} is {bound}"
        if key not in limits:
            faults.append(f"{said}.  No limit is specified")
        elif thousandths(limits[key]) > thousandths(bound):
            faults.append(f"{said}, but limit is {limits[key]}")
        elif key in requests and thousandths(requests[key]) > thousandths(bound):
            faults.append(f"{said}, but request is {requests[key]}")
    for key, bound in (item.get("maxLimitRequestRatio") or {}).items():
        if key not in limits or key not in requests or not thousandths(requests[key]):
            faults.append(
                f"{key} max limit to request ratio per {kind} is {bound}, but no request is specified or request is 0."
            )
        elif thousandths(limits[key]) * 1000 > thousandths(bound) * thousandths(requests[key]):
            ratio = thousandths(limits[key]) / thousandths(requests[key])
            faults.append(f"{key} max limit to request ratio per {kind} is {bound}, but provided ratio is {ratio:.6f}")
    return faults
