"""The safety checker: judges S1-S7 by the history of the API alone, and shares no code with the operator.

`record` keeps the history (one line an event, of every kind, in the order of the server's revisions), `replay` goes
through it and puts each event to the checks, `judge_*` and `judges` are the checks, `world` is what they see. Who
watches the API fills the history: `muster demo`, the end-to-end tests. One that was written to a file is judged again
with

    python -m muster.safety history.jsonl
"""

from muster.safety.record import Event, History
from muster.safety.replay import Violation, judge, report

__all__ = ["Event", "History", "Violation", "judge", "report"]
