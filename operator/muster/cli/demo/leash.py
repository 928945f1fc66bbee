"""Runs a module that must not outlive whoever started it.

    python -m muster.cli.demo.leash DIRECTORY MODULE ARGUMENT...

Standard input is a pipe whose other end only the parent holds. When that end closes, however the parent ended (kill -9
included), the directory (if one is named; `-` for none) is removed, and this process is asked to stop and then made to.
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import sys
import threading
import time

GRACE_SECONDS = 3.0


def main() -> None:
    """Take hold of the leash, then become the module."""
    _, directory, module, *arguments = sys.argv
    threading.Thread(target=_hold, args=(directory,), daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _hold(directory: str) -> None:
    while os.read(0, 4096):
        pass
    # First: once the module ends, this thread ends with it.
    if directory != "-":
        shutil.rmtree(directory, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
