"""`python -m muster.embedded`: the API server on a loopback port, with machines or without, until interrupted.

It keeps nothing: when it ends, all is gone. For tests and demos.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from muster.embedded.cluster import EmbeddedCluster
from muster.embedded.http import HttpServer, kubeconfig, wall_clock
from muster.embedded.nodes.podlife import Delays
from muster.embedded.nodes.racks import TAINTS, Racks
from muster.embedded.server import Server
from muster.embedded.wire import Object, StatusError


def documents(paths: Sequence[Path]) -> Iterator[Object]:
    """The objects of YAML files and of directories of them, definitions first."""
    files = [file for path in paths for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    found = [each for file in files for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each]
    yield from sorted(found, key=lambda each: each.get("kind") != "CustomResourceDefinition")


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m muster.embedded", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument(
        "--crds", type=Path, action="append", default=[], help="file or directory to install, any often"
    )
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig here; clients then need its token")
    parser.add_argument("--token", help="the bearer token that clients need; without it one is made if needed")
    parser.add_argument("--racks", type=int, default=0, help="racks of 18 GB300 nodes to begin with")
    parser.add_argument("--machines", action="store_true", help="run a scheduler and kubelets, as --racks does")
    parser.add_argument("--without-kubelets", action="store_true", help="a scheduler alone: others run the pods")
    parser.add_argument("--start-delay", type=float, default=0.0, metavar="SECONDS", help="from bound to Running")
    parser.add_argument("--stop-delay", type=float, default=0.0, metavar="SECONDS", help="from SIGTERM to ended")
    parser.add_argument("--seed", type=int, default=0, help="of uids and generated names")
    return parser.parse_args(given)


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM."""
    server = Server(wall_clock, seed=options.seed)
    server.install(documents(options.crds))
    token = options.token or (secrets.token_urlsafe(24) if options.kubeconfig else None)
    machines = options.machines or options.without_kubelets or options.racks > 0
    http = HttpServer(server, token=token, drive=not machines)
    url = await http.start(options.port)
    if options.kubeconfig:
        options.kubeconfig.touch(mode=0o600)
        options.kubeconfig.write_text(kubeconfig(url, token), encoding="utf-8")
    driver: asyncio.Task[None] | None = None
    if machines:
        delays = Delays(options.start_delay, options.stop_delay)
        cluster = EmbeddedCluster(server, wall_clock, delays, kubelets=not options.without_kubelets)
        if options.racks:
            cluster.add(Racks(racks=options.racks, taints=TAINTS), wall_clock())
        driver = asyncio.create_task(cluster.run())
    # What is there now stays: no collection needs to walk it again.
    gc.freeze()
    print(url, flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    if driver is not None:
        driver.cancel()
        with suppress(asyncio.CancelledError):
            await driver
    await http.stop()


def main(given: Sequence[str] | None = None) -> int:
    """The entry point; the exit code."""
    try:
        asyncio.run(serve(arguments(sys.argv[1:] if given is None else given)))
    except (StatusError, OSError, yaml.YAMLError) as error:
        print(f"muster.embedded: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
