"""The final table: faults and results of each scenario."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HEAD = ("scenario", "faults injected", "tasks", "run calls", "verdicts", "stuck", "leaked")


@dataclass
class Scenario:
    """A row of the table. Figures that a scenario does not count are ``None``.

    :param name: name of the scenario.
    :param faults: injected faults.
    :param tasks: instant tests with a waiting task.
    :param run_calls: number of run calls, with any response.
    :param verdicts: verdicts by kind.
    :param stuck: task instances and triggers left at the end.
    :param leaked: places where the token was found.
    :param notes: further notes.
    """

    name: str
    faults: list[str] = field(default_factory=list)
    tasks: int | None = None
    run_calls: int | None = None
    verdicts: Counter[str] = field(default_factory=Counter)
    stuck: int | None = None
    leaked: int | None = None
    notes: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        """Return the cells as text."""
        faults = Counter(self.faults)
        described = [f"{count} x {name}" if count > 1 else name for name, count in faults.items()]
        return (
            self.name,
            ", ".join(described) or "none",
            _figure(self.tasks),
            _figure(self.run_calls),
            ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items()) or "-",
            _figure(self.stuck),
            _figure(self.leaked),
        )


def _figure(value: int | None) -> str:
    return "-" if value is None else str(value)


def markdown(scenarios: Iterable[Scenario]) -> str:
    """Return the table and the notes below it as Markdown."""
    scenarios = list(scenarios)
    rows: list[Sequence[str]] = [HEAD, ["---"] * len(HEAD), *(scenario.cells() for scenario in scenarios)]
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    lines += [f"\n{scenario.name}: {note}" for scenario in scenarios for note in scenario.notes]
    return "\n".join(lines) + "\n"


def aligned(scenarios: Iterable[Scenario], widest: int = 44) -> list[str]:
    """Return the table for a terminal, with wrapped cells."""
    scenarios = list(scenarios)
    rows = [
        [_wrapped(cell, widest) for cell in cells]
        for cells in (HEAD, *(scenario.cells() for scenario in scenarios))
    ]
    widths = [max(len(line) for row in rows for line in row[column]) for column in range(len(HEAD))]
    rows.insert(1, [["─" * width] for width in widths])
    lines = []
    for row in rows:
        for number in range(max(map(len, row))):
            cells = [cell[number] if number < len(cell) else "" for cell in row]
            lines.append("  ".join(map(str.ljust, cells, widths)).rstrip())
    return [*lines, *(f"{scenario.name}: {note}" for scenario in scenarios for note in scenario.notes)]


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]
