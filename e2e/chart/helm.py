"""Run helm on the chart of this repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

from e2e.client import Object
from e2e.harness import ROOT
from e2e.tools.build import PROGRAMS

CHART = ROOT / "helm" / "muster"
SETS = tuple(sorted((CHART / "ci").glob("*-values.yaml")))
"""Sets of values: all off, all on, and realistic ones."""
RELEASE = "muster"
NAMESPACE = "muster-system"


def helm(
    *words: str, home: Path, kubeconfig: Path | None = None, given: str | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run helm, its own files below `home`, `given` on its standard input; raises AssertionError with its words where
    it fails and `check` is set."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
    env |= {"HELM_CACHE_HOME": str(home), "HELM_CONFIG_HOME": str(home), "HELM_DATA_HOME": str(home)}
    # Without a cluster it must not find one by chance.
    env["KUBECONFIG"] = str(kubeconfig or os.devnull)
    command = [str(PROGRAMS.build(["helm"]) / "helm"), *words]
    done = subprocess.run(command, env=env, input=given, capture_output=True, text=True, check=False, timeout=300)
    if check and done.returncode != 0:
        raise AssertionError(f"helm {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done


def template(home: Path, *words: str, values: Iterable[Path] = ()) -> list[Object]:
    """The objects that the chart renders to, hooks among them."""
    files = [word for path in values for word in ("--values", str(path))]
    return [each for each in yaml.load_all(_rendered(home, (*files, *words)), Loader=yaml.CSafeLoader) if each]


@cache
def _rendered(home: Path, words: tuple[str, ...]) -> str:
    """A second each, mostly for the custom resources."""
    return helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *words, home=home).stdout
