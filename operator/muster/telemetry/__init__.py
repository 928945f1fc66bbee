"""Prometheus metrics in a registry of their own, and the small HTTP server for them and for the probes.

No label names a job (api.md, Metrics). What counts decisions is counted by the leader alone, or two replicas would add
up to twice of everything; gauges of the world are computed when they are scraped.
"""

from muster.telemetry.endpoints import Endpoints
from muster.telemetry.gauges import accelerators, nodes_bucket
from muster.telemetry.metrics import Telemetry

__all__ = ["Endpoints", "Telemetry", "accelerators", "nodes_bucket"]
