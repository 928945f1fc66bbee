"""The calls that only pods have: binding, eviction, logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from muster.embedded import bodies
from muster.embedded.builtin import pods
from muster.embedded.deletes import Deletes, Deletion
from muster.embedded.storage.state import Route, State
from muster.embedded.storage.store import encode
from muster.embedded.wire import Object, Request, Response, bad_request, conflict

TEXT = "text/plain"
_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

Logs = Callable[[Object, str, Request], str | None]
"""From a pod, the name of a container and the request (tailLines, sinceSeconds, previous, ...) to what the container
has written, None where there is nothing to be had."""


class PodCalls:
    """See the module."""

    def __init__(self, state: State, deletes: Deletes) -> None:
        self._state = state
        self._deletes = deletes
        self.logs: Logs | None = None

    def bind(self, route: Route, request: Request) -> Response:
        """POST of a Binding."""
        change = bodies.change_of(request, "CreateOptions")
        pods.bind(self._state, route, _body(request, "Binding", route), change.dry_run)
        return Response(201, encode(_SUCCESS))

    def evict(self, route: Route, request: Request) -> Response:
        """POST of an Eviction. There are no disruption budgets here, so it is a deletion with a condition before."""
        change = bodies.change_of(request, "CreateOptions")
        body = _body(request, "Eviction", route)
        options = body.get("deleteOptions") or {}
        entry = route.entry(self._state)
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != entry.uid:
            why = f"the UID in the precondition ({wanted}) does not match the UID in record ({entry.uid}). "
            raise conflict("Pod", "", route.name, f"{why}The object might have been deleted and then recreated")
        pod = entry.object()
        asked = Deletion(
            grace=options.get("gracePeriodSeconds"),
            policy=options.get("propagationPolicy") or "",
            dry_run=change.dry_run or bool(options.get("dryRun")),
        )
        ended = (pod.get("status") or {}).get("phase") in pods.TERMINAL
        if not asked.dry_run and not ended and not pod["metadata"].get("deletionTimestamp"):
            entry = pods.disrupted(self._state, entry)
        self._deletes.remove(route.kind, entry, asked)
        return Response(201, encode(_SUCCESS))

    def log(self, route: Route, request: Request) -> Response:
        """GET of a container's log."""
        entry = route.entry(self._state)
        pod = entry.object()
        names = [container["name"] for container in pod["spec"]["containers"]]
        all_names = names + [container["name"] for container in pod["spec"].get("initContainers") or ()]
        wanted = request.parameter("container")
        if not wanted:
            if len(names) != 1:
                listed = " ".join(names)
                message = f"a container name must be specified for pod {route.name}, choose one of: [{listed}]"
                raise bad_request(message)
            wanted = names[0]
        if wanted not in all_names:
            raise bad_request(f"container {wanted} is not valid for pod {route.name}")
        if not pod["spec"].get("nodeName"):
            # As the real server: an empty log, there is no kubelet to ask.
            return Response(204, b"", TEXT)
        text = self.logs(pod, wanted, request) if self.logs is not None else None
        if text is None:
            raise bad_request(
                f'container "{wanted}" in pod "{route.name}" has no log: the embedded server runs no containers'
            )
        return Response(200, text.encode(), TEXT)


def _body(request: Request, kind: str, route: Route) -> Object:
    body: Any = bodies.decoded(request, kind)
    if not isinstance(body, dict) or body.get("kind") not in (None, "", kind):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind})")
    name = (body.get("metadata") or {}).get("name")
    if name not in (None, "", route.name):
        raise bad_request(f"name in URL does not match name in {kind} object")
    found: Object = body
    return found
