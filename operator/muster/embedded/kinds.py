"""What is served: the built-in kinds, and those that CustomResourceDefinitions add."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from muster.embedded.wire import Cause, Object, invalid

NOTHING: Mapping[str, str] = MappingProxyType({})
CRDS = "apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource as it is served."""

    group: str
    """Empty for core."""
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    """`status` among them."""
    selectable: tuple[str, ...] = ()
    """Field paths that a field selector may name beside metadata.name and metadata.namespace."""
    merge_keys: Mapping[str, str] = field(default_factory=dict, hash=False)
    """For strategic merge: path of a list (dots, no indices) -> its merge key; an empty key is a set of values."""
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    unconditional: bool = True
    """Whether a PUT without resourceVersion is taken."""
    crd: Object | None = field(default=None, hash=False, compare=False)
    """The CustomResourceDefinition that it comes from; not to be changed."""

    def __post_init__(self) -> None:
        if not self.singular:
            object.__setattr__(self, "singular", self.kind.lower())
        if not self.list_kind:
            object.__setattr__(self, "list_kind", f"{self.kind}List")

    @property
    def status(self) -> bool:
        """Whether there is a status subresource."""
        return "status" in self.subresources

    @property
    def api_version(self) -> str:
        """As objects carry it: `v1`, `muster.dev/v1alpha1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages name it: `pods`, `trainingjobs.muster.dev`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def schema(self) -> Object | None:
        """The structural schema of a custom kind."""
        if self.crd is None:
            return None
        for version in self.crd["spec"]["versions"]:
            if version["name"] == self.version:
                found: Object | None = (version.get("schema") or {}).get("openAPIV3Schema")
                return found
        return None


_META = {
    "metadata.ownerReferences": "uid",
    "metadata.finalizers": "",
    "metadata.managedFields": "-",
}
"""`-`: replaced as a whole, which is what a list without an entry here is."""

_CONTAINER = {
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "resources.claims": "-",
}

_POD_SPEC: dict[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "schedulingGates": "name",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    **{
        f"{group}.{path}": key
        for group in ("containers", "initContainers", "ephemeralContainers")
        for path, key in _CONTAINER.items()
        if key != "-"
    },
}
_POD = {f"spec.{path}": key for path, key in _POD_SPEC.items()} | {
    "status.conditions": "type",
    "status.podIPs": "ip",
    "status.hostIPs": "ip",
    "status.resourceClaimStatuses": "name",
}
_NODE = {
    "spec.podCIDRs": "",
    "status.conditions": "type",
    "status.addresses": "type",
}
_SERVICE = {"spec.ports": "port", "status.conditions": "type"}


def _keys(more: Mapping[str, str] = NOTHING) -> Mapping[str, str]:
    return MappingProxyType({path: key for path, key in {**_META, **more}.items() if key != "-"})


def _core(plural: str, kind: str, namespaced: bool = True, short: tuple[str, ...] = (), **more: object) -> Kind:
    keys = more.pop("keys", NOTHING)
    return Kind("", "v1", plural, kind, namespaced, short_names=short, merge_keys=_keys(keys), **more)  # type: ignore[arg-type]


BUILT_IN: tuple[Kind, ...] = (
    _core(
        "namespaces",
        "Namespace",
        False,
        ("ns",),
        subresources=("status", "finalize"),
        selectable=("status.phase",),
        keys={"status.conditions": "type"},
        verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    ),
    _core(
        "nodes",
        "Node",
        False,
        ("no",),
        subresources=("status",),
        selectable=("spec.unschedulable",),
        keys=_NODE,
    ),
    _core(
        "pods",
        "Pod",
        short=("po",),
        categories=("all",),
        subresources=("status", "binding", "eviction", "log"),
        selectable=(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        keys=_POD,
    ),
    _core(
        "services",
        "Service",
        short=("svc",),
        categories=("all",),
        subresources=("status",),
        selectable=("spec.clusterIP", "spec.type"),
        keys=_SERVICE,
    ),
    _core(
        "events",
        "Event",
        short=("ev",),
        selectable=(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ),
    ),
    _core("serviceaccounts", "ServiceAccount", short=("sa",), keys={"secrets": "name"}),
    _core("configmaps", "ConfigMap", short=("cm",)),
    _core("secrets", "Secret", selectable=("type",)),
    _core("resourcequotas", "ResourceQuota", short=("quota",), subresources=("status",)),
    _core("limitranges", "LimitRange", short=("limits",)),
    _core("persistentvolumes", "PersistentVolume", False, ("pv",), subresources=("status",)),
    _core(
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        short=("pvc",),
        subresources=("status",),
        keys={"status.conditions": "type"},
    ),
    Kind("coordination.k8s.io", "v1", "leases", "Lease", True, merge_keys=_keys(), unconditional=False),
    Kind(
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        "PriorityClass",
        False,
        short_names=("pc",),
        merge_keys=_keys(),
    ),
    Kind("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False, merge_keys=_keys(), unconditional=False),
    Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, short_names=("sc",), merge_keys=_keys()),
    Kind(
        "storage.k8s.io",
        "v1",
        "csinodes",
        "CSINode",
        False,
        merge_keys=_keys({"spec.drivers": "name"}),
        unconditional=False,
    ),
    Kind(
        CRDS,
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        subresources=("status",),
        merge_keys=_keys(),
        unconditional=False,
    ),
)

CREATE_ONLY: tuple[Kind, ...] = (
    Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=("create",)),
    Kind("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=("create",)),
)
"""Questions that are answered and not kept."""


class Kinds:
    """The kinds of one server. Custom ones come and go with their definitions."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        for kind in (*BUILT_IN, *CREATE_ONLY):
            self._kinds[kind.group, kind.version, kind.plural] = kind
        self.version = 0
        """Counts every change, for whoever keeps what follows from the kinds."""

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def get(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind behind a path."""
        return self._kinds.get((group, version, plural))

    def of(self, api_version: str, kind: str) -> Kind | None:
        """The kind of an object or an owner reference."""
        group, _, version = api_version.rpartition("/")
        for found in self._kinds.values():
            if found.kind == kind and found.group == group and found.version == version:
                return found
        return None

    def find(self, group: str, plural: str) -> Kind | None:
        """A kind, in whichever version it is served."""
        for kind in self._kinds.values():
            if kind.group == group and kind.plural == plural:
                return kind
        return None

    def groups(self) -> dict[str, list[str]]:
        """Group -> its versions, in the order in which they came; core (empty) first."""
        groups: dict[str, list[str]] = {}
        for kind in self._kinds.values():
            versions = groups.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return groups

    def add(self, crd: Object) -> Kind:
        """Serve what a CustomResourceDefinition defines. Raises StatusError (422) for what cannot be served here."""
        kind = custom(crd)
        for key in [k for k, held in self._kinds.items() if held.group == kind.group and held.plural == kind.plural]:
            if self._kinds[key].crd is None:
                raise _refused(crd, "spec.names.plural", f"{kind.qualified} is built in")
            if key != (kind.group, kind.version, kind.plural):
                del self._kinds[key]
        self._kinds[kind.group, kind.version, kind.plural] = kind
        self.version += 1
        return kind

    def remove(self, group: str, plural: str) -> Kind | None:
        """Serve a custom kind no longer."""
        for key, kind in self._kinds.items():
            if kind.group == group and kind.plural == plural and kind.crd is not None:
                del self._kinds[key]
                self.version += 1
                return kind
        return None


def custom(crd: Object) -> Kind:
    """The kind that a CustomResourceDefinition defines. Raises StatusError (422)."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    served = [v for v in spec.get("versions") or () if v.get("served")]
    for path, value in (("group", spec.get("group")), ("scope", spec.get("scope"))):
        if not isinstance(value, str) or not value:
            raise _refused(crd, f"spec.{path}", "", "Required value")
    for part in ("plural", "kind"):
        if not isinstance(names.get(part), str) or not names[part]:
            raise _refused(crd, f"spec.names.{part}", "", "Required value")
    if len(served) != 1:
        raise _refused(crd, "spec.versions", f"the embedded server serves one version of a kind, not {len(served)}")
    if spec["scope"] not in ("Namespaced", "Cluster"):
        raise _refused(crd, "spec.scope", "", 'Unsupported value: supported values: "Cluster", "Namespaced"')
    expected = f"{names['plural']}.{spec['group']}"
    if crd.get("metadata", {}).get("name") != expected:
        found = crd.get("metadata", {}).get("name")
        raise _refused(crd, "metadata.name", f'must be spec.names.plural+"."+spec.group: "{expected}", not "{found}"')
    (version,) = served
    subresources = version.get("subresources") or {}
    if "scale" in subresources:
        raise _refused(crd, "spec.versions[0].subresources.scale", "the embedded server does not serve scale")
    return Kind(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        spec["scope"] == "Namespaced",
        singular=names.get("singular") or "",
        list_kind=names.get("listKind") or "",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=("status",) if "status" in subresources else (),
        selectable=tuple(f["jsonPath"].removeprefix(".") for f in version.get("selectableFields") or ()),
        unconditional=False,
        crd=crd,
    )


def _refused(crd: Object, path: str, why: str, message: str = "") -> Exception:
    name = str((crd.get("metadata") or {}).get("name") or "")
    cause = Cause(path, message or f"Invalid value: {why}")
    return invalid("CustomResourceDefinition", CRDS, name, [cause])
