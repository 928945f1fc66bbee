"""Stand-in for a training program, run by every rank: `python train.py [--seconds N]`.

It does what a trainer's start depends on, with the standard library alone: checks the variables that muster sets, finds
each rank by its DNS name, and reduces a number over all ranks in a ring of TCP connections, once a second. Its first
line on stdout is JSON: rank, size, attempt, sum, domains. Then it goes on for N seconds and ends with 0. Where a
neighbour is lost it waits, as a collective does, to be ended; a wrong variable or sum ends it with 2 at once.
"""

import argparse
import json
import os
import re
import signal
import socket
import sys
import time

RENDEZVOUS_SECONDS = 120.0
PATIENCE_SECONDS = 900.0
"""How long a rank whose neighbour is lost waits to be ended, before it ends with 3."""


class WrongError(Exception):
    """A variable or a sum is not what it must be."""


def seat(env: dict[str, str]) -> tuple[int, int]:
    """This pod's rank and the number of ranks, where all variables agree."""
    rank, size = int(env["MUSTER_RANK"]), int(env["MUSTER_ROLE_SIZE"])
    role = re.sub(r"\W", "_", env["MUSTER_ROLE"]).upper()
    wanted = {
        "PET_NODE_RANK": str(rank),
        "PET_NNODES": str(size),
        "GROUP_RANK": str(rank),
        "PET_MASTER_ADDR": env[f"MUSTER_ADDR_{role}"],
        "MASTER_ADDR": env[f"MUSTER_ADDR_{role}"],
        "PET_RDZV_ENDPOINT": f"{env[f'MUSTER_ADDR_{role}']}:{env['PET_MASTER_PORT']}",
    }
    for name, value in wanted.items():
        if env.get(name) != value:
            raise WrongError(f"{name} is {env.get(name)!r} and not {value!r}")
    if not 0 <= rank < size or int(env["MUSTER_SEGMENT_RANK"]) > rank:
        raise WrongError(f"rank {rank} of {size}, {env['MUSTER_SEGMENT_RANK']} of its segment")
    host = socket.gethostname()
    if env["PET_LOCAL_ADDR"].partition(".")[0] != host or not env["PET_RDZV_ID"].endswith(f"-{env['MUSTER_ATTEMPT']}"):
        raise WrongError(f"host {host}, PET_LOCAL_ADDR={env['PET_LOCAL_ADDR']}, PET_RDZV_ID={env['PET_RDZV_ID']}")
    return rank, size


def address(env: dict[str, str], rank: int, size: int) -> str:
    """The DNS name of another rank: as our own, with its number."""
    before = f"{env['MUSTER_JOB']}-{env['MUSTER_ROLE']}-"
    own = env["PET_LOCAL_ADDR"]
    width = len(str(size - 1))
    return f"{before}{rank:0{width}d}{own[len(before) + width :]}"


def resolve(name: str) -> str:
    """The address behind a name; waits for it, since a pod gets its address when it starts."""
    deadline = time.monotonic() + RENDEZVOUS_SECONDS
    while True:
        try:
            return socket.gethostbyname(name)
        except OSError as error:
            if time.monotonic() > deadline:
                raise WrongError(f"{name} is not found: {error}") from None
            time.sleep(0.2)


def connect(host: str, port: int) -> socket.socket:
    """A connection to a rank; waits for it to listen."""
    deadline = time.monotonic() + RENDEZVOUS_SECONDS
    while True:
        try:
            return socket.create_connection((host, port), timeout=5)
        except OSError as error:
            if time.monotonic() > deadline:
                raise WrongError(f"{host}:{port} does not answer: {error}") from None
            time.sleep(0.2)


class Ring:
    """Connections to the next rank and from the one before."""

    def __init__(self, env: dict[str, str], rank: int, size: int) -> None:
        self.size = size
        port = int(env["PET_MASTER_PORT"])
        with socket.create_server(("", port)) as server:
            after = connect(resolve(address(env, (rank + 1) % size, size)), port)
            server.settimeout(RENDEZVOUS_SECONDS)
            before, _ = server.accept()
        for each in (after, before):
            each.settimeout(None)
        self.send, self.receive = after.makefile("w"), before.makefile("r")

    def sum(self, number: int) -> int:
        """The sum of every rank's number: each passes on what it was given, size - 1 times."""
        total = passed = number
        for _ in range(self.size - 1):
            self.send.write(f"{passed}\n")
            self.send.flush()
            line = self.receive.readline()
            if not line:
                raise ConnectionError("the rank before has closed")
            passed = int(line)
            total += passed
        return total


def main() -> int:
    """Take part in the job; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.0)
    seconds: float = parser.parse_args().seconds
    # A first process has no default for signals.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    env = dict(os.environ)
    rank, size = seat(env)
    for other in range(size):
        resolve(address(env, other, size))
    ring = Ring(env, rank, size)
    domains = {name[14:].lower(): value for name, value in env.items() if name.startswith("MUSTER_DOMAIN_")}
    end = time.monotonic() + seconds
    told = False
    try:
        while not told or time.monotonic() < end:
            total = ring.sum(rank + 1)
            if total != size * (size + 1) // 2:
                raise WrongError(f"the sum over {size} ranks is {total}")
            if not told:
                line = {"rank": rank, "size": size, "attempt": int(env["MUSTER_ATTEMPT"]), "sum": total}
                print(json.dumps(line | {"domains": domains}), flush=True)
                told = True
            time.sleep(min(1.0, max(0.0, end - time.monotonic())))
    except OSError as error:
        print(f"a neighbour is lost: {error}", flush=True)
        time.sleep(PATIENCE_SECONDS)
        return 3
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (WrongError, KeyError) as error:
        sys.exit(f"train.py: {error!r}")
