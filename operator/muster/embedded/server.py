"""The API server: requests in, answers and watches out. No I/O, no threads, no clock but the one it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from muster.embedded import bodies
from muster.embedded.answers import discovery
from muster.embedded.builtin.builtins import behaviour
from muster.embedded.builtin.podcalls import PodCalls
from muster.embedded.collector import Collector
from muster.embedded.deletes import Deletes
from muster.embedded.kinds import CRDS, CREATE_ONLY, Kind, Kinds
from muster.embedded.metadata import required
from muster.embedded.reads import Reads
from muster.embedded.storage.state import REFUSED, Route, State, route
from muster.embedded.storage.store import DELETED, Event, Store, Table, encode
from muster.embedded.storage.watching import Hub
from muster.embedded.wire import (
    Object,
    Request,
    Response,
    StatusError,
    Watch,
    bad_request,
    invalid,
    method_not_allowed,
    not_served,
)
from muster.embedded.writes import Writes

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
SYSTEM_CLASSES = (
    ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster."),
    ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their node."),
)
_BOOT = "application/json"


class Server:
    """See the module.

    now -- the wall clock in ms. seed -- of uids and generated names: the same calls give the same history, byte for
    byte. history -- how many writes are remembered, for watches and pages of lists that began in the past. version --
    what the server says it is. Not for two threads at once.
    """

    def __init__(
        self, now: Callable[[], int], *, seed: int = 0, history: int = 100_000, version: str = "v1.37.1"
    ) -> None:
        self._state = State(now, seed, history)
        self._hub = Hub(now)
        self._version = version
        self._deletes = Deletes(self._state, behaviour)
        self._writes = Writes(self._state, behaviour, self._deletes.finish)
        self._reads = Reads(self._state, self._hub)
        self._collector = Collector(self._state, self._deletes, self._unserve)
        self.pods = PodCalls(self._state, self._deletes)
        """Binding, eviction and logs; `pods.logs` may be set to a source of log text."""
        self.on_write: Callable[[], None] | None = None
        """Called synchronously after each write, in the middle of it: only note that `tick` may have work."""
        self._state.store.on_event = self._noted
        self._boot()

    @property
    def kinds(self) -> Kinds:
        """What is served."""
        return self._state.kinds

    @property
    def store(self) -> Store:
        """The objects; not to be written past the server."""
        return self._state.store

    # --- requests ---

    def handle(self, request: Request) -> Response:
        """Answer a request, watches excepted. Never raises for what a client did wrong."""
        try:
            return self._handle(request)
        except StatusError as error:
            return error.response()

    def watch(self, request: Request) -> Watch | Response:
        """Open a watch (a GET with `watch`), or say why not. When it ends is for the transport to say."""
        try:
            found = route(self._state.kinds, request.path)
            if found is None:
                return not_served()
            if found.subresource or "watch" not in found.kind.verbs or request.method != "GET":
                raise method_not_allowed()
            return self._reads.watch(found, request)
        except StatusError as error:
            return error.response()

    def _handle(self, request: Request) -> Response:
        if request.method == "GET":
            answer = discovery.discover(self._state.kinds, request.path, request.accept, self._version)
            if answer is not None:
                return answer
        found = route(self._state.kinds, request.path)
        if found is None:
            return not_served()
        if found.kind in CREATE_ONLY:
            return self._question(found, request)
        if found.subresource not in ("", "status"):
            return self._subresource(found, request)
        verb = _verb(found, request)
        if verb == "create" and found.kind.namespaced and not found.namespace:
            raise method_not_allowed()
        if verb not in (*found.kind.verbs, "deletecollection") or (found.subresource and verb == "delete"):
            raise method_not_allowed()
        match verb:
            case "get":
                return self._reads.get(found, request)
            case "list":
                return self._reads.list(found, request)
            case "create":
                return self._writes.create(found, request)
            case "update":
                return self._writes.replace(found, request)
            case "patch":
                return self._writes.patch(found, request)
            case "delete":
                return self._deletes.delete(found, request)
            case "deletecollection":
                if "deletecollection" not in found.kind.verbs or (found.kind.namespaced and not found.namespace):
                    raise method_not_allowed()
                return self._deletes.delete_collection(found, request, self._reads.filter(found, request))
            case _:
                raise method_not_allowed()

    def _subresource(self, found: Route, request: Request) -> Response:
        if found.subresource in REFUSED:
            what = REFUSED[found.subresource]
            raise StatusError(501, "NotImplemented", f"the embedded server does not do this: {what}")
        match found.subresource, request.method:
            case "binding", "POST":
                return self.pods.bind(found, request)
            case "eviction", "POST":
                return self.pods.evict(found, request)
            case "log", "GET":
                return self.pods.log(found, request)
            case "finalize", "PUT":
                return self._writes.replace(found, request)
            case _:
                raise method_not_allowed()

    def _question(self, found: Route, request: Request) -> Response:
        """Who may do what: everybody may do everything."""
        if request.method != "POST":
            raise method_not_allowed()
        asked = bodies.read(request, found.kind, bodies.change_of(request, "CreateOptions"))
        if found.kind.kind == "SelfSubjectAccessReview":
            asked["status"] = {"allowed": True, "reason": "the embedded server refuses nobody"}
        else:
            asked["status"] = {"userInfo": {"username": request.user}}
        return Response(201, encode(asked))

    # --- time ---

    def tick(self) -> int | None:
        """Do what is due: the controllers inside, bookmarks. When next (ms), None: not before the next write."""
        left = self._collector.work()
        dues = [due for due in (self._hub.tick(self._state.store.rv), self._collector.due) if due is not None]
        return self._state.now() if left else min(dues, default=None)

    @property
    def pending(self) -> bool:
        """Whether `tick` has work of the controllers inside now."""
        return self._collector.pending

    def bookmark(self, watch: Watch) -> None:
        """Send a watch its bookmark, as before its end."""
        self._hub.bookmark(watch, self._state.store.rv)

    # --- setting up ---

    def install(self, documents: Iterable[Object]) -> None:
        """Create objects, or put them in the place of those of their name. Raises StatusError."""
        for document in documents:
            version, kind_name = document.get("apiVersion") or "", document.get("kind") or ""
            kind = self._state.kinds.of(version, kind_name)
            meta = document.get("metadata") or {}
            if kind is None:
                raise bad_request(f"no kind {kind_name!r} of {version!r} is served")
            if not meta.get("name"):
                raise invalid(kind.kind, kind.group, "", [required("metadata.name")])
            namespace = (meta.get("namespace") or "default") if kind.namespaced else ""
            target = Route(kind, namespace, meta["name"])
            request = Request("POST", "", body=encode(document), content_type=_BOOT, agent="install")
            held = self._state.store.table(kind).entries.get(target.key)
            if held is None:
                self._writes.create(Route(kind, namespace), request)
            else:
                body = {**document, "metadata": {**meta, "resourceVersion": str(held.rv)}}
                self._writes.replace(target, Request("PUT", "", body=encode(body), content_type=_BOOT, agent="install"))

    def adopt(self, other: Server) -> None:
        """Serve the custom kinds of another server, which has judged and compiled their definitions. The definitions
        themselves are no objects here: for many servers one after the other."""
        for kind in other.kinds:
            if kind.crd is not None:
                self._state.kinds.add(kind.crd)

    def _boot(self) -> None:
        def meta(name: str) -> Object:
            return {"metadata": {"name": name}}

        self.install({"apiVersion": "v1", "kind": "Namespace"} | meta(name) for name in NAMESPACES)
        while self._collector.work():
            pass
        head = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
        self.install(
            head | meta(name) | {"value": value, "description": description}
            for name, value, description in SYSTEM_CLASSES
        )

    # --- faults ---

    def expire_history(self) -> None:
        """Forget all that was written before now: watches and pages that began earlier are told 410."""
        self._state.store.expire()

    def read_stale(self, rv: int | None) -> None:
        """Serve reads at resourceVersion=0 as of an older revision, as an API server behind the others does; None: no
        longer. What the history has lost by then is served as of its beginning."""
        self._reads.stale = rv

    def expire_by_status(self, on: bool) -> None:
        """Answer a watch from too old a revision by HTTP 410, in place of an ERROR event."""
        self._reads.expired_as_status = on

    def pause_collector(self, on: bool) -> None:
        """Keep the controllers inside from working."""
        self._collector.paused = on

    def restart(self) -> None:
        """End every watch, as a restart of the API server does; what is stored stays."""
        self._hub.end()

    # --- inside ---

    def _noted(self, table: Table, event: Event) -> None:
        if table.kind.group == CRDS and event.type != DELETED:
            self._serve(event)
        self._hub.publish(table, event)
        self._collector.note(table, event)
        if self.on_write is not None:
            self.on_write()

    def _serve(self, event: Event) -> None:
        crd = event.entry.object()
        spec = crd["spec"]
        held = self._state.kinds.find(spec["group"], spec["names"]["plural"])
        if held is not None and held.crd is not None and held.crd["spec"] == spec:
            return
        if crd["metadata"].get("deletionTimestamp") and held is None:
            return
        kind = self._state.kinds.add(crd)
        if held is not None and held.selectable == kind.selectable:
            self._state.store.table(kind).kind = kind
        elif held is not None:
            self._renewed(held, kind)

    def _renewed(self, held: Kind, kind: Kind) -> None:
        """Other fields are selectable now: those of the stored objects are read again."""
        self._hub.end(self._state.store.table(held))
        self._state.store.reindex(kind)

    def _unserve(self, crd: Object) -> None:
        kind = self._state.kinds.remove(crd["spec"]["group"], crd["spec"]["names"]["plural"])
        if kind is not None:
            self._hub.end(self._state.store.table(kind))
            self._state.store.drop(kind)


def _verb(found: Route, request: Request) -> str:
    match request.method, bool(found.name):
        case "GET", True:
            return "get"
        case "GET", False:
            return "list"
        case "POST", False:
            return "create"
        case "PUT", True:
            return "update"
        case "PATCH", True:
            return "patch"
        case "DELETE", True:
            return "delete"
        case "DELETE", False:
            return "deletecollection"
        case _:
            return ""
