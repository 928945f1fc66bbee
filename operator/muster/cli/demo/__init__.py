"""`muster demo`: a cluster of its own, a story played on it, drawn and judged.

The contract. `command` starts two children over loopback, the embedded API with its machines and the real operator, and
leaves nothing behind however it ends (`leash`). `story` says what happens, `play` makes it happen, `screen` shows it,
`summary` is its table; the judgement is `muster.safety`'s, from the API's own history.
"""

from muster.cli.demo.command import command

__all__ = ["command"]
