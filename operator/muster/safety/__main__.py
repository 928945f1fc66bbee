"""Judge a dumped history: prints the violations, ends with 1 if there are any."""

import sys
from pathlib import Path

from muster.safety import History, judge, report

history = History.load(Path(sys.argv[1]))
found = judge(history)
print(report(found, history) if found else f"{len(history.events)} events, no violation")
sys.exit(1 if found else 0)
