"""Texts of others on one line of ours: what agents, tests and errors are called goes to logs, XCom and reports."""

from __future__ import annotations

from thousandeyes_provider.api.coerce import printable

LONGEST_TEXT = 200
"""Characters of any one text; a longer one ends in an ellipsis."""


def one_line(text: str, longest: int = LONGEST_TEXT) -> str:
    """``text`` as one line of at most ``longest`` characters, without any that a log could not show."""
    if len(text) <= longest and text.isprintable() and "  " not in text and text == text.strip():
        return text
    line = " ".join(printable(text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
