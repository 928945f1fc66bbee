"""One table of manifests, put to the Python checks (`make test`) and to a real API server (e2e).

`EXAMPLES` holds (id, manifest, message): the message that a refusal must contain, None for a manifest that is taken.
`CHANGES` holds (id, manifest, phase, changed manifest, message): an update of an object whose status.phase is `phase`.
"""

import copy
from collections.abc import Callable
from typing import Any

from muster.api.podtemplate import REFUSED, REFUSED_METADATA

Manifest = dict[str, Any]
Example = tuple[str, Manifest, str | None]
Change = tuple[str, Manifest, str, Manifest, str | None]

REQUIRED_AFFINITY = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED_AFFINITY = "preferredDuringSchedulingIgnoredDuringExecution"


def container(**more: Any) -> Manifest:
    return {"name": "trainer", "image": "example/trainer:1", **more}


def role(name: str = "worker", replicas: int = 2, pod: Manifest | None = None, **more: Any) -> Manifest:
    return {
        "name": name,
        "replicas": replicas,
        "template": {"spec": {"containers": [container()], **(pod or {})}},
        **more,
    }


def job(*roles: Manifest, name: str = "llm", **spec: Any) -> Manifest:
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"roles": list(roles) or [role()], **spec},
    }


def topology(**spec: Any) -> Manifest:
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "ClusterTopology",
        "metadata": {"name": "default"},
        "spec": spec,
    }


def pod(**spec: Any) -> Manifest:
    return job(role(pod=spec))


def segments(*entries: Manifest, replicas: int = 8) -> Manifest:
    return job(role(replicas=replicas, topology={"segments": list(entries)}))


CODES = {"operator": "In", "values": [1]}


def failure_rule(rule: Manifest) -> Manifest:
    return job(failurePolicy={"rules": [rule]})


def metadata(**fields: Any) -> Manifest:
    out = pod()
    out["spec"]["roles"][0]["template"]["metadata"] = fields
    return out


def health(**rule: Any) -> Manifest:
    """A ClusterTopology with one health rule, of action Avoid where none is given."""
    return topology(healthRules=[{"action": "Avoid", **rule}])


def custom(*levels: Manifest) -> Manifest:
    return topology(preset="Custom", levels=list(levels))


def level(name: str, **more: Any) -> Manifest:
    return {"name": name, "nodeLabel": f"example.com/{name}", **more}


def without(manifest: Manifest, *path: str | int) -> Manifest:
    out = copy.deepcopy(manifest)
    node: Any = out
    for part in path[:-1]:
        node = node[part]
    del node[path[-1]]
    return out


def _affinity(**fields: Any) -> Manifest:
    return pod(affinity=fields)


EXPRESSION = {"key": "example.com/hall", "operator": "In", "values": ["a", "b"]}
FULL_POD: Manifest = {
    "containers": [
        container(
            command=["torchrun", "train.py"],
            env=[
                {"name": "NCCL_DEBUG", "value": "INFO"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"key": "k"}}},
            ],
            ports=[{"containerPort": 29500}, {"containerPort": 29500, "protocol": "UDP"}],
            resources={"limits": {"nvidia.com/gpu": 4, "memory": "512Gi", "cpu": "1.5"}},
            securityContext={"capabilities": {"add": ["IPC_LOCK"]}},
            volumeMounts=[{"name": "shm", "mountPath": "/dev/shm"}],
            readinessProbe={"httpGet": {"port": "http", "path": "/"}},
        )
    ],
    "initContainers": [container(name="sidecar", restartPolicy="Always")],
    "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "64Gi"}}],
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "affinity": {"nodeAffinity": {REQUIRED_AFFINITY: {"nodeSelectorTerms": [{"matchExpressions": [EXPRESSION]}]}}},
    "runtimeClassName": "nvidia",
    "imagePullSecrets": [{"name": "pull"}],
    "serviceAccountName": "trainer",
    "automountServiceAccountToken": False,
    "terminationGracePeriodSeconds": 120,
    "dnsPolicy": "ClusterFirst",
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
    "hostIPC": True,
    "hostNetwork": True,
    "priorityClassName": "muster-high",
    "schedulerName": "default-scheduler",
    "restartPolicy": "Never",
    "enableServiceLinks": False,
    "shareProcessNamespace": True,
    "securityContext": {"runAsUser": 1000},
}
FULL = job(
    role(
        replicas=128,
        pod=FULL_POD,
        topology={
            "required": {"level": "spine"},
            "preferred": {"level": "leaf", "waitSeconds": 60},
            "segments": [{"level": "nvlink", "size": 16}, {"level": "leaf", "sizes": [64, 64]}],
        },
    ),
    role("eval", 1),
    name="llama-405b",
    suspend=False,
    priorityClassName="muster-high",
    launcher="torchrun",
    topology={"required": {"level": "spine"}, "preferred": {"level": "leaf"}},
    successPolicy={"roles": ["worker"], "when": "FirstRank", "lingerSeconds": 0},
    backoff={"baseSeconds": 5, "maxSeconds": 5},
    bindTimeoutSeconds=30,
    startTimeoutSeconds=1800,
    activeDeadlineSeconds=None,
    ttlSecondsAfterFinished=0,
    podRetention={"failedAttempts": 0, "podsPerAttempt": 0},
)
FULL["spec"]["roles"][1]["template"]["spec"]["priorityClassName"] = "muster-high"

