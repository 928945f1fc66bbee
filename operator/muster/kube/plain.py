"""Text that somebody else wrote, made fit for one line that others read.

A program's last words, the name of an image or the reason of a webhook end up in the status of a job, in Events, and on
the terminal of whoever looks at them. There they must not move the cursor, hide what stands before them, or look like
lines of ours.
"""

from __future__ import annotations

LONGEST = 32_768
"""What metav1.Condition allows a message."""


def plain(text: str) -> str:
    r"""The text in one line: line breaks and tabs become spaces; what a terminal acts on (ESC and the other control
    characters) or what reorders and hides text (Unicode's format characters) becomes visible, as in `\x1b`."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def clipped(message: str, most: int = LONGEST) -> str:
    """The message in one line, or its beginning where the API would refuse it for its length."""
    message = plain(message)
    return message if len(message) <= most else message[: most - 1] + "…"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    return character.encode("unicode_escape").decode("ascii")
