"""Which of the two ways a run takes, and what each needs to have ready."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from e2e.kind import docker, needs, python_base
from e2e.kind.node import parts
from e2e.kind.stages import say


@dataclass(frozen=True, slots=True)
class Materials:
    """What images are made from without an image registry."""

    node: parts.Parts
    bases: python_base.Bases


def published_image() -> str:
    """The node image that this version of kind takes by default."""
    text = (parts.kind_module() / "pkg/apis/config/defaults/image.go").read_text()
    found = re.search(r'Image = "([^"]+)"', text)
    if found is None:
        raise LookupError("kind's source does not name its default node image where it did")
    return found[1]


def choose() -> Materials | None:
    """None where the Docker daemon can pull kind's published image; else the materials, prepared for a daemon of ours.

    Raises KindError where neither can be.
    """
    image = published_image()
    if docker.answers() and docker.can_pull(image):
        say(f"with this machine's Docker and {image.partition('@')[0]}")
        return None
    say("no Docker daemon that can pull images: with one of our own, and a node image of our own")
    needs.ensure()
    return materials()


def materials() -> Materials:
    """Make the materials, or find them in the cache. Both at once: one mostly computes, the other downloads."""
    with ThreadPoolExecutor() as pool:
        node, bases = pool.submit(parts.gather), pool.submit(python_base.prepare)
        return Materials(node.result(), bases.result())
