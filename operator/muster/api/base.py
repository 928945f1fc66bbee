"""What every model of this room shares: the base class, the bounded kinds of string, conditions.

pydantic holds the only copy of shapes, bounds and defaults; `schema.py` prints them into the CRDs.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "muster.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "muster.dev/v1alpha1"

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
QUALIFIED_NAME = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
# As controller-gen prints it; the API server of pods parses the same grammar.
QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
DAY = 86_400
YEAR = 365 * DAY


class Model(BaseModel):
    """A part of a custom resource: camelCase on the wire, frozen, unknown fields refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def list_map(*keys: str) -> dict[str, Any]:
    """Return the schema extensions of a list whose entries are told apart by `keys`; duplicates are refused."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}

LevelName = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
RoleName = Annotated[str, Field(min_length=1, max_length=16, pattern=DNS_LABEL)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
ResourceName = Annotated[str, Field(min_length=1, max_length=317, pattern=QUALIFIED_NAME)]
LabelValue = Annotated[str, Field(max_length=63)]
Message = Annotated[str, Field(max_length=32_768)]
Time = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
Anything = dict[str, Any]
Schema = dict[str, Any]


def quantity() -> Schema:
    """Return the structural schema of a resource quantity."""
    return {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "maxLength": 64,
        "pattern": QUANTITY_PATTERN,
        "x-kubernetes-int-or-string": True,
    }


class Metadata(BaseModel):
    """The part of an object's metadata that this room looks at; everything else is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, alias_generator=to_camel)

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Condition(Model):
    """One metav1.Condition."""

    type: str = Field(max_length=316, description="Kind of condition, in CamelCase.")
    status: str = Field(
        max_length=16, json_schema_extra={"enum": ["True", "False", "Unknown"]}, description="Whether it holds."
    )
    observed_generation: int | None = Field(
        default=None, description="metadata.generation that the condition was set for."
    )
    last_transition_time: Time = Field(description="When the status last changed.")
    reason: str = Field(max_length=1024, description="Why, as one CamelCase word.")
    message: Message = Field(default="", description="Why, in words.")
