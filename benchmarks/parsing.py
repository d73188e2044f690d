"""The cost of the operator when Airflow parses a DAG file."""

from __future__ import annotations

import compileall
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from world import Row, median, ratio

_DAG = """
from datetime import datetime
from airflow.sdk import DAG
{imports}

with DAG("measured", schedule=None, start_date=datetime(2025, 1, 1)):
    {task}
"""

_FILES = {
    "ours": (
        "from thousandeyes_provider.operators.instant_test import RunInstantTestOperator",
        'RunInstantTestOperator(task_id="task", test_id="202701", test_type="http-server")',
    ),
    "HttpOperator": (
        "from airflow.providers.http.operators.http import HttpOperator",
        'HttpOperator(task_id="task", endpoint="v7/tests/202701/run")',
    ),
    "BaseOperator": ("from airflow.sdk import BaseOperator", 'BaseOperator(task_id="task")'),
}

_MANY = {
    "ours": (
        _FILES["ours"][0],
        """for number in range(200):
        RunInstantTestOperator(
            task_id=f"task_{number}", test_id=str(number), test_type="http-server",
            checks={
                "http-server": {
                    "responseTime": {"p95": {"leq_to": 800 + number}},
                    "responseCode": {"equal_to": 200},
                    "totalTime": {"every": {"less_than": 950, "quorum": 0.8}},
                }
            },
        )""",
    ),
    "HttpOperator": (
        _FILES["HttpOperator"][0],
        """for number in range(200):
        HttpOperator(task_id=f"task_{number}", endpoint=f"v7/tests/{number}/run")""",
    ),
}

_PARSE = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
import airflow.dag_processing.processor
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
DagBag({warm!r})
processor = time.process_time()
bag = DagBag({path!r})
first = time.process_time() - processor
assert bag.dags and not bag.import_errors, bag.import_errors
took = []
for _ in range(20):
    processor = time.process_time()
    DagBag({path!r})
    took.append(time.process_time() - processor)
print(json.dumps([first, sorted(took)[10]]))
"""


def parse_cost(rounds: int = 3) -> list[Row]:
    """Parse a DAG file with one task: the operator, an ``HttpOperator``, or a ``BaseOperator``; and one with 200 tasks.

    Each parse runs in a new process that has loaded Airflow's DAG processor and parsed an empty file, like the
    processes that Airflow forks. The first figure is the processor time for imports and parsing, the second for
    parsing again with everything imported: the median of 20. The files take turns. Of the 200 tasks, each has three
    checks of its own.
    """
    # An installed package is compiled. A checkout may not be.
    compileall.compile_dir(Path(__file__).parents[1] / "thousandeyes_provider", quiet=1)
    first, again = _parse_times(_FILES, rounds)
    _, many = _parse_times(_MANY, rounds)
    ours = first["ours"]
    rows = [
        Row(
            "first parse, with imports (ms)",
            f"{ours:.1f}",
            f"{first[name]:.1f} {name}",
            ratio(ours, first[name]),
            "<= 15 ms" if name == "HttpOperator" else "",
            ours <= 15 if name == "HttpOperator" else None,
        )
        for name in ("HttpOperator", "BaseOperator")
    ]
    for what, figures, name, target in (
        ("parse again (ms)", again, "HttpOperator", None),
        ("parse again (ms)", again, "BaseOperator", 1.1),
        ("parse 200 tasks with checks again (ms)", many, "HttpOperator", 1.5),
    ):
        times = figures["ours"] / figures[name]
        rows.append(
            Row(
                what,
                f"{figures['ours']:.2f}",
                f"{figures[name]:.2f} {name}",
                f"{times:.2f} x",
                "" if target is None else f"<= {target:g} x",
                None if target is None else times <= target,
            )
        )
    return rows


def _parse_times(files: dict[str, tuple[str, str]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the milliseconds of the first and of a later parse of each file."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in files}
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.py"
        warm.write_text(_DAG.format(imports="", task="pass"))
        for name, (imports, task) in files.items():
            (Path(folder) / f"{name}.py").write_text(_DAG.format(imports=imports, task=task))
        for _ in range(rounds):
            for name in files:
                code = _PARSE.format(warm=str(warm), path=str(Path(folder) / f"{name}.py"))
                done = subprocess.run(
                    [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60, check=True
                )
                first, again = json.loads(done.stdout.splitlines()[-1])
                figures[name].append((first * 1000, again * 1000))
    return tuple(  # type: ignore[return-value]
        {name: median(pair[position] for pair in pairs) for name, pairs in figures.items()}
        for position in (0, 1)
    )