# A value of the right type for every refused field of a pod's spec.
REFUSED_VALUES: dict[str, Any] = {
    "activeDeadlineSeconds": 5,
    "ephemeralContainers": [{"name": "debug"}],
    "evictionResponders": [{"name": "example.com/r"}],
    "hostPID": True,
    "hostUsers": False,
    "os": {"name": "linux"},
    "overhead": {"cpu": "1"},
    "priority": 5,
    "resourceClaims": [{"name": "channel", "resourceClaimTemplateName": "channel"}],
    "readinessGates": [{"conditionType": "example.com/ready"}],
    "schedulingGates": [{"name": "example.com/gate"}],
    "schedulingGroup": {"podGroupName": "g"},
    "setHostnameAsFQDN": True,
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
}
PET = [{"name": "PET_NNODES", "value": "2"}]
RANK = [{"name": "PET_NODE_RANK", "value": "2"}]
TERM = {"weight": 1, "preference": {"matchExpressions": [EXPRESSION]}}

EXAMPLES: list[Example] = [
    ("minimal", job(), None),
    ("full", FULL, None),
    ("kubectl prints a null timestamp", metadata(creationTimestamp=None, labels={"team": "a"}), None),
    ("name of 40", job(role("ab"), name="a" * 40), None),
    ("name of 41", job(role("a"), name="a" * 41), "must be a DNS label of at most 40 characters"),
    ("name with a dot", job(name="a.b"), "must be a DNS label of at most 40 characters"),
    ("name with a digit first", job(name="4b"), "must be a DNS label of at most 40 characters"),
    ("name and role of 43", job(role("abc"), name="a" * 40), "at most 42 characters together"),
    ("role name with a capital", job(role("Worker")), "should match"),
    ("role name of 17", job(role("a" * 17)), "may not be more than 16"),
    ("role name twice", job(role(), role()), "Duplicate value"),
    ("no roles", job() | {"spec": {"roles": []}}, "should have at least 1 items"),
    ("roles absent", job() | {"spec": {}}, "Required value"),
    ("spec absent", without(job(), "spec"), "Required value"),
    ("17 roles", job(*(role(f"r{i}") for i in range(17))), "must have at most 16 items"),
    ("16 roles", job(*(role(f"r{i}") for i in range(16))), None),
    ("replicas 0", job(role(replicas=0)), "should be greater than or equal to 1"),
    ("replicas as text", job() | {"spec": {"roles": [role() | {"replicas": "2"}]}}, "must be of type integer"),
    ("10,000 pods", job(role(replicas=9999), role("b", 1)), None),
    ("10,001 pods in two roles", job(role(replicas=9999), role("b", 2)), "add up to at most 10,000 pods"),
    ("unknown field", job(lancher="env"), 'unknown field "spec.lancher"'),
    ("unknown launcher", job(launcher="mpi"), "Unsupported value"),
    ("template absent", job() | {"spec": {"roles": [without(role(), "template")]}}, "Required value"),
    ("no containers", pod(containers=[]), "should have at least 1 items"),
    ("container twice", pod(containers=[container(), container()]), "Duplicate value"),
    ("cpu as a fraction", pod(containers=[container(resources={"limits": {"cpu": 0.5}})]), "string"),
    ("quantity that does not parse", pod(containers=[container(resources={"limits": {"cpu": "1 core"}})]), "match"),
    ("misspelt pod field", pod(nodeselector={}), 'unknown field "spec.roles[0].template.spec.nodeselector"'),
    # Null is absent, where the field may be absent.
    ("null object with a default", job(successPolicy=None, podRetention=None), None),
    (
        "null metadata of a template",
        job(role() | {"template": {"metadata": None, "spec": role()["template"]["spec"]}}),
        None,
    ),
    ("null list", pod(tolerations=None), None),
    ("null refused field", pod(nodeName=None), None),
    ("null reserved field", job(queue=None), None),
    ("null roles", job() | {"spec": {"roles": None}}, "Required value"),
    ("null role", job() | {"spec": {"roles": [None]}}, "must be of type object"),
    ("null label", metadata(labels={"team": None}), None),
    # Segments.
    ("segments", segments({"level": "nvlink", "size": 4}, {"level": "leaf", "sizes": [4, 4]}), None),
    ("segment that is longer than the role", segments({"level": "nvlink", "size": 16}), None),
    ("size and sizes", segments({"level": "nvlink", "size": 4, "sizes": [8]}), "either size"),
    ("neither size nor sizes", segments({"level": "nvlink"}), "either size"),
    ("sizes that do not add up", segments({"level": "nvlink", "sizes": [4, 3]}), "must add up to replicas"),
    ("size 0", segments({"level": "nvlink", "size": 0}), "should be greater than or equal to 1"),
    ("sizes with a 0", segments({"level": "nvlink", "sizes": [8, 0]}), "should be greater than or equal to 1"),
    ("level twice", segments({"level": "a", "size": 4}, {"level": "a", "size": 2}), "Duplicate value"),
    ("9 segments", segments(*({"level": f"l{i}", "size": 1} for i in range(9))), "must have at most 8 items"),
    ("level name with a slash", segments({"level": "a/b", "size": 4}), "should match"),
    # Policies.
    ("success of an unknown role", job(successPolicy={"roles": ["wroker"]}), "names a role that is not in spec.roles"),
    ("success of a role twice", job(successPolicy={"roles": ["worker", "worker"]}), "Duplicate value"),
    ("success when", job(successPolicy={"when": "Any"}), "Unsupported value"),
    ("backoff upside down", job(backoff={"baseSeconds": 10, "maxSeconds": 5}), "must not be more than maxSeconds"),
    ("backoff above the default maximum", job(backoff={"baseSeconds": 301}), "must not be more than maxSeconds"),
    ("deadline 0", job(activeDeadlineSeconds=0), "should be greater than or equal to 1"),
    ("ttl below 0", job(ttlSecondsAfterFinished=-1), "should be greater than or equal to 0"),
    ("bind timeout of a day", job(bindTimeoutSeconds=86_400), "should be less than or equal to 3600"),
    ("start timeout 0", job(startTimeoutSeconds=0), "should be greater than or equal to 1"),
    ("retention", job(podRetention={"podsPerAttempt": 65}), "should be less than or equal to 64"),
    (
        "waitSeconds below 0",
        job(topology={"preferred": {"level": "a", "waitSeconds": -1}}),
        "greater than or equal to 0",
    ),
    ("required without level", job(topology={"required": {}}), "Required value"),
    ("restart in place", job(failurePolicy={"restart": "InPlace"}), "Unsupported value"),
    ("onFailure", job(role(onFailure="Retry")), "Unsupported value"),
    ("restarts below 0", job(failurePolicy={"maxRestarts": -1}), "greater than or equal to 0"),
    ("a rule that matches by nothing", failure_rule({"action": "Restart"}), "give exactly one of onExitCodes"),
    (
        "a rule that matches by two things",
        failure_rule({"action": "Restart", "onExitCodes": CODES, "onTerminationMessage": {"contains": "x"}}),
        "give exactly one of onExitCodes",
    ),
    (
        "an uncounted requeue",
        failure_rule({"action": "Requeue", "counted": False, "onExitCodes": CODES}),
        "counted: false is for action Restart alone",
    ),
    (
        "exit code 0",
        failure_rule({"action": "Requeue", "onExitCodes": {"operator": "In", "values": [0, 1]}}),
        "values must not hold 0",
    ),
    (
        "exit codes under OnFailure",
        job(
            role(pod={"restartPolicy": "OnFailure"}),
            failurePolicy={"restart": "FailedPods", "rules": [{"action": "Restart", "onExitCodes": CODES}]},
        ),
        "a rule on exit codes needs restartPolicy Never",
    ),
    # Reserved for later.
    ("queue", job(queue="research"), "spec.queue is not supported yet"),
    ("managedBy", job(managedBy="other"), "spec.managedBy is not supported yet"),
    ("checkpoint", job(checkpoint={"signal": "USR1"}), "spec.checkpoint is not supported yet"),
    ("elastic", job(elastic={"min": 1}), "spec.elastic is not supported yet"),
    ("exclusive", job(topology={"exclusive": {"level": "a"}}), "spec.topology.exclusive is not supported yet"),
    ("computeDomain", job(role(computeDomain={"mode": "Auto"})), "spec.roles[].computeDomain is not supported yet"),
    ("spares", job(role(topology={"spares": {"level": "a", "count": 1}})), "topology.spares is not supported yet"),
    # The template's allow-list.
    *((name, pod(**{name: REFUSED_VALUES.get(name, "x")}), f"{name} is refused: ") for name in REFUSED),
    *(
        (f"metadata.{name}", metadata(**{name: value}), f"metadata.{name} is refused")
        for name, value in zip(REFUSED_METADATA, ("x", "x", "x", ["a/b"], [{"uid": "u"}]), strict=True)
    ),
    ("our label", metadata(labels={"muster.dev/rank": "7"}), "labels under muster.dev/ are set by muster"),
    ("podAffinity", _affinity(podAffinity={REQUIRED_AFFINITY: []}), "podAffinity is refused"),
    ("podAntiAffinity", _affinity(podAntiAffinity={}), "podAntiAffinity is refused"),
    (
        "preferred node affinity",
        _affinity(nodeAffinity={PREFERRED_AFFINITY: [TERM]}),
        "preferred node affinity is refused",
    ),
    (
        "matchFields",
        _affinity(nodeAffinity={REQUIRED_AFFINITY: {"nodeSelectorTerms": [{"matchFields": [EXPRESSION]}]}}),
        "matchFields is refused",
    ),
    ("other scheduler", pod(schedulerName="volcano"), "schedulerName must be default-scheduler"),
    ("restartPolicy OnFailure", pod(restartPolicy="OnFailure"), "restartPolicy must be Never"),
    (
        "restartPolicy of a container",
        pod(containers=[container(restartPolicy="Always")]),
        "a container's restartPolicy",
    ),
    ("restart rules", pod(containers=[container(restartPolicyRules=[{"action": "Restart"}])]), "restartPolicyRules"),
    (
        "restart rules of an init container",
        pod(initContainers=[container(name="i", restartPolicyRules=[{"action": "Restart"}])]),
        "restartPolicyRules is refused",
    ),
    ("other priority", pod(priorityClassName="muster-high"), "must be that of the job"),
    ("same priority", pod(priorityClassName="muster-default"), None),
    ("PET_NNODES", job(role(pod={"containers": [container(env=PET)]}), launcher="torchrun"), "remove them from env"),
    (
        "PET_NODE_RANK of an init container",
        job(role(pod={"initContainers": [container(name="i", env=RANK)]}), launcher="torchrun"),
        "from the env of initContainers",
    ),
    ("PET_NNODES without torchrun", pod(containers=[container(env=PET)]), None),
    # ClusterTopology.
    ("topology, empty", topology(), None),
    ("topology, preset", topology(preset="GB300", podDefaults={"resources": {"rdma/ib": "4"}}), None),
    (
        "topology, custom",
        custom(
            level("zone", boundary=True),
            level("nvlink", placeholderValues=["no-imds-data"], fillLimit=16),
            {"name": "node"},
        ),
        None,
    ),
    ("topology, another name", topology() | {"metadata": {"name": "racks"}}, "metadata.name must be default"),
    ("topology, unknown preset", topology(preset="Azur"), "Unsupported value"),
    ("topology, custom without levels", topology(preset="Custom"), "preset Custom needs spec.levels"),
    ("topology, custom with no levels", custom(), "preset Custom needs spec.levels"),
    ("topology, levels with a preset", topology(levels=[level("a")]), "spec.levels is for preset Custom only"),
    ("topology, level twice", custom(level("a"), level("a", nodeLabel="b")), "two levels have the same name"),
    ("topology, label twice", custom(level("a"), level("b", nodeLabel="example.com/a")), "use the same nodeLabel"),
    ("topology, node not last", custom({"name": "node"}, level("a")), "move it to the end"),
    ("topology, node with a label", custom(level("a"), level("node")), "takes only a weight"),
    ("topology, node as a boundary", custom(level("a"), {"name": "node", "boundary": True}), "takes only a weight"),
    ("topology, level without a label", custom({"name": "a"}), "a level needs nodeLabel"),
    ("topology, level name", custom(level("A_b")), "should match"),
    ("topology, weight below 0", custom(level("a", weight=-1)), "should be greater than or equal to 0"),
    (
        "topology, health rules",
        topology(
            healthRules=[
                {"condition": "XIDErrors", "badWhen": "True", "action": "Drain", "afterSeconds": 60},
                {"label": "example.com/state", "badWhen": "broken", "action": "Avoid"},
                {"taint": "example.com/doomed", "action": "Drain"},
            ]
        ),
        None,
    ),
    ("topology, no health rules", topology(healthRules=[]), None),
    ("topology, health rule without a sign", health(badWhen="True"), "give exactly one of condition, label and taint"),
    (
        "topology, health rule with two signs",
        health(label="a", taint="b"),
        "give exactly one of condition, label and taint",
    ),
    ("topology, condition without badWhen", health(condition="X"), "badWhen of a condition must be"),
    ("topology, condition bad when Yes", health(condition="X", badWhen="Yes"), "badWhen of a condition must be"),
    ("topology, delay of Avoid", health(label="a", afterSeconds=5), "afterSeconds is for action Drain alone"),
    ("topology, health rule without action", topology(healthRules=[{"label": "a"}]), "Required value"),
    ("topology, unknown action", health(label="a", action="Cordon"), "Unsupported value"),
    ("topology, label of a health rule", health(label="not a label"), "should match"),
]

