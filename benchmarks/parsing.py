"""The cost of the operator when Airflow parses a DAG file."""

from __future__ import annotations

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
processor = time.process_time()
for _ in range(20):
    DagBag({path!r})
again = (time.process_time() - processor) / 20
print(json.dumps([first, again]))
"""


def parse_cost(rounds: int = 3) -> list[Row]:
    """Parse a DAG file with one task: the operator, an ``HttpOperator``, or a ``BaseOperator``.

    Each parse runs in a new process that has loaded Airflow's DAG processor and parsed an empty file, like the
    processes that Airflow forks. The first figure is the processor time for imports and parsing, the second for
    parsing again with everything imported. The three take turns.
    """
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in _FILES}
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.py"
        warm.write_text(_DAG.format(imports="", task="pass"))
        for name, (imports, task) in _FILES.items():
            (Path(folder) / f"{name}.py").write_text(_DAG.format(imports=imports, task=task))
        for _ in range(rounds):
            for name in _FILES:
                code = _PARSE.format(warm=str(warm), path=str(Path(folder) / f"{name}.py"))
                done = subprocess.run(
                    [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60, check=True
                )
                first, again = json.loads(done.stdout.splitlines()[-1])
                figures[name].append((first * 1000, again * 1000))
    rows = []
    for position, what in enumerate(("first parse, with imports (ms)", "parse again (ms)")):
        ours, *others = (median(pair[position] for pair in figures[name]) for name in _FILES)
        for name, other in zip(list(_FILES)[1:], others, strict=True):
            rows.append(Row(what, f"{ours:.1f}", f"{other:.1f} {name}", ratio(ours, other)))
    return rows
