r"""Regular expressions of checks, in bounded time.

Python's ``re`` tries all ways to match, which takes exponential time for patterns such as ``(a+)+$``, and polynomial
time for patterns with several unbounded repeats. :func:`pattern_error` refuses the first kind, and
:func:`compile_pattern` bounds the text by the second, so that one search takes well under a second.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_PATTERN = 500
"""Characters of a pattern."""

MANY = 16
"""A repeat of more counts as unbounded."""

MAX_WAYS = 100_000
"""Ways to match the bounded repeats and the alternatives of a pattern."""

TEXT_LIMITS = (100_000, 100_000, 10_000, 300)
"""Characters of the text that is searched, by the degree of a pattern: a search takes up to the text length to the
power of the degree."""


@dataclass
class _Group:
    """A group while the pattern is scanned.

    :param atomic: whether it gives nothing back once it has matched.
    :param repeats: unbounded repeats in it.
    :param ways: ways to match its bounded repeats and alternatives.
    :param starts: the first character of each alternative; empty for one that is not a literal character.
    :param tokens: its characters and sets in their order; a group is an empty text.
    :param atoms: the same, with an empty text for what is repeated.
    """

    atomic: bool = False
    repeats: int = 0
    ways: int = 1
    starts: list[str] = field(default_factory=list)
    alternatives: int = 1
    tokens: list[str] = field(default_factory=list)
    atoms: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Count the alternatives, unless the first character decides between them."""
        decided = len(self.starts) == self.alternatives == len(set(self.starts)) and all(self.starts)
        if self.alternatives > 1 and not decided:
            self.ways *= self.alternatives

    @property
    def ambiguous(self) -> bool:
        """Whether it can match in several ways, so that repeating it takes exponential time."""
        return not self.atomic and not self._separated and (self.repeats > 0 or self.ways > 1)

    @property
    def _separated(self) -> bool:
        """Whether it begins or ends with a character that nothing else in it matches, such as ``(\\.\\d+)*``."""
        if self.alternatives > 1 or "" in self.tokens or len(self.atoms) < 2:
            return False
        return any(
            _literal(self.atoms[place])
            and not any(
                re.fullmatch(token, _literal(self.atoms[place]), re.DOTALL | re.IGNORECASE)
                for token in others
            )
            for place, others in ((0, self.tokens[1:]), (-1, self.tokens[:-1]))
        )


_TOKEN = re.compile(
    r"""
      (?P<escape>\\.)
    | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<open>\((?:\?(?:P<\w+>|<[=!]|[aiLmsux-]*:|[=!>]|P=\w+\)|[aiLmsux]+\)|\#[^)]*\)|\(\w+\)))?)
    | (?P<close>\))
    | (?P<either>\|)
    | (?P<repeat>[*+?]|\{\d*,?\d*\})(?P<mode>[?+]?)
    | (?P<char>.)
    """,
    re.DOTALL | re.VERBOSE,
)

_SET_OPERATION = re.compile(r"\[\[|\[\^?+.+?(--|&&|~~|\|\|)", re.DOTALL)
"""Syntax that a later Python may parse as a nested set, or as a difference, intersection or union of sets."""


