"""Where each kind is listed and watched, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass

from muster.core.model import Kind
from muster.kube import parse, paths
from muster.kube.wire import Decoder


@dataclass(frozen=True, slots=True)
class Source:
    """Where a kind is listed and how it is read."""

    path: str
    decoder: Decoder
    label_selector: str = ""


OURS = "app.kubernetes.io/managed-by=muster"
SOURCES = {
    Kind.NODE: Source(paths.nodes(), parse.decoder(Kind.NODE)),
    Kind.POD: Source(paths.pods(), parse.decoder(Kind.POD)),
    Kind.CHILD: Source(paths.services(), parse.decoder(Kind.CHILD), OURS),
    Kind.PRIORITY_CLASS: Source(paths.priority_classes(), parse.decoder(Kind.PRIORITY_CLASS)),
    Kind.QUOTA: Source(paths.resource_quotas(), parse.decoder(Kind.QUOTA)),
    Kind.TOPOLOGY: Source(paths.clustertopologies(), parse.decoder(Kind.TOPOLOGY)),
    Kind.JOB: Source(paths.trainingjobs(), parse.decoder(Kind.JOB)),
}
