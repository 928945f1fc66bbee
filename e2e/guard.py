"""Run a command that cannot outlive the process that started it.

`python guard.py PARENT COMMAND...` asks the kernel to kill this process when its parent
ends, however that ends (kill -9 included), and becomes COMMAND: the pid stays the same,
so signals go where they are meant to. A wrapper and not a preexec_fn, because running
Python between fork and exec is unsafe in a process with threads.

The kernel watches the *thread* that started us: start long-lived commands from a thread
that lives as long as they should. Off Linux there is no such call, and only the orderly
stop ends the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind our life to the parent's and exec the command."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"guard: prctl: {os.strerror(ctypes.get_errno())}")
        # The parent may have died before the call above: then nobody would ever send the signal.
        if os.getppid() != parent:
            sys.exit("guard: the parent is gone already")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
