"""What the operators log in simulated time: kept, and not printed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog

PROCESS: ContextVar[str] = ContextVar("journal", default="")
"""Whose code runs, for the journal."""
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "exception": 40, "critical": 50}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log. `at` in seconds since the beginning; `level` as logging's."""

    at: float
    process: str
    level: int
    text: str


class Journal(logging.Handler):
    """Takes what is logged below `muster`, and through structlog, while it is `open`. Not for two at once."""

    def __init__(self, now: Callable[[], float], level: int = logging.WARNING) -> None:
        super().__init__(level)
        self.lines: list[Line] = []
        self._now = now

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {record.exc_info[1]!r}"
        self._add(record.levelno, text)

    def note(self, text: str) -> None:
        """Somebody says what happens."""
        self._add(logging.INFO, text)

    def _add(self, level: int, text: str) -> None:
        self.lines.append(Line(self._now(), PROCESS.get(), level, text))

    def _structured(self, _logger: object, method: str, event: Any) -> Any:
        level = _LEVELS.get(method, 20)
        if level >= self.level:
            rest = "".join(f" {key}={value}" for key, value in event.items() if key != "event")
            self._add(level, f"{event.get('event')}{rest}")
        raise structlog.DropEvent

    @property
    def defects(self) -> list[str]:
        """Programming errors that were met."""
        return [f"{line.process}: {line.text}" for line in self.lines if "defect" in line.text]

    @contextmanager
    def open(self) -> Iterator[None]:
        """Take what is logged, and leave the configuration as it was."""
        logger = logging.getLogger("muster")
        before = (list(logger.handlers), logger.propagate, logger.level)
        known = structlog.get_config() if structlog.is_configured() else None
        logger.handlers, logger.propagate = [self], False
        logger.setLevel(self.level)
        structlog.configure(
            processors=[self._structured],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.ReturnLoggerFactory(),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            logger.handlers, logger.propagate = before[0], before[1]
            logger.setLevel(before[2])
            if known is None:
                structlog.reset_defaults()
            else:
                structlog.configure(**known)
