"""``make bench``: measure the provider and its alternatives, print tables and write RESULTS.md.

Each measurement runs in its own process, in which the alternatives take turns. ``--only NAME`` runs one measurement
(see ``--list``) and writes nothing. ``--again NAME`` replaces its section of RESULTS.md. ``--quick`` runs some
measurements with fewer repeats in less than 3 minutes, writes nothing, and reports ratios that are more than 25 %
above those in RESULTS.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import world
from world import Row

MEASUREMENTS = {
    "calls": ("calls", "per_call", "A call over TLS"),
    "start": ("cold_start", "cold_start", "Cold start of a task"),
    "parsing": ("parsing", "parse_cost", "Parsing a DAG file"),
    "large": ("large_rounds", "large_rounds", "Large rounds"),
    "waits": ("waits", "thousand_waits", "A thousand deferred waits in one triggerer"),
    "schedule": ("schedule", "schedules", "Polling schedules"),
    "polls": ("waits", "cost_of_polls", "What a poll costs"),
    "memory": ("waits", "cost_of_waiting", "What waiting costs"),
    "first": ("waits", "first_trigger", "The first trigger of a triggerer"),
    "triggerers": ("waits", "four_triggerers", "Four triggerers and another client"),
    "mapped": ("mapped", "mapped_runs", "240 mapped deferrable runs"),
    "workers": ("workers", "twenty_workers", "Twenty synchronous tasks"),
    "requests": ("workers", "requests_of_a_run", "Requests per run"),
    "sdk": ("workers", "official_sdk", "The official SDK in a loop"),
}
"""Module, function and heading of each measurement."""

QUICK: dict[str, dict[str, int]] = {
    "start": {"rounds": 4},
    "calls": {"rounds": 6},
    "parsing": {"rounds": 2},
    "schedule": {},
    "large": {"repeats": 3},
}
"""Measurements of ``--quick`` to the arguments that shorten them."""

TOLERATED = 1.25
"""Factor by which a ratio may grow before ``--quick`` reports it."""

LIMIT = 420
"""Seconds after which a measurement is aborted."""

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"

PROFILES = "Targets that are not met"
"""Heading of the manually written section of RESULTS.md with profiles of missed targets."""

INTRODUCTION = """# Measurements

Written by `make bench`. Compare the ratios: absolute figures depend on the machine. Simulated seconds are seconds of
ThousandEyes' windows and agents, which the simulator shortens. Other load on the machine lengthens wall-clock times,
loop lag included, more than processor times.
"""


def machine() -> str:
    """Describe the machine and the installed versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = {
        "Airflow": "apache-airflow",
        "http provider": "apache-airflow-providers-http",
        "aiohttp": "aiohttp",
        "requests": "requests",
        "official SDK": "thousandeyes-sdk-core",
    }
    parts = [
        f"{os.cpu_count()} cores",
        f"{memory:.0f} GiB",
        platform.system(),
        f"Python {platform.python_version()}",
    ]
    return ", ".join([*parts, *(f"{name} {version(package)}" for name, package in packages.items())])


def measure(name: str, *, quick: bool) -> list[Row]:
    """Run one measurement in this process."""
    module, function, _ = MEASUREMENTS[name]
    arguments = QUICK.get(name, {}) if quick else {}
    rows: list[Row] = getattr(importlib.import_module(module), function)(**arguments)
    return rows