FINISHED = "This run has finished. Give the next run a new name."


def _change(
    name: str, phase: str, edit: Callable[[Manifest], Any], message: str | None, start: Manifest = FULL
) -> Change:
    changed = copy.deepcopy(start)
    edit(changed["spec"])
    return (f"{name}, {phase}", start, phase, changed, message)


def _always(spec: Manifest) -> None:
    spec |= {
        "suspend": True,
        "successPolicy": {"when": "AnyPod"},
        "backoff": {"baseSeconds": 1},
        "bindTimeoutSeconds": 60,
        "startTimeoutSeconds": 60,
        "activeDeadlineSeconds": 60,
        "ttlSecondsAfterFinished": 60,
        "podRetention": {"failedAttempts": 1},
    }


def _swap_sizes(spec: Manifest) -> None:
    spec["roles"][0]["topology"]["segments"][1]["sizes"] = [32, 96]


def _image(spec: Manifest) -> None:
    spec["roles"][0]["template"]["spec"]["containers"][0]["image"] = "example/trainer:2"


def _swap_keys(spec: Manifest) -> None:
    """Under preserve-unknown-fields CEL equality would miss this."""
    spec["roles"][0]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/os": "arm64"}


EDITS: dict[str, tuple[Callable[[Manifest], Any], str]] = {
    "image": (_image, "roles"),
    "swapped keys": (_swap_keys, "roles"),
    "sizes": (_swap_sizes, "roles"),
    "replicas": (lambda spec: spec["roles"][1].update(replicas=2), "roles"),
    "a role less": (lambda spec: spec["roles"].pop(), "roles"),
    "launcher": (lambda spec: spec.update(launcher="env"), "launcher"),
    "topology gone": (lambda spec: spec.pop("topology"), "topology"),
    "topology": (lambda spec: spec["topology"]["required"].update(level="zone"), "topology"),
}
FREE = job()
CHANGES: list[Change] = [
    *(
        _change(name, phase, edit, None)
        for name, (edit, _) in EDITS.items()
        for phase in ("Pending", "Suspended")
    ),
    *(
        _change(name, phase, edit, f"spec.{field} can change only while the job is Pending or Suspended")
        for name, (edit, field) in EDITS.items()
        for phase in ("Placed", "Running", "Stopping")
    ),
    *(_change(name, phase, edit, FINISHED) for name, (edit, _) in EDITS.items() for phase in ("Succeeded", "Failed")),
    *(
        _change("what may always change", phase, _always, None)
        for phase in ("Pending", "Placed", "Starting", "Running", "Repairing", "Stopping", "Suspended", "Succeeded")
    ),
    _change("topology that comes", "Running", lambda s: s.update(topology={"required": {"level": "a"}}),
            "spec.topology can change only", FREE),
    _change("priority", "Running", lambda s: s.update(priorityClassName="muster-high"),
            "spec.priorityClassName can change only", FREE),
    _change("nothing", "Running", lambda s: None, None),
    _change("nothing", "Failed", lambda s: None, None),
]  # fmt: skip
