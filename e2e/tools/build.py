"""helm and kind, built from Go modules once per version.

`python -m e2e.tools.build` prints the directory that holds them; with names, only those are built.
"""

from __future__ import annotations

import sys
from pathlib import Path

from e2e.gobuild import STRIPPED, Programs

PROGRAMS = Programs(
    name="tools",
    module=Path(__file__).resolve().parent,
    packages={"helm": "helm.sh/helm/v4/cmd/helm", "kind": "sigs.k8s.io/kind"},
    leading="helm.sh/helm/v4",
    # What `helm version` reports; kind knows its own.
    flags=lambda version: f"{STRIPPED} -X helm.sh/helm/v4/internal/version.version={version}",
)

if __name__ == "__main__":
    sys.exit(PROGRAMS.main(lambda: PROGRAMS.build(sys.argv[1:])))
