"""Structured logs: one line a record, JSON or for people, ours and those of every library through the same door.

What a user wrote (names, messages, exit texts) can end up in any field; no text begins a line of its own: JSON escapes
it, and the console form escapes control characters, ESC included.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

FIRST = ("job", "attempt", "node")
"""The fields that readers filter by; they come first."""
_COLOURS = {"debug": "\x1b[2m", "info": "", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_EXPECTED = ("OS signals are ignored: running not in the main thread.",)
"""What kopf warns of although it is meant to be so."""


def get(name: str, **fields: object) -> structlog.stdlib.BoundLogger:
    """A logger; `fields` (job, attempt, node) are bound to every line of it."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(f"muster.{name}", **fields)
    return logger


def configure(
    level: str = "info", form: Literal["auto", "json", "console"] = "auto", out: TextIO | None = None
) -> None:
    """Route everything to `out` (standard error by default). May be called again; the last call counts."""
    stream = sys.stderr if out is None else out
    terminal = stream.isatty()
    as_json = form == "json" or (form == "auto" and not terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=list(FIRST)),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Loggers are made at import time, before the command line is known.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                json_line if as_json else Console(colours=terminal and "NO_COLOR" not in os.environ),
            ],
        )
    )
    handler.addFilter(_not_expected)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their debug lines carry whole objects, and one line per request.
    for library in ("kopf", "aiohttp", "asyncio", "urllib3", "kubernetes"):
        logger = logging.getLogger(library)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel("WARNING" if level != "debug" else "INFO")


def json_line(_logger: object, _method: str, event: EventDict) -> str:
    """Render as one line of JSON, in ASCII: other line separators of Unicode are escaped too."""
    return json.dumps(_ordered(event), default=repr)


class Console:
    """Render for people: time, level, sentence, fields; a traceback follows, each line set off by a bar."""

    def __init__(self, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _logger: object, _method: str, event: EventDict) -> str:
        """Render one record."""
        fields = _ordered(event)
        time = str(fields.pop("timestamp", ""))[11:19]
        level = str(fields.pop("level", ""))
        sentence = escape(str(fields.pop("event", "")))
        trace = str(fields.pop("exception", "") or "")
        fields.pop("logger", None)
        rest = "".join(f" {escape(str(name))}={_value(value)}" for name, value in fields.items())
        line = f"{time} {level:7} {sentence}{rest}"
        if trace:
            line += "".join(f"\n      | {escape(part)}" for part in trace.splitlines())
        colour = _COLOURS.get(level, "") if self._colours else ""
        return f"{colour}{line}\x1b[0m" if colour else line


def escape(text: str) -> str:
    """The text with everything that could move a cursor or begin a line made visible."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _value(value: object) -> str:
    text = escape(value if isinstance(value, str) else repr(value))
    return repr(text) if isinstance(value, str) and (" " in text or not text or "=" in text) else text


def _ordered(event: MutableMapping[str, Any]) -> dict[str, Any]:
    head = ("timestamp", "level", "event", *FIRST)
    ordered = {name: event[name] for name in head if name in event}
    ordered.update((name, value) for name, value in event.items() if name not in ordered)
    return ordered


def _not_expected(record: logging.LogRecord) -> bool:
    return record.msg not in _EXPECTED
