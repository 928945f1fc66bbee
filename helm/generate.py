"""Writes what of the chart has its source elsewhere: `make crds` and `make settings` call it.

- `files/crds/`: the custom resources, as in crds/. A copy, since a chart is fetched without what lies beside it (Flux
  leaves out symbolic links, a packaged chart holds nothing from above its root).
- `settings` in values.yaml and values.schema.json: the operator's settings with their defaults, bounds and meanings.
- `clusterTopology` in values.schema.json: the presets, and the names of the other fields of the spec.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from muster.api.crds import documents
from muster.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "muster"
COPIED = ("clustertopologies.yaml", "trainingjobs.yaml")
NOT_HERE = {
    "kubeconfig": "a pod has its service account",
    "context": "a pod has its service account",
    "identity": "every replica needs one of its own",
    "watch_namespaces": "it is `watchNamespaces`, since the roles follow it too",
}
"""Settings that values do not offer, and why."""
LABEL = "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$"
PATTERNS = {
    "lease_namespace": LABEL,
    "lease_name": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    "scheduler_name": "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
    "bind_host": "^[0-9a-fA-F.:]*$",
}
"""What the API server would refuse in an object of the chart, and the operator does not look at by itself."""
BEGIN = "  # --- written by helm/generate.py from operator/muster/settings.py ---\n"
END = "  # --- end of what is written ---\n"


def camel(name: str) -> str:
    """`pods_qps` as the values have it: `podsQps`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def offered() -> Iterator[str]:
    """The settings that values offer."""
    return (name for name in Settings.model_fields if name not in NOT_HERE)


def schema() -> dict[str, Any]:
    """The JSON schema of `settings`."""
    fields = Settings.model_json_schema()["properties"]
    properties = {}
    for name in offered():
        field = {key: value for key, value in fields[name].items() if key != "title"}
        if name in PATTERNS:
            field["pattern"] = PATTERNS[name]
        properties[camel(name)] = field
    return {
        "type": "object",
        "description": "Settings of the operator; docs/settings.md.",
        "additionalProperties": False,
        "properties": properties,
    }


def topology() -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON schemas of `clusterTopology.preset` and `.spec`; the API server judges what is inside the fields."""
    (crd,) = documents()["clustertopologies.yaml"]
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    preset = {key: spec["preset"][key] for key in ("type", "enum")}
    rest = {
        name: {key: field[key] for key in ("type", "description")} for name, field in spec.items() if name != "preset"
    }
    return preset, {"type": "object", "additionalProperties": False, "properties": rest}


def values() -> str:
    """The lines below `settings:` in values.yaml."""
    lines = []
    for name in offered():
        field = Settings.model_fields[name]
        lines += [f"  # {line}\n" for line in textwrap.wrap((field.description or "").rstrip(","), 116)]
        lines.append(f"  {camel(name)}: {json.dumps(field.default)}\n")
    return "".join(lines)


def files() -> dict[Path, str]:
    """Path -> text of every file of the chart that is written here, wholly or in part."""
    made = {CHART / "files" / "crds" / name: (ROOT / "crds" / name).read_text(encoding="utf-8") for name in COPIED}
    path = CHART / "values.schema.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["properties"]["settings"] = schema()
    ours = whole["properties"]["clusterTopology"]["properties"]
    ours["preset"], ours["spec"] = topology()
    made[path] = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    path = CHART / "values.yaml"
    between = re.compile(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", re.DOTALL)
    made[path] = between.sub(lambda _: values(), path.read_text(encoding="utf-8"))
    return made


def main() -> None:
    """Write them."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
