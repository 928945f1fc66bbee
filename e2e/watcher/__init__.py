"""The safety watcher: follows the API and has `muster.safety` judge S1-S7 by what it saw.

Watcher(client).start() ... .quiet() ... .violations()
"""

from e2e.watcher.streams import Watcher
from muster.safety import Event, History, Violation, judge, report

__all__ = ["Event", "History", "Violation", "Watcher", "judge", "report"]
