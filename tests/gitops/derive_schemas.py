"""Writes schemas.json: names and types below `spec` of the kinds in examples/argocd and examples/flux.

`python -m tests.gitops.derive_schemas "argoproj/argo-cd v3.6.1=application-crd.yaml" ...`: for each CRD where it is
released, and its file. They are in manifests/crds of argoproj/argo-cd and in config/crd/bases of fluxcd's
kustomize-controller, source-controller and helm-controller.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parent / "schemas.json"
Schema = dict[str, Any]
KEPT = (
    "type", "enum", "pattern", "required", "minLength",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
)  # fmt: skip


def slim(schema: Schema) -> Schema:
    """What says whether a manifest fits; no descriptions, no defaults."""
    out = {key: schema[key] for key in KEPT if key in schema}
    if "properties" in schema:
        out["properties"] = {name: slim(part) for name, part in schema["properties"].items()}
    if "items" in schema:
        out["items"] = slim(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = slim(schema["additionalProperties"])
    return out


def derive(sources: list[tuple[str, str]]) -> Schema:
    """The schemas by apiVersion and kind, from (release, text of the CRD)."""
    out: Schema = {"_from": {}}
    for release, text in sources:
        spec = yaml.safe_load(text)["spec"]
        kind = spec["names"]["kind"]
        (version,) = (each for each in spec["versions"] if each["storage"])
        made = slim(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
        if kind == "Application":
            del made["properties"]["sources"]  # each like `source`, which is there
        out["_from"][kind] = release
        out[f"{spec['group']}/{version['name']} {kind}"] = made
    return out


if __name__ == "__main__":
    pairs = [argument.rsplit("=", 1) for argument in sys.argv[1:]]
    derived = derive([(release, Path(file).read_text()) for release, file in pairs])
    FILE.write_text(json.dumps(derived, sort_keys=True, separators=(",", ":")) + "\n")
