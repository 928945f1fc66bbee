"""checkov on the chart as it renders and on the Dockerfile: `python -m e2e.chart.scan CHECKOV`.

What it finds is mended, or explained where it looks for that: in annotations of the object (templates/_helpers.tpl) and
in comments of the Dockerfile. all-off-values.yaml is left out: it turns off what the checks ask for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from e2e.chart.helm import SETS, template
from e2e.harness import ROOT

OPTIONS = ("--quiet", "--compact", "--skip-download")
LEFT_OUT = {"all-off-values.yaml"}


def render(directory: Path, home: Path) -> None:
    """Write what each set of values renders to. Custom resources are left out: nothing is checked in them, slowly."""
    for values in SETS:
        if values.name not in LEFT_OUT:
            found = [each for each in template(home, values=[values]) if each["kind"] != "CustomResourceDefinition"]
            (directory / values.name).write_text(yaml.safe_dump_all(found))


def main(checkov: str) -> int:
    """Scan both; 0 if nothing is left to be explained."""
    # It would ask a package index whether there is a newer one.
    env = os.environ | {"CKV_SKIP_PACKAGE_UPDATE_CHECK": "TRUE"}
    with tempfile.TemporaryDirectory() as scratch:
        rendered = Path(scratch) / "rendered"
        rendered.mkdir()
        render(rendered, Path(scratch))
        chart = [checkov, "--framework", "kubernetes", "--directory", str(rendered), *OPTIONS]
        image = [checkov, "--framework", "dockerfile", "--file", str(ROOT / "Dockerfile"), *OPTIONS]
        return max(subprocess.run(command, env=env, check=False).returncode for command in (chart, image))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
