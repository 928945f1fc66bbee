"""PriorityClasses and RuntimeClasses."""

from __future__ import annotations

from muster.embedded.builtin.behaviour import Behaviour, Causes
from muster.embedded.builtin.poddefaults import canonized
from muster.embedded.metadata import bad, forbid, label_fault, unsupported
from muster.embedded.storage.state import Change, State
from muster.embedded.wire import Object, forbidden


class PriorityClasses(Behaviour):
    """A priority, and whether it may preempt."""

    generation = True

    def default(self, obj: Object) -> None:
        """What the class does where nothing is said."""
        obj.setdefault("value", 0)
        if not obj.get("preemptionPolicy"):
            obj["preemptionPolicy"] = "PreemptLowerPriority"
        if obj.get("globalDefault") is False:
            del obj["globalDefault"]

    def admit(self, state: State, obj: Object, change: Change) -> None:
        """There is one default class at most."""
        if obj.get("globalDefault"):
            held = [
                e.name
                for e in state.table("scheduling.k8s.io", "priorityclasses").scan("")
                if b'"globalDefault":true' in e.data
            ]
            if held:
                why = f"PriorityClass {held[0]} is already marked as default. Only one default can exist"
                raise forbidden("priorityclasses", "scheduling.k8s.io", obj["metadata"].get("name") or "", why)

    def check(self, obj: Object) -> Causes:
        """What is wrong with it."""
        name = obj["metadata"].get("name") or ""
        if name.startswith("system-") and obj["value"] < 2_000_000_000:
            yield forbid(
                "metadata.name",
                "priority class names with 'system-' prefix are reserved for system use only."
                f" error: {name} is not a known system priority class",
            )
        elif obj["value"] > 1_000_000_000 and not name.startswith("system-"):
            yield forbid("value", "maximum allowed value of a user defined priority is 1000000000")
        known = ("Never", "PreemptLowerPriority")
        if obj["preemptionPolicy"] not in known:
            yield unsupported("preemptionPolicy", obj["preemptionPolicy"], known)

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        """What is fixed for good."""
        if new.get("value") != old.get("value"):
            yield forbid("value", "may not be changed in an update.")
        if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
            yield bad("preemptionPolicy", new.get("preemptionPolicy"), "field is immutable")


class RuntimeClasses(Behaviour):
    """A runtime, what it costs and where it is."""

    def default(self, obj: Object) -> None:
        """The overhead in canonical form."""
        canonized("RuntimeClass", (obj.get("overhead") or {}).get("podFixed"))

    def check(self, obj: Object) -> Causes:
        """What is wrong with it."""
        if fault := label_fault(obj.get("handler") or ""):
            yield bad("handler", obj.get("handler") or "", fault)

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        """What is fixed for good."""
        if new.get("handler") != old.get("handler"):
            yield bad("handler", new.get("handler"), "field is immutable")
