"""ResourceQuota: what is used in a namespace, and the admission of what would be too much.

A charge is what one object adds, by the names that a quota's `hard` may hold. Scopes are refused when a quota is made:
counting all where a part was meant would be silently wrong.
"""

from __future__ import annotations

from muster.embedded.amounts import written
from muster.embedded.builtin.poddefaults import containers_of
from muster.embedded.metadata import forbid
from muster.embedded.quantities import Amounts, Container, Resources, amounts, asked_of_node, thousandths
from muster.embedded.storage.state import State
from muster.embedded.storage.store import Entry
from muster.embedded.wire import Cause, Object, forbidden

_PLAIN = ("cpu", "memory", "ephemeral-storage")
COUNTED = ("pods", "services", "configmaps", "secrets", "resourcequotas", "persistentvolumeclaims")
"""Core kinds that a quota counts by their plural."""


def charge(plural: str, group: str, obj: Object) -> Amounts:
    """What an object adds to a quota, in thousandths."""
    used: Amounts = {f"count/{plural}.{group}" if group else f"count/{plural}": 1000}
    if not group and plural in COUNTED and plural != "pods":
        used[plural] = 1000
    if plural == "pods" and not group and not _terminal(obj):
        used |= _pod(obj["spec"])
    return used


def _terminal(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _pod(spec: Object) -> Amounts:
    used: Amounts = {"pods": 1000}
    for part in ("requests", "limits"):
        for name, value in _effective(spec, part).items():
            used[f"{part}.{name}"] = value
            if part == "requests" and name in _PLAIN:
                used[name] = value
    return used


def _effective(spec: Object, part: str) -> Amounts:
    """The effective requests or limits of a pod."""

    def of(container: Object) -> Container:
        listed = (container.get("resources") or {}).get(part) or {}
        return Container(
            name=container["name"],
            restart_policy=container.get("restartPolicy"),
            resources=Resources(requests={k: str(v) for k, v in listed.items()}),
        )

    level = (spec.get("resources") or {}).get(part)
    total = asked_of_node(
        [of(c) for c in spec.get("containers") or ()],
        [of(c) for c in spec.get("initContainers") or ()],
        Resources(requests=level) if level else None,
        spec.get("overhead"),
    )
    total.pop("pods", None)
    return total


def check(spec: Object) -> list[Cause]:
    """What of a quota is not served here."""
    return [
        forbid(f"spec.{part}", "the embedded server counts whole namespaces only")
        for part in ("scopes", "scopeSelector")
        if spec.get(part)
    ]


def used(state: State, quota: Object) -> dict[str, str]:
    """What is used of a quota's resources now."""
    namespace = quota["metadata"]["namespace"]
    hard = quota["spec"].get("hard") or {}
    total: Amounts = dict.fromkeys(hard, 0)
    for table in state.store.tables():
        kind = table.kind
        if not kind.namespaced or not (
            (kind.plural in COUNTED and not kind.group) or any(h.startswith(f"count/{kind.qualified}") for h in hard)
        ):
            continue
        for entry in table.scan(namespace):
            for name, value in charge(kind.plural, kind.group, entry.object()).items():
                if name in total:
                    total[name] += value
    return {name: written(name, value) for name, value in total.items()}


def reserve(state: State, plural: str, group: str, obj: Object, dry_run: bool) -> None:
    """Charge a new object to every quota of its namespace, or raise StatusError (403)."""
    namespace = obj["metadata"].get("namespace") or ""
    table = state.table("", "resourcequotas")
    charges: list[tuple[Entry, Object]] = []
    added: Amounts | None = None
    for entry in list(table.scan(namespace)):
        quota = entry.object()
        hard = amounts((quota.get("status") or {}).get("hard") or quota["spec"].get("hard"))
        if added is None:
            added = charge(plural, group, obj)
        name = obj["metadata"].get("name") or ""
        label = quota["metadata"]["name"]
        if plural == "pods" and not group:
            _specified(obj, hard, label, name)
        delta = {key: value for key, value in added.items() if key in hard}
        if not delta:
            continue
        status = quota.get("status") or {}
        held = amounts(status.get("used") or used(state, quota))
        over = sorted(key for key, value in delta.items() if held.get(key, 0) + value > hard[key] and value)
        if over:
            raise forbidden(
                plural,
                group,
                name,
                f"exceeded quota: {label}, requested: {_listed(delta, over)}, used: {_listed(held, over)}, "
                f"limited: {_listed(hard, over)}",
            )
        total = {key: written(key, held.get(key, 0) + delta.get(key, 0)) for key in hard}
        hard_words = (quota.get("status") or {}).get("hard") or quota["spec"].get("hard")
        quota["status"] = {"hard": hard_words, "used": total}
        charges.append((entry, quota))
    if not dry_run:
        for entry, quota in charges:
            state.store.put(table, quota, entry)


def _specified(pod: Object, hard: Amounts, label: str, name: str) -> None:
    """A compute resource under quota must be asked for by every container."""
    missing: dict[str, list[str]] = {}
    for key in hard:
        part, _, resource = key.partition(".")
        if key in _PLAIN:
            part, resource = "requests", key
        # As in Kubernetes, this is demanded of the built-in resources only.
        if part not in ("requests", "limits") or resource not in _PLAIN[:2]:
            continue
        for container in containers_of(pod["spec"]):
            if resource not in ((container.get("resources") or {}).get(part) or {}):
                missing.setdefault(key, []).append(container["name"])
    if missing:
        words = "; ".join(f"{key} for: {','.join(sorted(names))}" for key, names in sorted(missing.items()))
        raise forbidden("pods", "", name, f"failed quota: {label}: must specify {words}")


def _listed(values: Amounts, keys: list[str]) -> str:
    return ",".join(f"{key}={written(key, values.get(key, 0))}" for key in keys)


def release(state: State, namespace: str, freed: Amounts) -> None:
    """Take from what is used what was freed."""
    table = state.table("", "resourcequotas")
    for entry in list(table.scan(namespace)):
        quota = entry.object()
        held = (quota.get("status") or {}).get("used") or {}
        left = {
            name: written(name, max(0, thousandths(value) - freed[name])) if freed.get(name) else value
            for name, value in held.items()
        }
        if left != held:
            quota["status"]["used"] = left
            state.store.put(table, quota, entry)


def settle(state: State, namespace: str) -> None:
    """Count anew, as the quota controller does after a deletion or a change of a quota."""
    table = state.table("", "resourcequotas")
    for entry in list(table.scan(namespace)):
        quota = entry.object()
        status = {"hard": quota["spec"].get("hard") or {}, "used": used(state, quota)}
        held = quota.get("status") or {}
        same = held.get("hard") == status["hard"] and {
            k: thousandths(v) for k, v in (held.get("used") or {}).items()
        } == {k: thousandths(v) for k, v in status["used"].items()}
        if not same:
            quota["status"] = status
            state.store.put(table, quota, entry)
