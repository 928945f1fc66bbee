"""What every object of the API has in common: metadata, owners, times."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

GROUP = "muster.dev"
JOB_KIND = "TrainingJob"


class Owner(msgspec.Struct, gc=False, rename="camel"):
    """An ownerReference."""

    kind: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool | None = None

    @property
    def is_job(self) -> bool:
        """It names a TrainingJob of ours."""
        return self.kind == JOB_KIND and self.api_version.partition("/")[0] == GROUP


class Meta(msgspec.Struct, rename="camel"):
    """The metadata that muster reads of builtin kinds."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    owner_references: list[Owner] | None = None


class Slim(msgspec.Struct):
    """An object by its metadata alone."""

    metadata: Meta


def version(text: object) -> int:
    """A resourceVersion as a number (KEP-5504: they are comparable); 0 for what is none."""
    return int(text) if isinstance(text, str) and len(text) <= 20 and text.isascii() and text.isdigit() else 0


@lru_cache(maxsize=65_536)
def millis(text: str | None) -> int | None:
    """An RFC 3339 time in ms since 1970; None for what is none."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    try:
        return round(time.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None


def precise(ms: int) -> str:
    """A time of day with its milliseconds, where whole seconds would say nothing."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def instant(ms: int) -> str:
    """A time as the API writes it, on whole seconds."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
