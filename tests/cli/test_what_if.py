"""`muster what-if`: what is supposed of the cluster, jobs in sequence, pods as the API server would admit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.dumps import CLIQUE, LEAF, Bench, job, named, node, pod, racks, running

from muster.cli.judge import worst
from muster.cli.main import main


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


def placed(said: Any) -> list[bool]:
    return [answer["placed"] for answer in said["jobs"]]


def reasons(said: Any) -> list[str]:
    return [answer["reason"] for answer in said["jobs"]]


def nodes(said: Any, at: int = 0) -> set[str]:
    return {rank["node"] for rank in said["jobs"][at]["ranks"]}


# --- several jobs ---


def test_each_job_is_judged_alone_unless_in_sequence(bench: Bench) -> None:
    asked = [job("a", 3), job("b", 3), job("c", 1)]
    assert placed(bench.ask(*asked)[1]) == [True, True, True]
    code, said = bench.ask(*asked, more=("--sequential",))
    assert (code, placed(said)) == (2, [True, False, True])
    assert not nodes(said, 0) & nodes(said, 2)


def test_in_sequence_quota_is_spent_too(bench: Bench) -> None:
    amounts = {"pods": "3", "requests.nvidia.com/gpu": "12"}
    used = {"pods": "0", "requests.nvidia.com/gpu": "0"}
    bench.objects.append(
        named("ResourceQuota", "q", "research", spec={"hard": amounts}, status={"hard": amounts, "used": used})
    )
    assert placed(bench.ask(job("a"), job("b"))[1]) == [True, True]
    code, said = bench.ask(job("a"), job("b"), more=("--sequential",))
    assert (code, reasons(said)) == (2, ["", "NamespaceQuota"])


def test_a_job_that_would_wait_for_its_preferred_level_waits(bench: Bench) -> None:
    bench.objects += [pod("a", "r0-n0", gpu="4"), pod("b", "r1-n0", gpu="4")]
    for seconds, expected in ((60, (2, ["WaitingForPreferred"])), (0, (0, [""]))):
        code, said = bench.ask(job(topology={"preferred": {"level": "nvlink", "waitSeconds": seconds}}))
        assert (code, reasons(said)) == expected
    code, said = bench.ask(
        job(topology={"preferred": {"level": "nvlink", "waitSeconds": 60}}), more=("--free", "r0-n0")
    )
    assert (code, placed(said)) == (0, [True])


def test_manifests_come_from_files_directories_and_lists(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    folder = bench.folder / "jobs"
    folder.mkdir()
    (folder / "b.yaml").write_text(yaml.safe_dump_all([job("b1"), None, job("b2")]))
    (folder / "a.json").write_text(json.dumps({"kind": "List", "items": [job("a1"), job("a2")]}))
    (folder / "notes.txt").write_text("nothing")
    more = bench.file("more.yml", yaml.safe_dump(job("c")))
    assert main(["what-if", "-f", str(folder), "-f", more, "--cluster", bench.dump(), "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [answer["job"].rpartition("/")[2] for answer in said["jobs"]] == ["a1", "a2", "b1", "b2", "c"]


def test_what_a_question_looks_past_is_said(bench: Bench) -> None:
    bench.objects.append(running("a", "r0-n0"))
    code, said = bench.ask(job("a"), job("b", suspend=True), job("b"))
    warnings = "\n".join(said["warnings"])
    assert code == 0
    assert "research/a is in the cluster already (Running)" in warnings
    assert "research/b is suspended" in warnings
    assert "research/b is asked about more than once" in warnings


def test_a_namespace_for_jobs_that_name_none(bench: Bench) -> None:
    manifest = job()
    del manifest["metadata"]["namespace"]
    assert bench.ask(manifest)[1]["jobs"][0]["job"] == "default/train"
    assert bench.ask(manifest, more=("-n", "research"))[1]["jobs"][0]["job"] == "research/train"


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        pytest.param(job(lancher="env"), 'unknown field "spec.lancher"; is "launcher" meant?', id="an unknown field"),
        pytest.param(
            job(lancher="env", bindTimeoutSeconds="soon") | {"kind": "TrainingJob"},
            "spec.bindTimeoutSeconds: Invalid value",
            id="several errors, all told",
        ),
        pytest.param(
            job() | {"apiVersion": "muster.dev/v2"}, "apiVersion: must be muster.dev/v1alpha1", id="a version"
        ),
        pytest.param(job() | {"kind": "Job"}, "kind: must be TrainingJob", id="a kind"),
        pytest.param(["a"], "is a mapping, not list", id="a list"),
        pytest.param(job(limits={"cpu": "12 apples"}), "resources.limits[cpu]", id="an unknown quantity"),
        pytest.param(
            job(pod={"resourceClaims": [{"name": "c", "resourceClaimTemplateName": "t"}]}),
            "resourceClaims is refused: muster does not count",
            id="a device of a class that is not counted",
        ),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_with_the_field(bench: Bench, manifest: Any, says: str) -> None:
    code, said = bench.ask(manifest, job("good"))
    assert (code, reasons(said)) == (3, ["Invalid", ""])
    assert says in said["jobs"][0]["message"]


def test_the_worst_exit_code_counts() -> None:
    assert [worst(codes) for codes in ((), (0, 0), (0, 2), (3, 2, 0), (2, 1, 3))] == [0, 0, 2, 3, 1]


# --- supposing ---


def test_a_job_that_has_ended_frees_what_it_holds(bench: Bench) -> None:
    owner = {"kind": "TrainingJob", "uid": "job-big", "apiVersion": "muster.dev/v1alpha1"}
    bench.objects += [running("big", "r0-n0", "r0-n1"), pod("p", "r0-n0", "research", owner, gpu="4")]
    assert bench.ask(job(replicas=4))[0] == 2
    for target in ("big", "research/big"):
        code, said = bench.ask(job(replicas=4), more=("--free", target))
        assert (code, said["supposed"]) == (0, ["research/big has ended (1 pod)"])


def test_ending_a_job_gives_its_quota_back(bench: Bench) -> None:
    owner = {"kind": "TrainingJob", "uid": "job-big", "apiVersion": "muster.dev/v1alpha1"}
    bench.objects += [running("big", "r0-n0"), pod("p", "r0-n0", "research", owner, gpu="4")]
    hard, used = {"count/pods": "2", "limits.cpu": "4"}, {"count/pods": "1", "limits.cpu": "0"}
    bench.objects.append(
        named("ResourceQuota", "q", "research", spec={"hard": hard}, status={"hard": hard, "used": used})
    )
    asked = job(limits={"nvidia.com/gpu": 4, "cpu": "1"})
    assert reasons(bench.ask(asked)[1]) == ["NamespaceQuota"]
    assert bench.ask(asked, more=("--free", "big"))[0] == 0


def test_a_node_that_is_freed_keeps_only_daemons_and_is_usable(bench: Bench) -> None:
    bench.objects[0]["spec"] = {
        "unschedulable": True,
        "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}],
    }
    bench.objects[1]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    bench.objects += [running("big", "r0-n0", "r1-n0"), pod("stranger", "r0-n1", gpu="1")]
    bench.objects.append(pod("d", "r0-n1", owner={"kind": "DaemonSet", "uid": "d", "apiVersion": "apps/v1"}, cpu="60"))
    assert bench.ask(job(replicas=2, topology={"required": {"level": "nvlink"}}))[0] == 2
    code, said = bench.ask(job(replicas=2, topology={"required": {"level": "nvlink"}}), more=("--free", "r0-n[0-1]"))
    assert (code, nodes(said)) == (0, {"r0-n0", "r0-n1"})
    assert said["supposed"] == ["r0-n[0-1] are free (1 pod) and usable"]
    # The daemon is still there, and so is what the job holds elsewhere.
    assert bench.ask(job(limits={"nvidia.com/gpu": 4, "cpu": "5"}, replicas=3), more=("--free", "r0-n[0-1]"))[0] == 2


def test_cordoned_nodes_take_nothing(bench: Bench) -> None:
    code, said = bench.ask(job(replicas=2), more=("--cordon", "r0-n[0-1]", "--cordon", "r1-n0"))
    assert (code, said["jobs"][0]["details"]["exclusions"]) == (2, {"cordoned": 3})
    assert said["supposed"] == ["r0-n[0-1] are cordoned", "r1-n0 is cordoned"]


def test_doing_what_would_start_a_job_starts_it(bench: Bench) -> None:
    bench.objects[0]["spec"] = {"unschedulable": True}
    bench.objects[1]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    owner = {"kind": "TrainingJob", "uid": "job-big", "apiVersion": "muster.dev/v1alpha1"}
    bench.objects += [
        running("big", "r1-n0"),
        pod("p", "r1-n0", "research", owner, gpu="4"),
        pod("q", "r1-n1", gpu="1"),
    ]
    code, said = bench.ask(job(replicas=4))
    actions = said["jobs"][0]["change"]["actions"]
    assert (code, {action["kind"] for action in actions}) == (2, {"uncordon", "heal", "end", "free"})
    targets = [target for a in actions for target in ([a["target"]] if a["kind"] == "end" else a["nodes"])]
    assert bench.ask(job(replicas=4), more=tuple(word for target in targets for word in ("--free", target)))[0] == 0
    assert bench.ask(job(replicas=4), more=tuple(word for target in targets[1:] for word in ("--free", target)))[0] == 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param(("--cordon", "r9-n9"), "--cordon r9-n9: there is no node r9-n9 here", id="no such node"),
        pytest.param(("--cordon", "r0-n[0-"), "not a host list", id="no host list"),
        pytest.param(
            ("--free", "nobody"), "--free nobody: there is no node or job nobody here", id="nothing of that name"
        ),
        pytest.param(
            ("--free", "research/nobody"), "there is no TrainingJob nobody in namespace research", id="no job"
        ),
        pytest.param(("--add-racks", "-1"), "--add-racks", id="fewer racks"),
    ],
)
def test_what_cannot_be_supposed(bench: Bench, more: tuple[str, ...], says: str) -> None:
    code, said = bench.ask(job(), more=more)
    assert code == 1
    assert says in said


def test_added_racks_copy_the_most_usual_one(bench: Bench) -> None:
    """Four racks of two nodes, two racks a leaf, and one rack of another kind."""
    bench.objects = racks(count=4, size=2)
    bench.objects += [node("odd-0", "c.9", leaf="l9", gpus=1)]
    for each in bench.objects:
        each["metadata"]["labels"] |= {"topology.kubernetes.io/zone": "z"}
    daemon = {"kind": "DaemonSet", "uid": "d", "apiVersion": "apps/v1"}
    bench.objects += [pod("d", "r0-n0", owner=daemon, cpu="60"), pod("p", "r0-n0", gpu="4")]
    bench.objects[1]["spec"] = {"unschedulable": True}
    whole = job(replicas=14, topology={"segments": [{"level": "nvlink", "size": 2}]})
    code, said = bench.ask(whole, more=("--add-racks", "4"))
    assert code == 0, said["jobs"][0]["message"]
    assert said["supposed"] == ["4 nvlink domains are added, each like c.0 (2 nodes)"]
    domains = {r["node"]: r["domains"] for r in said["jobs"][0]["ranks"] if r["node"].startswith("added-")}
    assert domains["added-1-00"] == {"zone": "z", "leaf": "added-leaf-1", "nvlink": "added-nvlink-1"}
    assert domains["added-4-01"] == {"zone": "z", "leaf": "added-leaf-2", "nvlink": "added-nvlink-4"}
    # The copy of r0-n0 runs the DaemonSet's pod as well, and not the other.
    busy = job(replicas=2, limits={"nvidia.com/gpu": 4, "cpu": "5"}, pod={"nodeSelector": {CLIQUE: "added-nvlink-1"}})
    code, said = bench.ask(busy | {"metadata": {"name": "b"}}, more=("--add-racks", "1"))
    assert (code, said["jobs"][0]["details"]["missing"]) == (2, 1)


def test_without_racks_there_is_none_to_copy(bench: Bench) -> None:
    for each in bench.objects:
        del each["metadata"]["labels"][CLIQUE], each["metadata"]["labels"][LEAF]
    assert "there is no rack to copy" in bench.ask(job(), more=("--add-racks", "1"))[1]


# --- pods as they would be admitted ---


def test_the_defaults_and_bounds_of_limit_ranges_hold(bench: Bench) -> None:
    item = {"type": "Container", "defaultRequest": {"cpu": "40"}, "default": {"cpu": "40"}, "max": {"memory": "1Gi"}}
    bench.objects.append(named("LimitRange", "l", "research", spec={"limits": [item]}))
    code, said = bench.ask(job(limits={"nvidia.com/gpu": 1}, replicas=5), job("big", limits={"memory": "2Gi"}))
    # 64 cores a node hold one pod of 40, though 4 GPUs would hold four.
    assert (code, reasons(said)) == (3, ["Unsatisfiable", "PolicyRefused"])
    assert "maximum memory usage per Container is 1Gi" in said["jobs"][1]["message"]
    assert bench.ask(job(limits={"nvidia.com/gpu": 1}, replicas=5, namespace="elsewhere"))[0] == 0


def test_a_runtime_class_adds_its_overhead_selector_and_tolerations(bench: Bench) -> None:
    bench.objects[0]["spec"] = {"taints": [{"key": "kata", "effect": "NoSchedule"}]}
    scheduling = {"nodeSelector": {CLIQUE: "c.0"}, "tolerations": [{"key": "kata", "operator": "Exists"}]}
    kata = named("RuntimeClass", "kata", version="node.k8s.io/v1", handler="kata", scheduling=scheduling)
    bench.objects.append(kata | {"overhead": {"podFixed": {"cpu": "10"}}})
    asked = job(limits={"nvidia.com/gpu": 1, "cpu": "10"}, replicas=2, pod={"runtimeClassName": "kata"})
    code, said = bench.ask(asked)
    assert (code, nodes(said)) == (0, {"r0-n0"})
    # Of 20 cores each, three fit on a node of 64.
    assert placed(
        bench.ask(
            asked
            | {
                "spec": job(limits={"nvidia.com/gpu": 1, "cpu": "10"}, replicas=7, pod={"runtimeClassName": "kata"})[
                    "spec"
                ]
            }
        )[1]
    ) == [False]
    missing = bench.ask(job(pod={"runtimeClassName": "none"}))[1]["jobs"][0]
    assert (missing["reason"], 'RuntimeClass "none" not found' in missing["message"]) == ("PolicyRefused", True)


def test_bound_volumes_say_where_pods_may_go(bench: Bench) -> None:
    expression = {"key": CLIQUE, "operator": "In", "values": ["c.1"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    bench.objects += [
        named("PersistentVolumeClaim", "data", "research", spec={"volumeName": "v"}),
        named("PersistentVolume", "v", spec={"nodeAffinity": {"required": required}}),
    ]
    volume = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    code, said = bench.ask(job(replicas=1, pod={"volumes": volume}))
    assert (code, nodes(said) <= {"r1-n0", "r1-n1"}) == (0, True)
    volume[0]["persistentVolumeClaim"] = {"claimName": "lost"}
    code, said = bench.ask(job(replicas=1, pod={"volumes": volume}))
    assert any("mounts the PersistentVolumeClaim lost, which is not known here" in w for w in said["warnings"])


def test_priority_classes_are_missing_or_preempt(bench: Bench) -> None:
    assert bench.ask(job())[0] == 0  # the dump has none at all, so those named are taken to exist
    bench.objects.append(named("PriorityClass", "greedy", version="scheduling.k8s.io/v1", value=5))
    code, said = bench.ask(job(), job("g", priorityClassName="greedy"))
    assert (code, reasons(said)) == (3, ["PriorityClassMissing", "PriorityClassPreempts"])


def test_quota_that_must_be_asked_for_by_name(bench: Bench) -> None:
    hard = {"requests.cpu": "8"}
    bench.objects.append(named("ResourceQuota", "q", "research", spec={"hard": hard}, status={"hard": hard}))
    code, said = bench.ask(job())
    assert (code, reasons(said)) == (2, ["NamespaceQuota"])
    assert "must specify requests.cpu" in said["jobs"][0]["message"]


def test_the_text_says_what_was_supposed(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = bench.file("j.json", json.dumps(job()))
    assert main(["what-if", "-f", jobs, "--cluster", bench.dump(), "--cordon", "r0-n0"]) == 0
    out, _ = capsys.readouterr()
    assert out.splitlines()[0] == "supposing that r0-n0 is cordoned"
    assert out.splitlines()[1].split() == ["JOB", "FITS", "REASON", "MESSAGE"]