def in_child(name: str, *, quick: bool = False) -> list[Row]:
    """Run one measurement in its own process."""
    command = [sys.executable, __file__, "--only", name, "--json", *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return [Row(name, f"aborted after {LIMIT} s", met=False)]
    if done.returncode:
        return [Row(name, "failed", met=False)]
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def table(rows: list[Row]) -> str:
    """Format the rows as an aligned Markdown table."""
    cells = [("", "provider", "alternative", "ratio", "target", "")]
    words = {True: "met", False: "**missed**", None: ""}
    cells += [(row.what, row.ours, row.other, row.ratio, row.target, words[row.met]) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(6)]

    def line(values: tuple[str, ...]) -> str:
        return (
            "| " + " | ".join(value.ljust(width) for value, width in zip(values, widths, strict=True)) + " |"
        )

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def how(name: str) -> str:
    """Return the method of a measurement: the docstring of its function."""
    module, function, _ = MEASUREMENTS[name]
    text = getattr(importlib.import_module(module), function).__doc__ or ""
    return "\n".join(line.strip() for line in text.strip().splitlines())


def section(name: str) -> tuple[str, int]:
    """Run and print a measurement. Return its section of RESULTS.md and the number of missed targets."""
    heading = MEASUREMENTS[name][2]
    print(f"\n{heading}", flush=True)
    before = os.getloadavg()[0]
    rows = in_child(name)
    print(table(rows), flush=True)
    load = f"Load average at start and end: {before:.0f}, {os.getloadavg()[0]:.0f}."
    text = f"## {heading}\n\n{how(name)}\n\n{load}\n\n{table(rows)}\n"
    return text, sum(row.met is False for row in rows)


def with_sections(old: str, sections: Mapping[str, str]) -> str:
    """Return RESULTS.md with some sections replaced, in the order of the measurements; :data:`PROFILES` comes last."""
    parts = {part.splitlines()[0]: part for part in old.split("## ")[1:]}
    parts |= {heading: text.removeprefix("## ") for heading, text in sections.items()}
    order = [*(heading for *_, heading in MEASUREMENTS.values()), PROFILES]
    body = "\n".join(f"## {parts[heading].strip()}\n" for heading in order if heading in parts)
    return f"{INTRODUCTION}\n{machine()}.\n\n{body}"


def written_by_hand(old: str) -> str:
    """Return the sections of RESULTS.md that no measurement writes."""
    parts = [part for part in old.split("## ")[1:] if part.splitlines()[0] == PROFILES]
    return "".join(f"## {part}" for part in parts)


def row_key(heading: str, what: str, alternative: str) -> tuple[str, str, str]:
    """Return the key of a row, without figures, so that it is the same in every run."""
    return heading, what, re.sub(r"^[\d.,; ]+", "", alternative)


def ratios_in(text: str) -> dict[tuple[str, str, str], float]:
    """Return the ratios in RESULTS.md by row."""
    ratios, heading = {}, ""
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and (match := re.match(r"([\d.]+) x", cells[3])):
            ratios[row_key(heading, cells[0], cells[2])] = float(match[1])
    return ratios


def worse_rows(heading: str, rows: list[Row], before: Mapping[tuple[str, str, str], float]) -> list[str]:
    """Return a line for each row whose ratio is more than a quarter above the earlier ratio."""
    lines = []
    for row in rows:
        now = re.match(r"([\d.]+) x", row.ratio)
        then = before.get(row_key(heading, row.what, row.other))
        if now and then and float(now[1]) > TOLERATED * then:
            lines.append(f"{heading}: {row.what}: {row.ratio} of {row.other}; RESULTS.md: {then:.2f} x")
    return lines


def run_quick() -> int:
    """Run the short version and report rows that got worse. Return the exit status."""
    began = time.monotonic()
    before = ratios_in(RESULTS.read_text() if RESULTS.exists() else "")
    worse, failed = [], []
    for name in QUICK:
        heading = MEASUREMENTS[name][2]
        rows = in_child(name, quick=True)
        print(f"\n{heading}\n{table(rows)}", flush=True)
        worse += worse_rows(heading, rows, before)
        failed += [f"{heading}: {row.ours}" for row in rows if row.what == name and row.met is False]
    print(f"\n{time.monotonic() - began:.0f} s")
    for title, lines in (("Failed", failed), ("Worse by more than a quarter", worse)):
        if lines:
            print(f"{title}:", *(f"- {line}" for line in lines), sep="\n")
    if not worse and not failed:
        print("Nothing got worse by more than a quarter.")
    return 1 if worse or failed else 0


def main() -> int:
    """Run all measurements, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=MEASUREMENTS)
    parser.add_argument("--again", choices=MEASUREMENTS, nargs="+")
    parser.add_argument("--quick", action="store_true", help="the short version")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{name:12}{heading}" for name, (_, _, heading) in MEASUREMENTS.items()))
        return 0
    if given.only:
        world.prepare()
        rows = measure(given.only, quick=given.quick)
        print(json.dumps([asdict(row) for row in rows]) if given.json else table(rows))
        return 0
    if given.quick:
        return run_quick()
    began, missed = time.monotonic(), 0
    old = RESULTS.read_text() if RESULTS.exists() else ""
    old = old if given.again else written_by_hand(old)
    for name in given.again or MEASUREMENTS:
        text, fewer = section(name)
        missed += fewer
        # Written after each measurement, so that an interrupted run keeps its results.
        old = with_sections(old, {MEASUREMENTS[name][2]: text})
        RESULTS.write_text(old)
    took = time.monotonic() - began
    print(f"\n{missed} targets missed; {took:.0f} s; written to {RESULTS.relative_to(world.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
