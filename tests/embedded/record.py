"""Put the tables of examples to a real API server and write down what it says: `python -m tests.embedded.record`.

Needs the control plane of e2e. The file keeps a refusal's Status and of an accepted object what the server made of it.
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

from e2e.client import Answer, Client, group, muster
from e2e.controlplane.cluster import ControlPlane
from tests.api.examples import CHANGES, EXAMPLES
from tests.embedded.shapes import CRD, CREATES, START, STATUSES, UPDATES

FILE = Path(__file__).parent / "answers.json"
STRICT: dict[str, Any] = {"dryRun": "All", "fieldValidation": "Strict"}
WHOLE = ("minimal", "full", "null object with a default", "null label", "topology, custom")
MADE = ("uid", "resourceVersion", "creationTimestamp", "managedFields")


def kept(answer: Answer, whole: bool = True) -> Any:
    """The status code and the body, without what differs from run to run; unless `whole`, only of a refusal."""
    body = answer.json()
    if answer.status < 400 and not whole:
        return [answer.status, None]
    for name in MADE:
        body["metadata"].pop(name, None)
    warnings = answer.headers.get("Warning")
    return [answer.status, body, *([warnings] if warnings else [])]


def served(client: Client, path: str) -> None:
    for _ in range(100):
        if client.send("GET", path).status == 200:
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} is not served")


def ask(client: Client) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, manifest, _ in EXAMPLES:
        path = muster("trainingjobs", "default") if manifest["kind"] == "TrainingJob" else muster("clustertopologies")
        out[name] = kept(client.send("POST", path, manifest, **STRICT), name in WHOLE)
    for name, manifest, phase, changed, _ in CHANGES:
        job = muster("trainingjobs", "default", manifest["metadata"]["name"])
        if client.send("GET", job).status != 200:
            client.post(muster("trainingjobs", "default"), manifest)
        stored = client.patch(f"{job}/status", {"status": {"phase": phase}})
        out[name] = kept(client.send("PUT", job, stored | {"spec": changed["spec"]}, **STRICT), False)
    client.send("DELETE", muster("trainingjobs", "default", "llm"))
    client.send("DELETE", muster("trainingjobs", "default", "llama-405b"))
    crds = group("apiextensions.k8s.io/v1", "customresourcedefinitions")
    client.post(crds, CRD)
    shapes = group("example.com/v1", "shapes", "default")
    served(client, shapes)
    for name, manifest in CREATES:
        out[f"shape, {name}"] = kept(client.send("POST", shapes, manifest, dryRun="All"))
    out["shape, strict"] = kept(client.send("POST", shapes, dict(CREATES)["unknown fields"], **STRICT))
    path = f"{shapes}/s"
    made = client.post(shapes, copy.deepcopy(START))
    for name, spec in UPDATES:
        out[f"update, {name}"] = kept(client.send("PUT", path, made | {"spec": spec}, dryRun="All"))
    for name, status in STATUSES:
        out[f"status, {name}"] = kept(client.send("PUT", f"{path}/status", made | {"status": status}, dryRun="All"))
    for form in ("merge", "apply"):
        body = {key: START[key] for key in ("apiVersion", "kind", "metadata")} | {"spec": {"nope": 1}}
        more = {"fieldManager": "test"} if form == "apply" else {}
        content = f"application/{form}-patch+{'yaml' if form == 'apply' else 'json'}"
        out[f"strict, {form}"] = kept(client.send("PATCH", path, body, content, **STRICT, **more))
    client.send("DELETE", path)
    client.send("DELETE", f"{crds}/{CRD['metadata']['name']}")
    return out


def dumped(answers: dict[str, Any]) -> str:
    """As JSON, one answer a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(answers[name], sort_keys=True)}" for name in sorted(answers)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    with ControlPlane.start() as plane:
        for name in ("clustertopologies", "trainingjobs"):
            plane.kubectl("apply", "--server-side", "-f", f"crds/{name}.yaml")
        for name in ("clustertopologies", "trainingjobs"):
            served(plane.client, muster(name))
        FILE.write_text(dumped(ask(plane.client)))


if __name__ == "__main__":
    main()
