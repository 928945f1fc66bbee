"""What becomes of an object: by a patch, and by a write that may touch only a part of it."""

from __future__ import annotations

from typing import Any

from muster.embedded.kinds import CRDS, Kind
from muster.embedded.patching import patches
from muster.embedded.wire import Object, bad_request


def patched(kind: Kind, live: Object, body: Any, media: str) -> Object:
    """What a patch makes of an object; `media` says which kind of patch it is. StatusError (400, 422, 500)."""
    if media == patches.JSON_PATCH:
        new = patches.json_patch(live, body)
    elif not isinstance(body, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    elif media == patches.MERGE:
        new = patches.merge(live, body)
    else:
        new = patches.strategic(live, body, kind.merge_keys)
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        raise bad_request("error decoding patch: what it makes is no object with metadata")
    name = new["metadata"].get("name")
    if name != live["metadata"]["name"]:
        if not name:
            raise bad_request("name must be provided")
        where = f"does not match the name on the URL ({live['metadata']['name']})"
        raise bad_request(f"the name of the object ({name}) {where}")
    if new.get("kind") != kind.kind or new.get("apiVersion") != kind.api_version:
        raise bad_request(f"the patch makes a {new.get('apiVersion')} {new.get('kind')} of a {kind.kind}")
    return new


def split(kind: Kind, new: Object, old: Object, subresource: str) -> Object:
    """What a write to this path may touch: through `status` the status, otherwise all but the status."""
    if subresource == "status":
        if kind.crd is not None:
            meta = dict(old["metadata"])
            if "managedFields" in new["metadata"]:
                meta["managedFields"] = new["metadata"]["managedFields"]
        else:
            meta = new["metadata"]
        result = {**old, "metadata": meta}
        result.pop("status", None)
        if "status" in new:
            result["status"] = new["status"]
        return result
    if kind.status and kind.group != CRDS:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    elif kind.status and "status" in old:
        new["status"] = old["status"]
    return new


def changed(new: Object, old: Object) -> bool:
    """Whether a write changes what metadata.generation counts."""
    ignored = ("metadata", "status")
    return {k: v for k, v in new.items() if k not in ignored} != {k: v for k, v in old.items() if k not in ignored}
