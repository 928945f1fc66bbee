"""CustomResourceDefinitions: accepted at once, or refused."""

from __future__ import annotations

from muster.embedded.builtin.behaviour import Behaviour
from muster.embedded.kinds import custom
from muster.embedded.schemas import schema
from muster.embedded.storage.state import State
from muster.embedded.wire import Object

CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class Definitions(Behaviour):
    """See the module."""

    generation = True

    def default(self, obj: Object) -> None:
        """Names that follow from the kind."""
        names = (obj.get("spec") or {}).get("names") or {}
        if names.get("kind"):
            names.setdefault("singular", names["kind"].lower())
            names.setdefault("listKind", f"{names['kind']}List")
        if isinstance(obj.get("spec"), dict):
            obj["spec"].setdefault("conversion", {"strategy": "None"})

    def prepare(self, state: State, obj: Object) -> None:
        """Accept it, or refuse what cannot be served here (StatusError, 422)."""
        schema.check(custom(obj))
        spec = obj["spec"]
        obj["status"] = {
            "acceptedNames": spec["names"],
            "conditions": [
                {
                    "type": type,
                    "status": "True",
                    "lastTransitionTime": state.timestamp(),
                    "reason": reason,
                    "message": message,
                }
                for type, reason, message in (
                    ("NamesAccepted", "NoConflicts", "no conflicts found"),
                    ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
                )
            ],
            "storedVersions": [version["name"] for version in spec["versions"] if version.get("storage")],
        }
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if CRD_FINALIZER not in finalizers:
            finalizers.append(CRD_FINALIZER)

    def prepare_change(self, state: State, new: Object, old: Object, subresource: str) -> None:
        """Look again at what it defines; its finalizer stays until its objects are gone."""
        if subresource == "":
            schema.check(custom(new))
            if not new["metadata"].get("deletionTimestamp"):
                finalizers = new["metadata"].setdefault("finalizers", [])
                if CRD_FINALIZER not in finalizers:
                    finalizers.append(CRD_FINALIZER)
