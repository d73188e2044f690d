"""Unit and system tests on every supported Airflow and Python: ``make nox``, or ``nox``.

``nox --list`` lists the sessions. ``nox -t airflow-3.0`` runs the sessions of one Airflow version, ``nox -t quick`` one
session per version. Arguments after ``--`` go to pytest. Missing Python versions are skipped. Each session writes a
JUnit report to .nox/reports, and ``nox -s table`` prints the table of docs/versions.md from them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
REPORTS = ROOT / ".nox" / "reports"

# Airflow's minor versions with the Python versions that each supports. A session uses the newest patch.
AIRFLOWS = {
    "2.11": ("3.11", "3.12"),
    "3.0": ("3.11", "3.12"),
    "3.1": ("3.11", "3.12", "3.13"),
    "3.2": ("3.11", "3.12", "3.13"),
    "3.3": ("3.11", "3.12", "3.13"),
}

# Airflow's constraint files pin the versions of its release date. The sessions install the newest versions instead,
# except for packages that an older Airflow does not work with and does not bound itself:
#   fastapi, cadwyn   With fastapi 0.165 the API server rejects requests of Airflow's own task client ("Input should be
#                     a valid dictionary"), and cadwyn must match it. 3.0 uses the bounds of 3.1, 3.2 those of 3.3.
#   svcs              26 removes its registry from the application while the API server inside dag.test() still needs
#                     it: before 3.3 that server does not wait for its own start.
#   fab               draws the connection form of 3.0, as in the official images; later versions do not need it.
BOUNDS = {
    "3.0": ("fastapi<0.118", "cadwyn<6", "svcs<26", "apache-airflow-providers-fab"),
    "3.1": ("svcs<26",),
    "3.2": ("fastapi<0.137", "svcs<26"),
}


def _sessions() -> Iterator[object]:
    for airflow, pythons in AIRFLOWS.items():
        for python in pythons:
            tags = [f"airflow-{airflow}"] + ["quick"] * (python == "3.12")
            yield nox.param(python, airflow, id=f"airflow-{airflow}-python-{python}", tags=tags)


@nox.session
@nox.parametrize("python,airflow", list(_sessions()))
def tests(session: nox.Session, airflow: str) -> None:
    """Unit and system tests on the newest patch of an Airflow."""
    _run(session, f"airflow-{airflow}", f"apache-airflow=={airflow}.*", *BOUNDS.get(airflow, ()))


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The same on the lowest versions that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    _run(session, "lowest", *(bound.replace(">=", "==") for bound in project["dependencies"]))


@nox.session(python="3.12")
def prerelease(session: nox.Session) -> None:
    """The same on the newest pre-release of the next Airflow."""
    minor = int(list(AIRFLOWS)[-1].partition(".")[2]) + 1
    # A bound on a pre-release allows pre-releases of that package only.
    _run(
        session,
        "prerelease",
        f"apache-airflow>=3.{minor}.0b1",
        f"apache-airflow-core>=3.{minor}.0b1",
        f"apache-airflow-task-sdk>=1.{minor}.0b1",
    )


def _run(session: nox.Session, name: str, *requirements: str) -> None:
    session.install("-e", ".", *_test_tools(), *requirements)
    versions = session.run(
        "python",
        "-c",
        "import platform; from importlib.metadata import version;"
        " print(version('apache-airflow'), platform.python_version())",
        silent=True,
    )
    session.log("Airflow and Python: %s", versions)
    airflow, python = (versions or "? ?").split()
    session.run(
        "pytest",
        "tests/unit",
        "tests/system",
        f"--junitxml={REPORTS / f'{name}-{session.python}.xml'}",
        "-o",
        f"junit_suite_name={airflow} {python}",
        *session.posargs,
    )


def _test_tools() -> list[str]:
    """The packages of requirements/test.in in their locked versions."""
    lines = (ROOT / "requirements" / "test.in").read_text().splitlines()
    named = {re.split(r"[<>=!~ ]", line)[0] for line in lines}
    lock = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    return [line for line in lock if line.partition("==")[0] in named]


@nox.session(venv_backend="none")
def table(session: nox.Session) -> None:
    """Print the table of docs/versions.md from the reports in .nox/reports."""
    rows = []
    for report in REPORTS.glob("*.xml"):
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
        total, skipped, failed = (int(suite.get(name, 0)) for name in ("tests", "skipped", "failures"))
        failed += int(suite.get("errors", 0))
        airflow, python = suite.get("name", "? ?").split()
        date = suite.get("timestamp", "?").partition("T")[0]
        rows.append((airflow, python, date, total - skipped - failed, skipped, failed))
    rows.sort(key=lambda row: [int(part) for part in re.findall(r"\d+", f"{row[0]}.{row[1]}")])
    lines = ["| Airflow | Python | date | passed | skipped | failed |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    session.log("reports of %d sessions\n%s", len(rows), "\n".join(lines))
