"""What the API server does to objects of a kind beside keeping them.

A behaviour corresponds to a `strategy` of kubernetes/pkg/registry and to the admission plugins that look at its kind.
"""

from __future__ import annotations

from collections.abc import Iterable

from muster.embedded.metadata import label_fault, subdomain_fault
from muster.embedded.storage.state import Change, State
from muster.embedded.wire import Cause, Object

Causes = Iterable[Cause]


class Behaviour:
    """A kind about which nothing is special."""

    generation = False
    """Whether metadata.generation is kept: 1, then counting changes outside metadata and status."""
    returns_deleted = False
    """Whether DELETE answers with the object that is gone, and not with a Status."""
    create_on_update = False
    """Whether PUT creates what is not there."""
    status = True
    """Whether a created object starts without the status that it came with (if it has the subresource)."""

    def name_fault(self, name: str) -> str:
        """What is wrong with a name."""
        return subdomain_fault(name)

    def default(self, obj: Object) -> None:
        """Fill in defaults, on every write."""

    def prepare(self, state: State, obj: Object) -> None:
        """Before a new object is admitted."""

    def admit(self, state: State, obj: Object, change: Change) -> None:
        """The admission plugins for a new object, those that change it before those that refuse. StatusError (403)."""

    def check(self, obj: Object) -> Causes:
        """What is wrong with a new object."""
        return ()

    def prepare_change(self, state: State, new: Object, old: Object, subresource: str) -> None:
        """Before a change is checked."""

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        """What is wrong with a change."""
        return ()

    def grace(self, obj: Object, asked: int | None) -> int | None:
        """Seconds of grace before an object is gone; None: this kind knows none."""
        return None


class Labelled(Behaviour):
    """A kind whose names are DNS labels."""

    def name_fault(self, name: str) -> str:
        """What is wrong with a name."""
        return label_fault(name)
