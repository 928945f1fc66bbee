"""The health rules that each preset brings, from what the makers of the signals document.

Drain where the maker says that the device is gone or that the machine is about to be taken away; Avoid where the sign
may be the application's own (an Xid can come of a program's fault) or may pass by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from muster.core.model import HealthAction, HealthRule

SETTLE = 60_000
"""Pods stay this long (ms) on a node whose detector may still change its mind: detectors look about once a minute."""


def _bad(*types: str, drain: bool = False, status: str = "True") -> tuple[HealthRule, ...]:
    action = HealthAction.DRAIN if drain else HealthAction.AVOID
    return tuple(HealthRule("condition", type_, status, action, SETTLE if drain else 0) for type_ in types)


def _label(key: str, value: str | None, action: HealthAction) -> HealthRule:
    return HealthRule("label", key, value, action)


_NVSENTINEL = "dgxc.nvidia.com/nvsentinel-state"
_HYPERPOD = "sagemaker.amazonaws.com/node-health-status"
_COREWEAVE = "node.coreweave.cloud/state"

COMMON = (
    # Node Problem Detector, as it comes.
    *_bad("KernelDeadlock", "ReadonlyFilesystem"),
    # NVSentinel: it drains by itself and says when; to go at once, as one repair, is cheaper than pod by pod.
    _label(_NVSENTINEL, "draining", HealthAction.DRAIN),
    _label(_NVSENTINEL, None, HealthAction.AVOID),
    *_bad("GpuNvlinkWatch", "GpuMemWatch", "SysLogsXIDError"),
)
"""From detectors that run in any cluster; every preset has them."""

_CLOUDS: Mapping[str, tuple[HealthRule, ...]] = {
    "Azure": (
        *_bad("GPUMissing", "NVLinkStatusInactive", drain=True),
        *_bad("XIDErrors", "IBLinkFlapping"),
    ),
    "AWS": (
        *_bad("AcceleratedHardwareReady", drain=True, status="False"),
        _label(_HYPERPOD, "UnschedulablePendingReplacement", HealthAction.DRAIN),
        _label(_HYPERPOD, "UnschedulablePendingReboot", HealthAction.DRAIN),
        _label(_HYPERPOD, "Unschedulable", HealthAction.AVOID),
    ),
    "GKE": (
        HealthRule("taint", "cloud.google.com/impending-node-termination", None, HealthAction.DRAIN),
        _label("cloud.google.com/active-node-maintenance", "ONGOING", HealthAction.DRAIN),
    ),
    "OCI": (
        *_bad("GpuCount", "GpuBus", "RdmaLink", drain=True),
        *_bad("GpuXid", "GpuEcc", "GpuRowRemap", "RdmaLinkFlapping"),
    ),
    "CoreWeave": (_label(_COREWEAVE, "triage", HealthAction.AVOID),),
}


def preset_rules(preset: str) -> tuple[HealthRule, ...]:
    """The rules of a preset. Auto and Custom, which name no cloud, have those of all of them: a rule whose sign no node
    shows does nothing."""
    if preset in ("Auto", "Custom"):
        return (*COMMON, *(rule for rules in _CLOUDS.values() for rule in rules))
    return (*COMMON, *_CLOUDS.get(preset, ()))
