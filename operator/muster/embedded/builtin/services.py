"""Services: ports, addresses, names."""

from __future__ import annotations

import re
from zlib import crc32

from muster.embedded.builtin.behaviour import Behaviour, Causes
from muster.embedded.metadata import bad, label_fault, required
from muster.embedded.storage.state import State
from muster.embedded.wire import Object

_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


class Services(Behaviour):
    """See the module."""

    returns_deleted = True
    create_on_update = True

    def name_fault(self, name: str) -> str:
        """Names are DNS labels that begin with a letter."""
        return "" if _SERVICE_NAME.fullmatch(name) else _SERVICE_RULE

    def default(self, obj: Object) -> None:
        """Ports get a protocol and a target, the Service its type."""
        spec = obj.setdefault("spec", {})
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        for key, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
            if not spec.get(key):
                spec[key] = value
        if spec["type"] != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")

    def prepare(self, state: State, obj: Object) -> None:
        """An address, unless it is headless or external."""
        spec = obj["spec"]
        obj["status"] = {"loadBalancer": {}}
        if spec["type"] == "ExternalName":
            return
        if not spec.get("clusterIP"):
            # An address that looks like one of a service range; nobody listens there.
            number = crc32(f"{obj['metadata'].get('namespace')}/{obj['metadata'].get('name')}".encode())
            spec["clusterIP"] = f"10.96.{number >> 8 & 255}.{number & 255}"
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def prepare_change(self, state: State, new: Object, old: Object, subresource: str) -> None:
        """What was given stays where nothing is said."""
        for part in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not new["spec"].get(part) and part in old["spec"]:
                new["spec"][part] = old["spec"][part]

    def check(self, obj: Object) -> Causes:
        """What is wrong with its ports."""
        return _service(obj["spec"])

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        """Ports, and the address that may not change."""
        yield from _service(new["spec"])
        before, after = old["spec"], new["spec"]
        if before.get("type") != "ExternalName" and after.get("clusterIP") != before.get("clusterIP"):
            yield bad("spec.clusterIPs[0]", [after.get("clusterIP")], "may not change once set")


def _service(spec: Object) -> Causes:
    if not spec.get("ports") and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        yield required("spec.ports")
    ports = spec.get("ports") or []
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            yield required(f"{path}.name")
        if port.get("name") and (fault := label_fault(port["name"])):
            yield bad(f"{path}.name", port["name"], fault)
        number = port.get("port") or 0
        if not 1 <= number <= 65535:
            yield bad(f"{path}.port", number, "must be between 1 and 65535, inclusive")
