"""Tasks that wait on their worker: shared quota, requests per run, and the official SDK."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from mapped import MappedTask
from world import LIMIT, RUN_LIMIT, TOKEN, WINDOW, Row, World, budget, quiet, ratio, scale_pace

POLL_INTERVAL = 10.0


def _operator(test_id: str, poll_interval: float, **arguments: Any) -> Any:
    from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

    return RunInstantTestOperator(
        task_id="validate", test_id=test_id, poll_interval=poll_interval, timeout=600, **arguments
    )


def _context(pushed: dict[str, Any] | None = None) -> Any:
    xcoms = {} if pushed is None else pushed
    instance = SimpleNamespace(
        xcom_push=lambda key, value: xcoms.__setitem__(key, value),
        xcom_pull=lambda task_ids, key, map_indexes: xcoms.get(key),
        dag_id="measured",
        task_id="validate",
        run_id="manual",
        try_number=1,
        map_index=-1,
        max_tries=0,
    )
    return {"ti": instance}


def twenty_workers(speed: float = 4.0, count: int = 20, poll_interval: float = 2.0) -> list[Row]:
    """Run 20 synchronous tasks in 20 processes that start together and poll every 2 simulated seconds.

    Unpaced they would send 600 requests per minute; the limit is 240. Agents report after 100 simulated seconds, so the
    tasks poll through several windows. They share nothing but the rate-limit headers.
    """
    quiet()
    import thousandeyes_provider.hooks.results_reader
    import thousandeyes_provider.hooks.thousandeyes
    import thousandeyes_provider.operators.instant_test  # noqa: F401

    context = multiprocessing.get_context("fork")
    with World(speed, organization_limit=LIMIT, instant_limit=RUN_LIMIT) as world:
        world.connections()
        tests = [world.add_test(agents=3, delays=100, history=[300])["test_id"] for _ in range(count)]
        results, gate = context.Queue(), context.Barrier(count)

        def task(test_id: str) -> None:
            operator = _operator(test_id, poll_interval / speed, test_type="http-server", deferrable=False)
            gate.wait(60)
            began = time.time()
            try:
                verdict = operator.execute(_context())["verdict"]
            except Exception as error:
                verdict = type(error).__name__
            results.put((verdict, time.time() - began))

        children = [context.Process(target=task, args=(test_id,)) for test_id in tests]
        for child in children:
            child.start()
        outcomes = [results.get(timeout=200) for _ in children]
        for child in children:
            child.join(10)
        log = world.requests()
    usage = budget(log, LIMIT, WINDOW / speed)
    passed = sum(verdict == "passed" for verdict, _ in outcomes)
    return [
        Row("passed", str(passed), target=str(count), met=passed == count),
        Row("429", str(usage.refused), target="0", met=usage.refused == 0),
        Row(
            f"smallest remainder of {LIMIT} at a reset, {usage.windows} windows",
            str(usage.least_left),
            target="> 0",
            met=usage.least_left > 0,
        ),
        Row("requests", str(len(log))),
        Row(
            "slowest task (simulated s; agents took 100)",
            f"{max(took for _, took in outcomes) * speed:.0f}",
        ),
    ]


DURATIONS = (5, 15, 30, 60, 120)
"""Simulated seconds until the slowest agent reports."""


def requests_of_a_run(speed: float = 10.0) -> list[Row]:
    """Count the requests of one run with known test type and agents, by the duration of the slowest agent.

    Necessary are: the remembered round, the run, a poll every 10 simulated seconds until the results are complete, and
    in deferrable mode one final read by the worker. The quota is large enough not to slow polling down. Requests are
    counted by test. The evidence also counts the read of the token's account group, which belongs to no test: one per
    run on a worker, one per account in a triggerer.
    """
    quiet()
    scale_pace(speed)
    rows = []
    with World(speed, organization_limit=100_000, instant_limit=1000) as world:
        world.connections()
        cases = {
            (seconds, deferrable): world.add_test(agents=3, delays=seconds, history=[300])["test_id"]
            for seconds in DURATIONS
            for deferrable in (False, True)
        }
        agents = world.control()["agents"][:3]

        async def all_of_them() -> list[Any]:
            with ThreadPoolExecutor(len(cases)) as slots:
                async with asyncio.timeout(120):
                    return await asyncio.gather(
                        *(
                            MappedTask(
                                _operator(
                                    test_id,
                                    POLL_INTERVAL / speed,
                                    test_type="http-server",
                                    expected_agents=[agent["agent_id"] for agent in agents],
                                    deferrable=deferrable,
                                ),
                                -1,
                            ).run(slots)
                            for (_, deferrable), test_id in cases.items()
                        )
                    )

        evidence = dict(zip(cases, asyncio.run(all_of_them()), strict=True))
        counted = Counter(request["test_id"] for request in world.requests())
    for seconds in DURATIONS:
        polls = int(seconds // POLL_INTERVAL) + 1
        for deferrable in (False, True):
            needed = 2 + polls + deferrable
            sent = counted[cases[seconds, deferrable]]
            reported = evidence[seconds, deferrable]["requests"]
            rows.append(
                Row(
                    f"agents take {seconds} s, {'deferrable' if deferrable else 'on the worker'}",
                    f"{sent} (evidence: {reported})",
                    target=f"<= {needed}: remembered, run, {polls} polls{', final read' if deferrable else ''}",
                    met=sent <= needed,
                )
            )
    return rows


def official_sdk(speed: float = 5.0, seconds: float = 45.0) -> list[Row]:
    """Run a test and wait for three agents: the operator, and the official SDK in a user's own loop.

    The loop runs the test and reads the results every 10 simulated seconds until three rows of a new round have
    arrived. Agents take 45 simulated seconds. The last row is the same loop without a comparison of round ids while
    results still show the previous round: it returns old rows.
    """
    quiet()
    scale_pace(speed)
    from thousandeyes_sdk.core import ApiClient, Configuration
    from thousandeyes_sdk.instant_tests import InstantTestsApi
    from thousandeyes_sdk.test_results import WebHTTPServerTestResultsApi

    limits = {"organization_limit": LIMIT, "instant_limit": RUN_LIMIT, "newest_round": "previous"}
    interval = POLL_INTERVAL / speed
    with World(speed, **limits) as world:
        world.connections()
        ours, theirs, naive = (
            world.add_test(agents=3, delays=seconds, history=[300])["test_id"] for _ in range(3)
        )
        began = time.monotonic()
        operator = _operator(ours, interval, test_type="http-server", expected_agents=3, deferrable=False)
        assert operator.execute(_context())["verdict"] == "passed"
        our_time = (time.monotonic() - began) * speed
        with ApiClient(Configuration(host=f"{world.url}/v7", access_token=TOKEN)) as client:
            runs, results = InstantTestsApi(client), WebHTTPServerTestResultsApi(client)

            def job(test_id: str, careful: bool) -> float:
                before = (
                    {row.round_id for row in results.get_test_http_server_results(test_id).results}
                    if careful
                    else set()
                )
                started_at = time.monotonic()
                runs.run_instant_test(test_id)
                for _ in range(60):
                    time.sleep(interval)
                    rows = results.get_test_http_server_results(test_id).results
                    if sum(row.round_id not in before for row in rows) >= 3:
                        break
                return (time.monotonic() - started_at) * speed

            their_time, naive_time = job(theirs, True), job(naive, False)
        log = world.requests()
    counted = Counter(request["test_id"] for request in log)
    return [
        Row(
            "requests",
            str(counted[ours]),
            f"{counted[theirs]} SDK in a loop",
            ratio(counted[ours], counted[theirs]),
        ),
        Row(
            "time until verdict, or rows (simulated s)",
            f"{our_time:.0f}",
            f"{their_time:.0f} SDK in a loop",
            ratio(our_time, their_time),
        ),
        Row(
            "the same without comparing round ids",
            f"{our_time:.0f}",
            f"{naive_time:.0f} SDK in a loop, with rows of the previous round",
        ),
    ]
