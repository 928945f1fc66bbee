"""What a private Docker daemon and the kubelets in it change on the host in spite of their namespaces, and undo it.

Network, mounts, processes and files they make are in namespaces of their own and end with them. Two things are the
kernel's alone: a kubelet sets some sysctls, and cgroups stay when those in them are killed. Both are noted in a file
before anything is begun, so that the next run can put right what a killed one left.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from e2e.kind.stages import say

CGROUP = "muster-kind"
"""The daemon's cgroup, below which are those of all its containers."""
SYSCTLS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
"""Those that a kubelet sets, in all namespaces at once."""
END_SECONDS = 20.0
"""How long processes that were killed may take to end."""
PROC = Path("/proc/sys")
CGROUPS = Path("/sys/fs/cgroup")


def record(note: Path) -> None:
    """Note the host's state; one noted earlier and not yet restored stands."""
    if note.exists():
        return
    state = {name: (PROC / name).read_text().strip() for name in SYSCTLS if (PROC / name).exists()}
    partial = note.with_suffix(".partial")
    partial.write_text(json.dumps(state))
    partial.replace(note)


def restore(note: Path) -> None:
    """Put back what was noted, and forget the note. The daemon must have ended."""
    if not note.exists():
        return
    for name, before in json.loads(note.read_text()).items():
        if (PROC / name).read_text().strip() != before:
            (PROC / name).write_text(before)
    deadline = time.monotonic() + END_SECONDS
    while (left := remove_cgroups()) and time.monotonic() < deadline:
        time.sleep(0.1)  # the kernel is still ending those in them
    if left:
        say(f"these cgroups are still in use and stay: {', '.join(map(str, left[:3]))}")
    note.unlink()


def remove_cgroups(root: Path = CGROUPS) -> list[Path]:
    """Remove our empty cgroups, of every hierarchy; return those that could not be."""
    left = []
    for top in [root / CGROUP, *root.glob(f"*/{CGROUP}")]:
        if top.is_dir():
            inner = sorted((path for path in top.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
            for path in [*inner, top]:
                with suppress(OSError):
                    path.rmdir()
                if path.exists():
                    left.append(path)
    return left
