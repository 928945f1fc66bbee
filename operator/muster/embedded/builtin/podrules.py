"""What the API server demands of a pod (kubernetes/pkg/apis/core/validation), as far as scheduling depends on it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from muster.embedded.metadata import bad, duplicate, forbid, label_fault, required, subdomain_fault, unsupported
from muster.embedded.quantities import thousandths
from muster.embedded.storage.selectors import key_fault, value_fault
from muster.embedded.wire import Cause, Object

FROZEN = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ENV = re.compile(r"[\x20-\x3c\x3e-\x7e]+")
REQUIRED_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
_AFFINITY = "spec.affinity.nodeAffinity"


def check(spec: Object) -> Iterator[Cause]:
    """What is wrong with the spec of a new pod."""
    yield from _volumes(spec)
    volumes = {str(volume.get("name") or "") for volume in spec.get("volumes") or ()}
    seen: set[str] = set()
    if not spec.get("containers"):
        yield required("spec.containers")
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield from _container(container, f"spec.{group}[{index}]", seen, volumes)
    if spec.get("ephemeralContainers"):
        yield forbid("spec.ephemeralContainers", "cannot be set on create")
    yield from _choices(spec)
    yield from _scheduling(spec)
    for part in ("hostname", "subdomain"):
        if spec.get(part) and (fault := label_fault(spec[part])):
            yield bad(f"spec.{part}", spec[part], fault)
    if (seconds := spec.get("activeDeadlineSeconds")) is not None and not 1 <= seconds <= 2**31 - 1:
        yield bad("spec.activeDeadlineSeconds", seconds, "must be between 1 and 2147483647, inclusive")


def _choices(spec: Object) -> Iterator[Cause]:
    known: tuple[str, ...] = ("Always", "OnFailure", "Never")
    if spec["restartPolicy"] not in known:
        yield unsupported("spec.restartPolicy", spec["restartPolicy"], known)
    known = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
    if spec["dnsPolicy"] not in known:
        yield unsupported("spec.dnsPolicy", spec["dnsPolicy"], known)


def _volumes(spec: Object) -> Iterator[Cause]:
    names: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        path = f"spec.volumes[{index}].name"
        name = volume.get("name") or ""
        if not name:
            yield required(path)
        elif fault := label_fault(name):
            yield bad(path, name, fault)
        elif name in names:
            yield duplicate(path, name)
        names.add(name)
        if len([key for key in volume if key != "name"]) > 1:
            yield forbid(f"spec.volumes[{index}]", "may not specify more than 1 volume type")


def _container(container: Object, path: str, seen: set[str], volumes: set[str]) -> Iterator[Cause]:
    name = container.get("name") or ""
    if not name:
        yield required(f"{path}.name")
    elif fault := label_fault(name):
        yield bad(f"{path}.name", name, fault)
    elif name in seen:
        yield duplicate(f"{path}.name", name)
    seen.add(name)
    if not container.get("image"):
        yield required(f"{path}.image")
    elif container["image"].strip() != container["image"]:
        yield bad(f"{path}.image", container["image"], "must not have leading or trailing whitespace")
    if container["imagePullPolicy"] not in (known := ("Always", "IfNotPresent", "Never")):
        yield unsupported(f"{path}.imagePullPolicy", container["imagePullPolicy"], known)
    for index, env in enumerate(container.get("env") or ()):
        if not env.get("name"):
            yield required(f"{path}.env[{index}].name")
        elif not _ENV.fullmatch(env["name"]):
            why = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            yield bad(f"{path}.env[{index}].name", env["name"], why)
    for index, port in enumerate(container.get("ports") or ()):
        for part in ("containerPort", "hostPort"):
            number = port.get(part) or 0
            if (part == "containerPort" or number) and not 1 <= number <= 65535:
                yield bad(f"{path}.ports[{index}].{part}", number, "must be between 1 and 65535, inclusive")
    places: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            yield Cause(f"{where}.name", f'Not found: "{mount.get("name") or ""}"', "FieldValueNotFound")
        if not mount.get("mountPath"):
            yield required(f"{where}.mountPath")
        elif mount["mountPath"] in places:
            yield bad(f"{where}.mountPath", mount["mountPath"], "must be unique")
        places.add(mount.get("mountPath") or "")
    yield from _resources(container.get("resources") or {}, f"{path}.resources")


def _resources(resources: Object, path: str) -> Iterator[Cause]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for part, listed in (("limits", limits), ("requests", requests)):
        for name, value in listed.items():
            where = f"{path}.{part}[{name}]"
            if fault := key_fault(name):
                yield bad(where, name, fault)
            elif "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
                yield bad(where, name, "must be a standard resource type or fully qualified")
                yield bad(where, name, "must be a standard resource for containers")
            amount = thousandths(value)
            if amount < 0:
                yield bad(where, str(value), "must be greater than or equal to 0")
            elif "/" in name and amount % 1000:
                yield bad(where, str(value), "must be an integer")
    for name, value in requests.items():
        extended = "/" in name or name.startswith("hugepages-")
        if name not in limits:
            if extended:
                yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
            continue
        asked, limit = thousandths(value), thousandths(limits[name])
        if extended and asked != limit:
            yield bad(f"{path}.requests", str(value), f"must be equal to {name} limit of {limits[name]}")
        elif asked > limit:
            yield bad(f"{path}.requests", str(value), f"must be less than or equal to {name} limit of {limits[name]}")


def _scheduling(spec: Object) -> Iterator[Cause]:
    gates: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        path = f"spec.schedulingGates[{index}]"
        name = gate.get("name") or ""
        if fault := key_fault(name):
            yield bad(path, name, fault)
        elif name in gates:
            yield duplicate(path, name)
        gates.add(name)
    if gates and spec.get("nodeName"):
        yield forbid("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    if spec.get("nodeName") and (fault := subdomain_fault(spec["nodeName"])):
        yield bad("spec.nodeName", spec["nodeName"], fault)
    yield from _labels(spec.get("nodeSelector") or {}, "spec.nodeSelector")
    yield from tolerations(spec.get("tolerations") or (), "spec.tolerations")
    required_terms = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED_TERMS)
    if required_terms is not None:
        path = f"{_AFFINITY}.{REQUIRED_TERMS}.nodeSelectorTerms"
        terms = required_terms.get("nodeSelectorTerms")
        if not terms:
            yield required(path, "must have at least one node selector term")
        for index, term in enumerate(terms or ()):
            yield from _term(term, f"{path}[{index}]")


def _labels(labels: Object, path: str) -> Iterator[Cause]:
    for key, value in labels.items():
        if fault := key_fault(key):
            yield bad(path, key, fault)
        if fault := value_fault(value):
            yield bad(path, value, fault)


def _term(term: Object, path: str) -> Iterator[Cause]:
    for index, wish in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = wish.get("operator"), wish.get("values") or []
        if fault := key_fault(wish.get("key") or ""):
            yield bad(f"{where}.key", wish.get("key") or "", fault)
        if operator not in _OPERATORS:
            yield bad(f"{where}.operator", operator or "", "not a valid selector operator")
        elif operator in ("In", "NotIn") and not values:
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield forbid(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator in ("Gt", "Lt") and len(values) != 1:
            yield required(f"{where}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    for index, wish in enumerate(term.get("matchFields") or ()):
        where = f"{path}.matchFields[{index}]"
        values = wish.get("values") or []
        if wish.get("operator") not in ("In", "NotIn"):
            yield bad(f"{where}.operator", wish.get("operator") or "", "not a valid selector operator")
        elif len(values) != 1:
            why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            yield required(f"{where}.values", why)
        if wish.get("key") != "metadata.name":
            yield bad(f"{where}.key", wish.get("key") or "", "not a valid field selector key")


def tolerations(listed: Any, path: str) -> Iterator[Cause]:
    """What is wrong with tolerations."""
    for index, one in enumerate(listed):
        where = f"{path}[{index}]"
        operator = one.get("operator") or "Equal"
        if one.get("key") and (fault := key_fault(one["key"])):
            yield bad(f"{where}.key", one["key"], fault)
        if not one.get("key") and operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield bad(f"{where}.operator", operator, why)
        if operator not in (known := ("Equal", "Exists", "Gt", "Lt")):
            yield unsupported(f"{where}.operator", operator, known)
        elif operator == "Exists" and one.get("value"):
            yield bad(f"{where}.operator", one, "value must be empty when `operator` is 'Exists'")
        if one.get("effect") and one["effect"] not in _EFFECTS:
            yield unsupported(f"{where}.effect", one["effect"], _EFFECTS)
        if one.get("tolerationSeconds") is not None and one.get("effect") != "NoExecute":
            yield bad(
                f"{where}.effect", one.get("effect") or "", "effect must be 'NoExecute' when `tolerationSeconds` is set"
            )


def check_change(new: Object, old: Object) -> Iterator[Cause]:
    """What of a pod's spec may not change so."""
    gated = bool(old.get("schedulingGates"))
    if new.get("schedulingGates") != old.get("schedulingGates"):
        held = [gate["name"] for gate in old.get("schedulingGates") or ()]
        for index, gate in enumerate(new.get("schedulingGates") or ()):
            if gate.get("name") not in held:
                why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
                yield forbid(f"spec.schedulingGates[{index}].name", why)
    if new.get("activeDeadlineSeconds") != old.get("activeDeadlineSeconds"):
        before, after = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
        if after is None and before is not None:
            yield bad("spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value")
        elif before is not None and after is not None and after > before:
            yield bad("spec.activeDeadlineSeconds", after, f"must be less than or equal to previous value {before}")
    missing = [t for t in old.get("tolerations") or () if not _kept(t, new.get("tolerations") or ())]
    if missing:
        yield forbid("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    yield from tolerations(new.get("tolerations") or (), "spec.tolerations")
    leveled = _levelled(new, old)
    if gated:
        yield from _narrowing(new, old)
        for part in ("nodeSelector", "affinity"):
            _same(leveled, old, part)
        affinity = copy.deepcopy(new.get("affinity") or {})
        theirs = (old.get("affinity") or {}).get("nodeAffinity")
        if theirs is None:
            affinity.pop("nodeAffinity", None)
        else:
            affinity["nodeAffinity"] = theirs
        if affinity or old.get("affinity"):
            leveled["affinity"] = affinity if affinity else old.get("affinity")
    if leveled != old:
        differing = sorted(k for k in {*leveled, *old} if leveled.get(k) != old.get(k))
        yield forbid("spec", f"{FROZEN}\n{', '.join(differing)} would change")


def _levelled(new: Object, old: Object) -> Object:
    """The new spec with all that may change put back."""
    result = dict(new)
    for part in ("schedulingGates", "activeDeadlineSeconds", "tolerations"):
        _same(result, old, part)
    if new.get("terminationGracePeriodSeconds") == 1 and (old.get("terminationGracePeriodSeconds") or 0) < 0:
        _same(result, old, "terminationGracePeriodSeconds")
    for group in ("containers", "initContainers"):
        mine, theirs = new.get(group) or [], old.get(group) or []
        if len(mine) == len(theirs) and mine != theirs:
            result[group] = [
                {**m, "image": t.get("image")} if m.get("image") else m for m, t in zip(mine, theirs, strict=True)
            ]
    return result


def _same(result: Object, old: Object, part: str) -> None:
    if part in old:
        result[part] = old[part]
    else:
        result.pop(part, None)


def _kept(toleration: Object, listed: Any) -> bool:
    def bare(one: Object) -> Object:
        return {key: value for key, value in one.items() if key != "tolerationSeconds"}

    return any(bare(one) == bare(toleration) for one in listed)


def _narrowing(new: Object, old: Object) -> Iterator[Cause]:
    """A gated pod may be narrowed down, and no more (KEP-3838)."""
    before, after = old.get("nodeSelector") or {}, new.get("nodeSelector") or {}
    if any(after.get(key) != value for key, value in before.items()):
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield bad("spec.nodeSelector", after, why)
    yield from _labels(after, "spec.nodeSelector")
    path = f"{_AFFINITY}.{REQUIRED_TERMS}.nodeSelectorTerms"
    theirs = (((old.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED_TERMS) or {}).get(
        "nodeSelectorTerms"
    )
    ours = (((new.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED_TERMS) or {}).get("nodeSelectorTerms")
    if theirs is None:
        for index, term in enumerate(ours or ()):
            yield from _term(term, f"{path}[{index}]")
        return
    if len(ours or ()) != len(theirs):
        yield bad(path, ours, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for index, (mine, theirs_) in enumerate(zip(ours or (), theirs, strict=True)):
        for part in ("matchExpressions", "matchFields"):
            held = theirs_.get(part) or []
            if (mine.get(part) or [])[: len(held)] != held or (not theirs_ and mine):
                yield bad(f"{path}[{index}]", mine, "only additions are allowed (no mutations or deletions)")
                break
        yield from _term(mine, f"{path}[{index}]")
