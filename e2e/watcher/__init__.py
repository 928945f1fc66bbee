"""The safety watcher: sees only the API, shares no code with the operator, judges S1-S7.

`record` keeps the history (one line an event, every kind, in the order of etcd's
revisions), `streams` fills it from watches, `replay` goes through it and puts each event to
the checks, `judge_*` are the checks. A history can be written and judged again later:

    Watcher(client).start() ... .quiet() ... .violations()
    python -m e2e.watcher history.jsonl
"""

from e2e.watcher.record import Event, History
from e2e.watcher.replay import Violation, judge, report
from e2e.watcher.streams import Watcher

__all__ = ["Event", "History", "Violation", "Watcher", "judge", "report"]
