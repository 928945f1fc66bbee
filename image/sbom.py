"""Print a CycloneDX bill of materials of the Python environment that runs this: `python sbom.py muster`.

One component for each installed distribution, with its package URL and licence, and who needs whom. Only the standard
library is used, since it runs inside the environment that it describes. What the base image brings (Python itself, the
C library) is listed by the base image's own bill. The format: https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r";.*\bextra\s*==")


def canonical(name: str) -> str:
    """The name as the package index spells it: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def reference(distribution: Distribution) -> str:
    """The package URL, which is also the component's reference inside the bill."""
    return f"pkg:pypi/{canonical(distribution.name)}@{distribution.version}"


def licences(distribution: Distribution) -> list[dict[str, Any]]:
    """What the distribution says of its licence: an SPDX expression (PEP 639), else its own words."""
    metadata = distribution.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return [{"expression": expression}]
    told = [
        classifier.rsplit(" :: ", 1)[-1]
        for classifier in metadata.get_all("Classifier") or ()
        if classifier.startswith("License :: ") and " :: " in classifier.removeprefix("License :: ")
    ]
    text = metadata.get("License")
    # Some put the whole text into this field; the first line of a text names nothing.
    if not told and text and "\n" not in text.strip():
        told = [text.strip()]
    return [{"license": {"name": name}} for name in sorted(set(told))]


def component(distribution: Distribution, kind: str = "library") -> dict[str, Any]:
    """One entry of the bill; `kind` is a CycloneDX component type."""
    entry: dict[str, Any] = {
        "type": kind,
        "bom-ref": reference(distribution),
        "name": distribution.name,
        "version": distribution.version,
        "purl": reference(distribution),
    }
    summary = distribution.metadata.get("Summary")
    found = licences(distribution)
    return entry | ({"description": summary} if summary else {}) | ({"licenses": found} if found else {})


def needs(distribution: Distribution, installed: dict[str, Distribution]) -> list[str]:
    """References of the installed distributions that this one names; those of its extras are not its needs."""
    names = set()
    for requirement in distribution.requires or ():
        found = _NAME.match(requirement)
        if found and not _EXTRA.search(requirement):
            names.add(canonical(found[0]))
    return sorted(reference(installed[name]) for name in names if name in installed)


def bill(subject: str, environment: Iterable[Distribution]) -> dict[str, Any]:
    """The whole document about the distribution `subject` and all that is installed beside it.

    Raises KeyError where `subject` is not installed.
    """
    installed = {canonical(each.name): each for each in environment}
    about = installed.pop(canonical(subject))
    others = [installed[name] for name in sorted(installed)]
    installed[canonical(subject)] = about
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(about, "application")},
        "components": [component(each) for each in others],
        "dependencies": [{"ref": reference(each), "dependsOn": needs(each, installed)} for each in (about, *others)],
    }


def main(subject: str) -> int:
    """Print the bill of this interpreter's environment."""
    try:
        document = bill(subject, distributions())
    except KeyError:
        print(f"sbom: {subject} is not installed in {sys.prefix}", file=sys.stderr)
        return 1
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
