"""An OCI runtime for hosts that lack CAP_SYS_RESOURCE: asks for what the kernel would grant, then becomes runc.

dockerd runs it as `python runc.py ARGUMENTS...` in place of runc. On such a host a privileged container fails, since
its configuration names a capability that nobody there has, and so do higher limits than one's own and an OOM score
below one's own. From the configuration of `create`, `run` and `exec --process` these three are removed. Its form:
https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

LACKING = "CAP_SYS_RESOURCE"
WITH_VALUE = ("--bundle", "-b", "--process", "-p")


def lessen(process: dict[str, Any], own_score: int) -> None:
    """Take from a `process` object of the configuration what the kernel would refuse."""
    for kind, names in (process.get("capabilities") or {}).items():
        process["capabilities"][kind] = [name for name in names or () if name != LACKING]
    process.pop("rlimits", None)
    if (process.get("oomScoreAdj") or 0) < own_score:
        process["oomScoreAdj"] = own_score


def options(arguments: list[str]) -> tuple[str | None, dict[str, str]]:
    """Return runc's command and the values of the options that name a file."""
    command = None
    values: dict[str, str] = {}
    before = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if before in WITH_VALUE:
            values[before] = argument
        elif equals and name in WITH_VALUE:
            values[name] = value
        elif command is None and argument in ("create", "run", "exec"):
            command = argument
        before = argument
    return command, {"bundle": values.get("--bundle") or values.get("-b") or "."} | (
        {"process": process} if (process := values.get("--process") or values.get("-p")) else {}
    )


def rewrite(path: Path, inside: str | None, own_score: int) -> None:
    """Lessen the process in a file of the configuration: under the key `inside`, or the whole."""
    document = json.loads(path.read_text())
    lessen(document[inside] if inside else document, own_score)
    path.write_text(json.dumps(document))


def main(arguments: list[str]) -> None:
    """Rewrite what is to be rewritten and become runc."""
    command, values = options(arguments)
    own_score = int(Path("/proc/self/oom_score_adj").read_text())
    if command in ("create", "run"):
        rewrite(Path(values["bundle"], "config.json"), "process", own_score)
    elif command == "exec" and "process" in values:
        rewrite(Path(values["process"]), None, own_score)
    program = shutil.which("runc") or sys.exit("runc.py: there is no runc on the PATH")
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