def pattern_error(pattern: str) -> str:
    """Return why a pattern is not valid or could take too long; empty when it is fine."""
    if len(pattern) > MAX_PATTERN:
        return f"expected a regular expression of at most {MAX_PATTERN} characters, got {len(pattern)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # raised once only: _scan finds such sets
            compiled = re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        return f"not a regular expression: {error}"
    if compiled.flags & re.VERBOSE:
        return "the verbose mode (?x) is not supported"
    scanned = _scan(pattern)
    if scanned.problem:
        return scanned.problem
    if scanned.degree >= len(TEXT_LIMITS):
        return (
            f"a search can take too long; expected at most {len(TEXT_LIMITS) - 2} unbounded repeats "
            "such as .* before the end of the pattern, or one more after a leading ^"
        )
    return ""


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a function that searches a text for a pattern, in the first characters that a search has time for.

    ``^`` and ``$`` match at line ends. A pattern that cannot match a line end is searched line by line.

    :param pattern: a pattern without :func:`pattern_error`.
    """
    compiled = re.compile(pattern, re.MULTILINE)
    scanned = _scan(pattern)
    limit = TEXT_LIMITS[scanned.degree]
    if scanned.multiline:
        return lambda text: compiled.search(text[:limit]) is not None
    return lambda text: any(
        compiled.search(line[:limit]) is not None for line in text[: TEXT_LIMITS[0]].split("\n")
    )


@dataclass(frozen=True)
class _Scanned:
    """The result of a scan of a pattern.

    :param problem: an ambiguous set, or a repetition that takes exponential time; empty for none.
    :param degree: the power of the text length that bounds the time of a search.
    :param multiline: whether it can match a line end.
    """

    problem: str
    degree: int
    multiline: bool


def _scan(pattern: str) -> _Scanned:
    groups = [_Group()]
    repeated: _Group | None = None  # the group that a quantifier would repeat; None for a single character
    atom = ""  # the token that a quantifier would repeat
    anchored: bool | None = None
    multiline = re.search(r"\(\?[a-zA-Z]*[sm-]", pattern) is not None  # flags that change line ends
    trailing = ""  # the token of an unbounded repeat at the end of the pattern
    for token in _TOKEN.finditer(pattern):
        kind, text, group = token.lastgroup, token.group(), groups[-1]
        if token.group("repeat"):
            low, high = _bounds(token.group("repeat"))
            inner, repeated = repeated, None
            if group.atoms:
                group.atoms[-1] = ""
            trailing = atom if high > MANY and len(groups) == 1 else ""
            ambiguous = inner is not None and inner.ambiguous and token.group("mode") != "+"
            if inner is not None and high <= MANY:
                group.repeats += inner.repeats * (high - 1)
                # No more than can be compared with the bound.
                group.ways = min(group.ways * min(inner.ways, MAX_WAYS + 1) ** max(high - 1, 0), MAX_WAYS + 1)
            if (high > MANY and ambiguous) or group.ways > MAX_WAYS:
                repetition = pattern[max(token.end() - 30, 0) : token.end()]
                return _Scanned(
                    f"nested repetition in {repetition!r} can take exponential time; "
                    "expected no repeat or alternative of varying length inside a repeated group",
                    0,
                    True,
                )
            if high > MANY:
                group.repeats += 1
            elif low != high:
                group.ways *= high - low + 1
            continue
        if not (text == "$" and trailing == "."):
            trailing = ""
        if token.group("open"):
            if text.startswith("(?P="):
                group.repeats += 1
            if not text.endswith(")") or text.startswith("(?("):  # no flags, comment or reference
                groups.append(_Group(atomic=text == "(?>"))
            continue
        if token.group("close"):
            repeated = groups.pop()
            repeated.close()
            groups[-1].repeats += repeated.repeats
            groups[-1].ways *= repeated.ways
            groups[-1].tokens.append("")
            groups[-1].atoms.append("")
            atom = ")"
            continue
        repeated = None
        if kind == "set" and _SET_OPERATION.match(re.sub(r"\\.", "x", text)):
            return _Scanned(
                f"ambiguous: possible nested set or set operation in {text!r}; escape special characters in a set",
                0,
                True,
            )
        if token.group("either"):
            group.alternatives += 1
            continue
        atom = text
        group.tokens.append(text)
        group.atoms.append(text)
        if anchored is None:
            anchored = text in ("^", r"\A")
        if len(group.starts) < group.alternatives:
            group.starts.append(_literal(text).casefold())
        if kind == "escape" and text[1].isdigit():  # a reference to a group
            group.repeats += 1
        multiline = multiline or _matches_line_end(kind, text)
    whole = groups[0]
    whole.close()
    free_start = not anchored or whole.alternatives > 1
    degree = whole.repeats - bool(trailing) + free_start + (whole.ways > MANY)
    return _Scanned("", degree, multiline)


def _matches_line_end(kind: str | None, text: str) -> bool:
    if kind == "set":
        return text.startswith("[^") or re.search(r"\\[nsWDS]|\n", text) is not None
    return text in (r"\n", r"\r", r"\s", r"\S", r"\W", r"\D", r"\A", r"\Z", "\n")


def _literal(text: str) -> str:
    """The character that a token matches; empty when it matches several or none."""
    if len(text) == 1:
        return "" if text in ".^$" else text
    return text[1] if len(text) == 2 and text[0] == "\\" and not text[1].isalnum() else ""


def _bounds(repeat: str) -> tuple[int, int]:
    """The least and greatest number of a quantifier."""
    if repeat in "*+?":
        return {"*": (0, 1 << 31), "+": (1, 1 << 31), "?": (0, 1)}[repeat]
    low, comma, high = repeat[1:-1].partition(",")
    least = int(low or 0)
    return least, (int(high) if high else 1 << 31) if comma else least
