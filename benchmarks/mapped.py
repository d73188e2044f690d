"""240 mapped runs under the limit of 24 runs per minute."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from world import LIMIT, RUN_LIMIT, WINDOW, Row, World, budget, quiet, scale_pace

SLOTS = 8
"""Worker slots: tasks that execute concurrently."""

RETRIES = 3
"""Task retries of a careful DAG author. Airflow's default is 0."""


class MappedTask:
    """A mapped task instance, executed as in Airflow: each part in a worker slot with a new operator object.

    :param operator: the operator.
    :param map_index: index of the mapped task.
    """

    def __init__(self, operator: Any, map_index: int) -> None:
        self.operator, self.pushed = operator, {}
        instance = SimpleNamespace(
            xcom_push=self._push,
            xcom_pull=self._pull,
            dag_id="measured",
            task_id="validate",
            run_id="manual",
            try_number=1,
            map_index=map_index,
            max_tries=0,
        )
        self.context = {"ti": instance}

    def _push(self, key: str, value: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))

    def _pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        return self.pushed.get(key)

    async def run(self, slots: ThreadPoolExecutor) -> Any:
        """Execute the task in the slots and its triggers on this event loop."""
        from airflow.providers.common.compat.sdk import TaskDeferred

        loop = asyncio.get_running_loop()
        step: Callable[[], Any] = self._execute
        while True:
            try:
                return await loop.run_in_executor(slots, step)
            except TaskDeferred as deferral:
                step = self._resuming(deferral, await self._event(deferral))

    def _execute(self) -> Any:
        return self.operator.execute(self.context)

    @staticmethod
    async def _event(deferral: Any) -> Any:
        classpath, arguments = deferral.trigger.serialize()
        module, _, name = classpath.rpartition(".")
        trigger = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
        return (await anext(trigger.run())).payload

    def _resuming(self, deferral: Any, event: Any) -> Callable[[], Any]:
        self.operator = copy.copy(self.operator)
        for name in ("hook", "_reader", "_run_memory", "_carried"):
            self.operator.__dict__.pop(name, None)
        return lambda: self.operator.resume_execution(deferral.method_name, {"event": event}, self.context)


def mapped_runs(speed: float = 8.0, count: int = 240) -> list[Row]:
    """Run 240 mapped deferrable ``RunInstantTestOperator`` tasks: 8 worker slots, one triggerer, 24 runs per minute.

    The limits are ThousandEyes' defaults with windows ``speed`` times shorter. The shortest possible time is nine
    windows (the runs of the tenth start immediately) plus one round, whose slowest agent takes 20 simulated seconds.

    The alternative is 240 mapped ``HttpOperator`` tasks that send the run call only, since the http provider cannot
    distinguish the new round from the old. A failed task retries after ``retry_delay``: 60 simulated seconds, the best
    value for this limit (Airflow's default is 300). The time of the scheduler is not counted. Retries are unlimited;
    the table shows how many tasks would pass within three. Both run at the same time, each with its own simulator.
    """
    quiet()
    scale_pace(speed)
    with ThreadPoolExecutor(2) as both:
        running, beside = both.submit(_ours, speed, count), both.submit(_theirs, speed, count)
        ours, log, verdicts = running.result()
        theirs, their_tries = beside.result()
    shortest = (-(-count // RUN_LIMIT) - 1) * WINDOW + 20
    runs = [request for request in log if request["operation"] == "run"]
    accepted = [request["test_id"] for request in runs if request["status"] == 200]
    once = len(accepted) == len(set(accepted)) == count
    usage = budget(log, LIMIT, WINDOW / speed)
    tries, their_calls = sum(their_tries), sum(their_tries) / count
    return [
        Row(
            "passed; run exactly once",
            f"{verdicts} of {count}; {'yes' if once else 'no'}",
            f"{sum(tried <= RETRIES + 1 for tried in their_tries)} of {count} within {RETRIES} retries: HttpOperator",
            target=f"{count}, exactly once",
            met=verdicts == count and once,
        ),
        Row(
            "total time (simulated s)",
            f"{ours:.0f}",
            f"{theirs:.0f} HttpOperator, run call only",
            f"{ours / shortest:.2f} x of {shortest:.0f}, the shortest",
            "<= 1.15 x",
            ours <= 1.15 * shortest,
        ),
        Row(
            "run calls per run",
            f"{len(runs) / count:.2f}",
            f"{their_calls:.2f} HttpOperator",
            f"{len(runs) / tries:.2f} x",
            "<= 1.5",
            len(runs) / count <= 1.5,
        ),
        Row("requests per run", f"{len(log) / count:.1f}"),
        Row(
            f"429 of the organization; smallest remainder of {LIMIT} at a reset",
            f"{usage.refused - sum(request['status'] == 429 for request in runs)}; {usage.least_left}",
        ),
    ]


def _ours(speed: float, count: int) -> tuple[float, list[dict[str, Any]], int]:
    from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

    with World(speed, organization_limit=LIMIT, instant_limit=RUN_LIMIT) as world:
        world.connections("thousandeyes")
        tests = [world.add_test(agents=3, delays=20, history=[300])["test_id"] for _ in range(count)]
        tasks = [
            MappedTask(
                RunInstantTestOperator(
                    task_id="validate",
                    test_id=test_id,
                    test_type="http-server",
                    poll_interval=20 / speed + 0.2,
                    deferrable=True,
                ),
                number,
            )
            for number, test_id in enumerate(tests)
        ]

        async def all_of_them() -> list[Any]:
            with ThreadPoolExecutor(SLOTS) as slots:
                async with asyncio.timeout(200):
                    return await asyncio.gather(*(task.run(slots) for task in tasks), return_exceptions=True)

        began = time.monotonic()
        outcomes = asyncio.run(all_of_them())
        took = (time.monotonic() - began) * speed
        log = world.requests()
    passed = sum(isinstance(outcome, dict) and outcome["verdict"] == "passed" for outcome in outcomes)
    return took, log, passed


def _theirs(speed: float, count: int) -> tuple[float, list[int]]:
    from airflow.exceptions import AirflowException
    from airflow.providers.http.operators.http import HttpOperator

    with World(speed, organization_limit=LIMIT, instant_limit=RUN_LIMIT) as world:
        world.connections("http")
        tests = [world.add_test(agents=3, history=[300])["test_id"] for _ in range(count)]

        async def task(test_id: str, slots: ThreadPoolExecutor) -> int:
            operator = HttpOperator(task_id=f"run_{test_id}", endpoint=f"v7/tests/{test_id}/run")
            for tried in range(1, 100):
                try:
                    await asyncio.get_running_loop().run_in_executor(slots, operator.execute, {})
                except AirflowException:
                    await asyncio.sleep(WINDOW / speed)
                else:
                    return tried
            raise RuntimeError("the task never ran")

        async def all_of_them() -> list[int]:
            with ThreadPoolExecutor(SLOTS) as slots:
                async with asyncio.timeout(200):
                    return await asyncio.gather(*(task(test_id, slots) for test_id in tests))

        began = time.monotonic()
        tries = asyncio.run(all_of_them())
        return (time.monotonic() - began) * speed, tries
