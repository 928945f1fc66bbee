"""What an identity asked of the API server, by its audit log, and which rules of RBAC that needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.client import Object


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource (`pods/status`) of a group. `namespace`: where, empty for the whole cluster; `name`: the
    one object, empty for all."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {resource}{where}" + (f" ({self.name})" if self.name else "")

    def allows(self, asked: Right) -> bool:
        """Whether this right, as RBAC reads it, covers a request."""
        return (
            (self.group, self.resource, self.verb) == (asked.group, asked.resource, asked.verb)
            and self.namespace in ("", asked.namespace)
            and self.name in ("", asked.name)
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a resource: the right that it needs, whether it was given, and its query."""

    right: Right
    allowed: bool
    uri: str


def rights(documents: Iterable[Object]) -> Iterator[Right]:
    """All that the Roles and ClusterRoles among these documents allow, one verb of one resource at a time."""
    for document in documents:
        if document["kind"] not in ("Role", "ClusterRole"):
            continue
        namespace = document["metadata"].get("namespace", "")
        for rule in document["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames") or ("",):
                            yield Right(group, resource, verb, namespace, name)


def asked(log: Path, user: str, offset: int = 0) -> list[Asked]:
    """The requests for resources that this user made, from that byte of the audit log on. Discovery, which every
    identity may do, is no resource."""
    found = []
    with log.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            event = json.loads(line)
            where = event.get("objectRef")
            if event["user"].get("username") != user or event["stage"] == "RequestReceived" or where is None:
                continue
            resource = where["resource"] + (f"/{where['subresource']}" if where.get("subresource") else "")
            # A create names its object in the log; what is authorised is a create without a name.
            name = "" if event["verb"] in ("create", "list", "watch") else where.get("name", "")
            right = Right(where.get("apiGroup", ""), resource, event["verb"], where.get("namespace", ""), name)
            decision = (event.get("annotations") or {}).get("authorization.k8s.io/decision")
            found.append(Asked(right, decision == "allow", event["requestURI"]))
    return found
