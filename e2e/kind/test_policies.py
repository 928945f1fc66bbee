"""What the chart's admission policies refuse on a real cluster, and what a namespace's own rules do to a job."""

from __future__ import annotations

import pytest

from e2e.client import ApiError, Object, core
from e2e.jobs import job
from e2e.kind.space import Space

ROLE = "rbac.authorization.k8s.io/v1"


def test_a_template_that_the_policy_forbids_is_refused_by_name(space: Space) -> None:
    cases: list[tuple[str, Object]] = [
        ("hostNetwork", {"hostNetwork": True}),
        ("hostPath", {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}),
    ]
    for named, pod in cases:
        role = space.trainer(1)
        role["template"]["spec"] |= pod
        role["template"]["spec"]["containers"][0].pop("volumeMounts")
        with pytest.raises(ApiError) as refused:
            space.create(job("forbidden", [role]))
        assert named in refused.value.body, refused.value.body
    role = space.trainer(1)
    role["template"]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(ApiError, match="privileged"):
        space.create(job("forbidden", [role]))


def test_whoever_may_not_create_pods_may_not_create_jobs(space: Space) -> None:
    rules = [{"apiGroups": ["muster.dev"], "resources": ["trainingjobs"], "verbs": ["create", "get"]}]
    role: Object = {"apiVersion": ROLE, "kind": "Role", "metadata": {"name": "jobs-only"}, "rules": rules}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jobs-only"}
    path = f"/apis/{ROLE}/namespaces/{space.name}"
    space.client.post(f"{path}/roles", role)
    binding = {"apiVersion": ROLE, "kind": "RoleBinding", "metadata": {"name": "ann"}, "subjects": [subject]}
    space.client.post(f"{path}/rolebindings", binding | {"roleRef": reference})
    manifest = job("hers", [space.trainer(1, seconds=1)])
    where = f"/apis/muster.dev/v1alpha1/namespaces/{space.name}/trainingjobs"
    ann = {"Impersonate-User": "ann"}
    refused = space.client.send("POST", where, manifest, headers=ann)
    assert refused.status in (403, 422), refused.body
    assert "pods" in refused.body, refused.body
    role["rules"].append({"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]})
    space.client.put(f"{path}/roles/jobs-only", role)
    served = space.client.send("POST", where, manifest, headers=ann)
    assert served.status == 201, served.body
    space.reaches("hers", "Succeeded")


def test_a_quota_is_told_on_the_job_and_room_in_it_starts_the_job(space: Space) -> None:
    quota: Object = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"}}
    space.client.post(core("resourcequotas", space.name), quota | {"spec": {"hard": {"pods": "1"}}})
    space.submit("pair", 2, seconds=1)
    waiting = space.waits("pair", "NamespaceQuota")
    assert "pods" in waiting["message"], waiting
    space.client.patch(core("resourcequotas", space.name, "pods"), {"spec": {"hard": {"pods": "2"}}})
    space.reaches("pair", "Succeeded", timeout=400)


def test_pod_security_is_told_on_the_job(space: Space) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    space.client.patch(core("namespaces", name=space.name), {"metadata": {"labels": labels}})
    space.submit("loose", 1)
    waiting = space.waits("loose", "PolicyRefused")
    assert "restricted" in waiting["message"], waiting
    role = space.trainer(1, seconds=1)
    role["template"]["spec"]["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container = role["template"]["spec"]["containers"][0]
    container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    space.create(job("strict", [role]))
    space.reaches("strict", "Succeeded")
