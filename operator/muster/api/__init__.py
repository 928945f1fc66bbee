"""The custom resources as their users see them: shape, bounds, defaults, rules between fields, and the CRDs.

Contract. pydantic holds the only copy of shapes, bounds and defaults; each rule between fields is one `Rule`, whose
CEL goes into the CRD and whose function judges a manifest without an API server, with the same sentence. `parse_job`
and `parse_topology` return a model or a list of `FieldError`s and never raise. What depends on the cluster (an unknown
level, a segment larger than a domain) is not judged here: that is a verdict. `crds.render()` gives the files under
crds/. Imports nothing of muster's other rooms, no Kubernetes client and no kopf.
"""

from muster.api.clustertopology import ClusterTopology, ClusterTopologySpec, Level, PodDefaults
from muster.api.parse import check_job_update, parse_job, parse_topology
from muster.api.rules import Rule
from muster.api.status import Phase, TrainingJobStatus
from muster.api.structural import FieldError
from muster.api.trainingjob import Role, RoleTopology, Segment, TrainingJob, TrainingJobSpec

__all__ = [
    "ClusterTopology",
    "ClusterTopologySpec",
    "FieldError",
    "Level",
    "Phase",
    "PodDefaults",
    "Role",
    "RoleTopology",
    "Rule",
    "Segment",
    "TrainingJob",
    "TrainingJobSpec",
    "TrainingJobStatus",
    "check_job_update",
    "parse_job",
    "parse_topology",
]
