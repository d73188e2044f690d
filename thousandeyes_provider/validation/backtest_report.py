"""The outcome of a backtest as one self-contained HTML file: a picture of the rounds, and tables.

The file contains no script and makes no request.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.validation.backtest import Backtest

DAY = 86400
WIDTH, ROW, LABEL = 960, 16, 90
"""Pixels: the width of a day, the height of its row, and the space for its date."""

MAX_ROWS = 500
"""Rows of a table; the number of the others is stated below it."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #1d2433 }}
svg {{ width: 100%; height: auto }}
svg text {{ font-size: 11px; fill: #56617a }}
.passed {{ fill: #b9dfc6 }} .failed {{ fill: #c62828 }} .inconclusive {{ fill: #e08a00 }} .baseline {{ fill: #d8dde8 }}
.gap {{ fill: #ffffff }}
table {{ border-collapse: collapse }}
td, th {{ border-bottom: 1px solid #d8dde8; padding: 4px 12px 4px 0; text-align: left; vertical-align: top }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
{body}
</body>
</html>
"""


def backtest_report(outcome: Backtest) -> str:
    """The outcome as an HTML page.

    :param outcome: the outcome of a backtest with at least one round.
    """
    history = outcome.history
    name = f" {history.test_name!r}" if history.test_name else ""
    body = ["<h2>Rounds by day (UTC)</h2>", *_picture(outcome)]
    for title, rows in outcome.tables().items():
        body += [f"<h2>{title}</h2>", *_table(rows)]
    body += [f"<p>Note: {html.escape(note)}</p>" for note in outcome.notes]
    return _PAGE.format(
        title=html.escape(f"Backtest of test {history.test_id}{name} ({history.test_type})"),
        summary=html.escape(f"The gate {outcome.summary()}."),
        body="\n".join(body),
    )


def _picture(outcome: Backtest) -> Iterator[str]:
    """A row for each day; a mark for each round that would not have passed."""
    rounds, interval = outcome.history.rounds, outcome.history.interval or 60.0
    first, last = rounds[0] // DAY, rounds[-1] // DAY
    height = ROW * (last - first + 1) + ROW
    yield (
        f'<svg viewBox="0 0 {LABEL + WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(outcome.summary())}">'
    )
    for day in range(first, last + 1):
        yield f'<text x="0" y="{ROW * (day - first) + 12}">{iso_time(day * DAY)[:10]}</text>'
    end = rounds[-1] + interval
    first_judged = outcome.judged[0].round_id if outcome.judged else end
    yield from _marks(first, "baseline", rounds[0], first_judged, "baseline only")
    yield from _marks(first, "passed", first_judged, end)
    for start, end in outcome.history.gaps:
        yield from _marks(first, "gap", start + interval, end)
    for kind, judged_rounds in (("inconclusive", outcome.inconclusive), ("failed", outcome.failed)):
        for judged in judged_rounds:
            title = f"{iso_time(judged.round_id)} {judged.verdict.value}: {judged.reason}"
            yield from _marks(first, kind, judged.round_id, judged.round_id + interval, title)
    for hour in range(0, 25, 6):
        anchor = "end" if hour == 24 else "start"
        yield (
            f'<text x="{LABEL + WIDTH * hour / 24:g}" y="{height - 3}" text-anchor="{anchor}">{hour:02d} h</text>'
        )
    yield "</svg>"
    yield "<p>Green: passed. Red: failed. Orange: inconclusive. Gray: baseline only. White: no round.</p>"


def _marks(first: int, kind: str, start: float, end: float, title: str = "") -> Iterator[str]:
    """The part of each day between two times."""
    for day in range(int(start // DAY), int(end // DAY) + 1):
        left, right = max(start - day * DAY, 0), min(end - day * DAY, DAY)
        if right <= left:
            continue
        yield (
            f'<rect class="{kind}" x="{LABEL + WIDTH * left / DAY:.1f}" y="{ROW * (day - first) + 1}" '
            f'width="{max(WIDTH * (right - left) / DAY, 1.5):.1f}" height="{ROW - 2}">'
            f"<title>{html.escape(title or kind)}</title></rect>"
        )


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{html.escape(column)}</th>" for column in rows[0]) + "</tr>"
    for row in rows[:MAX_ROWS]:
        yield "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>"
    yield "</table>"
    if len(rows) > MAX_ROWS:
        yield f"<p>{len(rows) - MAX_ROWS} more rows are in the output of --output json.</p>"


def _cell(value: Any) -> str:
    text = html.escape(str(value))
    return f'<a href="{text}" rel="noreferrer">ThousandEyes</a>' if text.startswith("https://") else text
