"""A control plane with the chart's rights and policies in force, as where it is installed, but without the operator.

The ServiceAccount `ACCOUNT` is bound to exactly what the chart renders. Requests are audited, and the admission plugin
OwnerReferencesPermissionEnforcement is on, as on OpenShift, which asks more of whoever sets an ownerReference.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from e2e.audit import Right
from e2e.chart.helm import CHART, NAMESPACE, RELEASE, helm
from e2e.client import Client, Object, core, muster, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.controlplane.config import Options
from e2e.harness import ROOT
from e2e.jobs import job, role
from e2e.manifests import apply, documents

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
KINDS = (
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "FlowSchema",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)
"""What of the chart concerns rights; it is all that is applied here."""
USERS = ("jobs-only", "jobs-and-pods", "editor", "viewer", "forger")
"""Static users of these tests; each test binds what it means them to have."""


def rendered(values: Mapping[str, Any] | None = None) -> list[Object]:
    """Return what of the rendered chart concerns rights, with these values over the chart's own."""
    found = [each for each in yaml.safe_load_all(_rendered(yaml.safe_dump(dict(values or {})))) if each]
    # The hooks of `helm test` are no part of what is installed.
    installed = [each for each in found if "helm.sh/hook" not in (each["metadata"].get("annotations") or {})]
    return [each for each in installed if each["kind"] in KINDS]


@cache
def _rendered(values: str) -> str:
    words = ("--namespace", NAMESPACE, "--values", "-", "--set", "crds.enabled=false")
    with TemporaryDirectory(prefix="muster-helm-") as home:
        return helm("template", RELEASE, str(CHART), *words, home=Path(home), given=values).stdout


def start(values: Mapping[str, Any] | None = None) -> ControlPlane:
    """Start it; returns when the policies are in force."""
    options = Options(audit=True, apiserver=("--enable-admission-plugins=OwnerReferencesPermissionEnforcement",))
    plane = ControlPlane.start(options, users=dict.fromkeys(USERS, ()))
    try:
        apply(plane.client, documents(ROOT / "crds"))
        plane.client.post(core("namespaces"), {"metadata": {"name": NAMESPACE}})
        apply(plane.client, rendered(values), NAMESPACE)
        all_in_force(plane)
    except BaseException:
        plane.stop()
        raise
    return plane


def in_force(client: Client) -> None:
    """Wait until the policy of pod templates refuses what it is to refuse."""
    probe = job("probe", [role(gpus=0, pod={"hostIPC": True})])
    path = muster("trainingjobs", "default")
    wait_for(
        lambda: client.send("POST", path, probe, dryRun="All").status == 422,
        30,
        "the policies are in force",
        seen=lambda: client.send("POST", path, probe, dryRun="All").body,
    )


def all_in_force(plane: ControlPlane) -> None:
    """Wait until each of the policies refuses what it is to refuse."""
    in_force(plane.client)
    path = muster("trainingjobs", "default")
    plane.client.post(path, job("probe", suspend=True))
    status = f"{path}/probe/status"
    change = {"status": {"phase": "Running"}}
    merge = "application/merge-patch+json"
    wait_for(
        lambda: plane.client.send("PATCH", status, change, merge, dryRun="All").status == 403,
        30,
        "the policy of statuses is in force",
    )
    plane.client.delete(f"{path}/probe")
    bind(plane, "default", "viewer", "muster-edit")
    someone = user(plane, "viewer")
    wait_for(
        lambda: "may not create pods" in someone.send("POST", path, job("probe"), dryRun="All").body,
        30,
        "the policy of authors is in force",
    )
    plane.client.delete("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/viewer-muster-edit")


def user(plane: ControlPlane, name: str) -> Client:
    """Return a client that is one of USERS, or a service account."""
    return Client(plane.server, plane.token_for(name), plane.ca)


def bind(plane: ControlPlane, namespace: str, name: str, *roles: str) -> None:
    """Give a user ClusterRoles in one namespace, and wait until the API server knows."""
    for one in roles:
        binding = {
            "metadata": {"name": f"{name}-{one}".replace(":", "-")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": one},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
        }
        plane.client.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)


def may(plane: ControlPlane, name: str, right: Right) -> bool:
    """Whether RBAC lets a user do this."""
    plural, _, sub = right.resource.partition("/")
    asked = {"namespace": right.namespace, "verb": right.verb, "group": right.group, "name": right.name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": name, "resourceAttributes": asked | {"resource": plural, "subresource": sub}},
    }
    answer = plane.client.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])
