"""Where a pod's bound volumes let it run: claim by claim, the node affinity of the PersistentVolume behind it.

Source: Kubernetes documentation, "Persistent Volumes", section "Node affinity"; kube-scheduler's VolumeBinding.
"""

from __future__ import annotations

import msgspec

from muster.core.model import Term
from muster.kube.requests import SelectorTerm, term_of


class _Claim(msgspec.Struct, rename="camel"):
    claim_name: str = ""


class _Volume(msgspec.Struct, rename="camel"):
    persistent_volume_claim: _Claim | None = None


class _PodSpec(msgspec.Struct):
    volumes: list[_Volume] | None = None


class _Pod(msgspec.Struct):
    spec: _PodSpec


class _ClaimSpec(msgspec.Struct, rename="camel"):
    volume_name: str = ""


class _BoundClaim(msgspec.Struct):
    spec: _ClaimSpec


class _Required(msgspec.Struct, rename="camel"):
    node_selector_terms: list[SelectorTerm] | None = None


class _NodeAffinity(msgspec.Struct):
    required: _Required | None = None


class _VolumeSpec(msgspec.Struct, rename="camel"):
    node_affinity: _NodeAffinity | None = None


class _PersistentVolume(msgspec.Struct):
    spec: _VolumeSpec


def claims_of(pod: bytes) -> tuple[str, ...]:
    """The names of the PersistentVolumeClaims that a pod mounts, in order, each once."""
    volumes = msgspec.json.decode(pod, type=_Pod).spec.volumes or []
    named = (v.persistent_volume_claim.claim_name for v in volumes if v.persistent_volume_claim is not None)
    return tuple(dict.fromkeys(name for name in named if name))


def volume_of(claim: bytes) -> str:
    """The PersistentVolume that a claim is bound to; empty while it is bound to none."""
    return msgspec.json.decode(claim, type=_BoundClaim).spec.volume_name


def terms_of(volume: bytes) -> tuple[Term, ...] | None:
    """The terms of a PersistentVolume's required node affinity; None if it may be used anywhere."""
    affinity = msgspec.json.decode(volume, type=_PersistentVolume).spec.node_affinity
    if affinity is None or affinity.required is None:
        return None
    return tuple(term_of(term) for term in affinity.required.node_selector_terms or ())
