"""A thousand waits in one triggerer, and several triggerers with another client of the account."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from world import (
    LIMIT,
    RUN_LIMIT,
    TOKEN,
    WINDOW,
    Row,
    World,
    budget,
    connections_to,
    handle_of,
    median,
    quiet,
    ratio,
    sampled,
    scale_pace,
    waiting_tests,
)

POLL_INTERVAL = 10.0


def our_trigger(handle: dict[str, Any], poll_interval: float) -> Any:
    from thousandeyes_provider.triggers.instant_test import InstantTestResultsTrigger

    return InstantTestResultsTrigger(run=handle, poll_interval=poll_interval, run_limit=RUN_LIMIT)


def their_trigger(test_id: str, poke_interval: float) -> Any:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(endpoint=f"v7/test-results/{test_id}/http-server", poke_interval=poke_interval)


class LoopWatch:
    """Measures how long callbacks block the event loop, in wall-clock and processor seconds.

    On a busy machine the wall clock includes time of other processes.
    """

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def __enter__(self) -> LoopWatch:
        self._original = original = asyncio.Handle._run

        def run(handle: asyncio.Handle) -> None:
            wall, processor = time.perf_counter(), time.thread_time()
            original(handle)
            self.wall = max(self.wall, time.perf_counter() - wall)
            self.processor = max(self.processor, time.thread_time() - processor)

        asyncio.Handle._run = run  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.Handle._run = self._original  # type: ignore[method-assign]


async def _longest_lag(lags: list[float]) -> None:
    """Record how late a sleep of 5 ms ends, which is the delay of all triggers on the loop."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.005
        await asyncio.sleep(0.005)
        lags.append(loop.time() - due)


def thousand_waits(speed: float = 3.0, count: int = 1000) -> list[Row]:
    """Wait for 1,000 tests in one event loop, under the default limit of 240 requests per minute.

    The rounds of all tests start together. Their slowest agents report after 5 to 120 simulated seconds. Windows and
    durations are ``speed`` times shorter, so a sweep of five minutes takes two. Triggers start one by one and yield to
    the loop after each, as in a triggerer. The simulator counts requests and the remainder at each reset. ``Date`` and
    ``Reset`` have whole seconds, which lengthens each window by a second on average; the expected sweep includes it.
    Objects of Airflow and the measurement are frozen, so that garbage collection visits objects of the waits only.
    """
    quiet()
    scale_pace(speed)
    with World(speed, organization_limit=LIMIT, before_first_data="404", newest_round="previous") as world:
        world.connections()
        asyncio.run(_warm_up())
        tests = waiting_tests(world, count, 5, 120)
        lags: list[float] = []
        burst: list[float] = []
        started_at = {}
        for test, _ in tests:
            started_at[test["test_id"]] = time.time()
            world.start_round(test["test_id"])

        async def wait(test: dict[str, Any], takes: float, started_at: float) -> tuple[str, float]:
            trigger = our_trigger(handle_of(test, started_at), POLL_INTERVAL / speed)
            event = await _first_event(trigger)
            return event.payload["state"], time.time() - started_at - takes

        async def everything() -> list[tuple[str, float]]:
            watching = asyncio.create_task(_longest_lag(burst))
            await asyncio.sleep(0.05)
            waits = []
            for test, takes in tests:
                waits.append(asyncio.create_task(wait(test, takes, started_at[test["test_id"]])))
                await asyncio.sleep(0)
            await asyncio.sleep(1.0)
            watching.cancel()
            watching = asyncio.create_task(_longest_lag(lags))
            try:
                async with asyncio.timeout(300):
                    return await asyncio.gather(*waits)
            finally:
                watching.cancel()

        gc.collect()
        gc.freeze()
        with LoopWatch() as watch, sampled(lambda: connections_to(world.port)) as connections:
            outcomes = asyncio.run(everything())
        log = world.requests()
    usage = budget(log, LIMIT, WINDOW / speed)
    done = [late for state, late in outcomes if state == "complete"]
    sweep = count / (0.8 * LIMIT) * (WINDOW + speed)
    latest = max(done) * speed
    lags.sort()
    return [
        Row(f"{count} waits: finished", str(len(done)), target=str(count), met=len(done) == count),
        Row(
            "longest delay after complete results (simulated s)",
            f"{latest:.0f}",
            target=f"<= {sweep + POLL_INTERVAL:.0f}: a sweep and a poll interval",
            met=latest <= sweep + POLL_INTERVAL,
        ),
        Row("polls", str(len(log))),
        Row(
            "concurrent connections",
            f"{max(connections):.0f}",
            target="<= 8",
            met=max(connections) <= 8,
        ),
        Row("429", str(usage.refused), target="0", met=usage.refused == 0),
        Row(
            f"smallest remainder of {LIMIT} at a reset, of {usage.windows}",
            str(usage.least_left),
            target=f">= {LIMIT // 5}",
            met=usage.least_left >= LIMIT // 5,
        ),
        Row(
            "longest callback on the loop (ms)",
            f"{watch.wall * 1000:.0f} (processor {watch.processor * 1000:.0f})",
            target="<= 50",
            met=watch.wall <= 0.05,
        ),
        Row(
            "loop lag while waiting: longest, 99.9th percentile (ms)",
            f"{lags[-1] * 1000:.0f}, {lags[int(len(lags) * 0.999)] * 1000:.0f}",
            target="<= 50",
            met=lags[-1] <= 0.05,
        ),
        Row(
            f"loop lag in the second in which {count} triggers start (ms)",
            f"{max(burst) * 1000:.0f}",
            target="<= 50",
            met=max(burst) <= 0.05,
        ),
    ]


def import_for_triggers() -> None:
    """Import the modules of the first trigger, whose import is measured separately."""
    import aiohttp  # noqa: F401

    import thousandeyes_provider.hooks.async_thousandeyes
    import thousandeyes_provider.hooks.results_reader
    import thousandeyes_provider.triggers.instant_test  # noqa: F401


async def _warm_up() -> None:
    """Do the one-time work of a triggerer: imports, and Airflow's setup to read a connection."""
    from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook

    import_for_triggers()
    async with ThousandEyesAsyncHook() as hook:
        await hook.load()


# -- cost ----------------------------------------------------------------------------------------------------------


def cost_of_polls(rounds: int = 3, count: int = 200, polls: int = 4) -> list[Row]:
    """Measure the processor time per poll, beside the trigger of a deferred ``HttpSensor``.

    Both poll the same number of tests at the same interval; results return 404 until all agents have reported. There is
    no rate limit, since ``HttpSensor`` does not support one. Both take turns in one process. The processor time is that
    of the event loop's thread, over TLS (as with ThousandEyes) and over plain HTTP.
    """
    quiet()
    from thousandeyes_provider.hooks import shared_account

    shared_account.DEFAULT_GAP = 0.0005
    return [*_cost_of_polls(True, rounds, count, polls), *_cost_of_polls(False, rounds, count, polls)]


def _cost_of_polls(tls: bool, rounds: int, count: int, polls: int) -> list[Row]:
    interval = 0.5
    figures: dict[str, list[float]] = {"ours": [], "theirs": []}
    opened: dict[str, list[float]] = {"ours": [], "theirs": []}
    limits = {"organization_limit": 10_000_000, "before_first_data": "404", "newest_round": "previous"}
    with World(tls=tls, **limits) as world:
        world.connections()
        for number in range(rounds + 1):
            for kind in ("ours", "theirs"):
                tests = waiting_tests(world, count, interval * polls, interval * polls)
                cpu, connections, asked = asyncio.run(_poll_all(world, tests, kind, interval))
                if number:  # the first round warms up imports and caches
                    figures[kind].append(cpu / asked * 1000)
                    opened[kind].append(connections / asked)
    ours, theirs = median(figures["ours"]), median(figures["theirs"])
    return [
        Row(
            f"processor time of a poll, {'TLS' if tls else 'plain HTTP'} (ms)",
            f"{ours:.2f}",
            f"{theirs:.2f} deferred HttpSensor",
            ratio(ours, theirs),
            "<= 0.5 x",
            ours <= theirs / 2,
        ),
        Row(
            "connections opened per poll",
            f"{median(opened['ours']):.3f}",
            f"{median(opened['theirs']):.2f} deferred HttpSensor",
        ),
    ]


async def _poll_all(
    world: World, tests: list[tuple[dict[str, Any], float]], kind: str, interval: float
) -> tuple[float, int, int]:
    """Return processor seconds, opened connections and polls of one set of waits."""
    loop = asyncio.get_running_loop()
    opened, create = [0], loop.create_connection

    async def counting(*args: Any, **kwargs: Any) -> Any:
        opened[0] += 1
        return await create(*args, **kwargs)

    loop.create_connection = counting  # type: ignore[method-assign]
    world.forget()
    triggers = []
    for test, _ in tests:
        started_at = time.time()
        world.start_round(test["test_id"])
        trigger = (
            our_trigger(handle_of(test, started_at), interval)
            if kind == "ours"
            else their_trigger(test["test_id"], interval)
        )
        triggers.append(trigger)
    before = time.thread_time()
    async with asyncio.timeout(60):
        await asyncio.gather(*(anext(trigger.run()) for trigger in triggers))
    spent = time.thread_time() - before
    return spent, opened[0], len(world.requests())


def cost_of_waiting(count: int = 500) -> list[Row]:
    """Measure the memory of a waiting trigger, beside the trigger of a deferred ``HttpSensor``.

    Each kind runs in a new process. One trigger warms up imports and caches; then ``count`` triggers start, poll once
    and sleep. The figures are the growth of Python's memory and of the resident set. The second row is for triggers
    that hold rows of two of three agents, which a sensor does not keep.
    """
    quiet()
    figures = {}
    with World(organization_limit=10_000_000, before_first_data="404", newest_round="previous") as world:
        world.connections()
        empty = waiting_tests(world, count + 1, 3600, 3600)
        ids = empty[0][0]["agent_ids"]
        delays = {ids[0]: 3600, ids[1]: 0, ids[2]: 0}
        partial = [
            (world.add_test(agents=ids, delays=delays, history=[], switches={"newest_round": "partial"}), 0.0)
            for _ in range(count + 1)
        ]
        for kind, tests in (("ours", empty), ("theirs", empty), ("partial", partial)):
            started_at = time.time()
            for test, _ in tests:
                world.start_round(test["test_id"])
            for traced in (True, False):
                world.forget()
                figures[kind, traced] = _in_child(_memory, world, tests, kind, started_at, traced)
    ours, theirs, partial_ = (figures[kind, True] / 1024 for kind in ("ours", "theirs", "partial"))
    resident = [figures[kind, False] / 1024 for kind in ("ours", "theirs", "partial")]
    return [
        Row(
            "memory of a waiting trigger (KiB)",
            f"{ours:.1f}",
            f"{theirs:.1f} deferred HttpSensor",
            ratio(ours, theirs),
            "<= 0.5 x",
            ours <= theirs / 2,
        ),
        Row(
            "the same, with rows of two of three agents",
            f"{partial_:.1f}",
            f"{theirs:.1f} deferred HttpSensor",
            ratio(partial_, theirs),
        ),
        Row(
            "resident set per waiting trigger (KiB)",
            f"{resident[0]:.1f}",
            f"{resident[1]:.1f} deferred HttpSensor",
            ratio(resident[0], resident[1]),
        ),
    ]


def _in_child(work: Callable[..., float], *arguments: Any) -> float:
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe()

    def run() -> None:
        its.send(work(*arguments))

    child = context.Process(target=run)
    child.start()
    if not mine.poll(120):
        child.kill()
        raise RuntimeError("a measurement took more than 120 s")
    figure = mine.recv()
    child.join(10)
    return float(figure)


def _memory(
    world: World, tests: list[tuple[dict[str, Any], float]], kind: str, started_at: float, traced: bool
) -> float:
    import psutil

    from thousandeyes_provider.hooks import shared_account

    shared_account.DEFAULT_GAP = 0.0005
    process = psutil.Process()

    def held() -> float:
        gc.collect()
        return float(tracemalloc.get_traced_memory()[0] if traced else process.memory_info().rss)

    def make(test: dict[str, Any]) -> Any:
        if kind == "theirs":
            return their_trigger(test["test_id"], 600.0)
        return our_trigger(handle_of(test, started_at), 600.0)

    async def measure() -> float:
        # Skip the interval before the first poll.
        from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook

        slept: set[asyncio.Task[Any] | None] = set()
        sleep = asyncio.sleep

        async def second_only(seconds: float) -> None:
            task = asyncio.current_task()
            if task in slept:
                await sleep(seconds)
            slept.add(task)

        ThousandEyesAsyncHook.__init__.__kwdefaults__["sleep"] = second_only
        waits = [asyncio.create_task(_first_event(make(tests[0][0])))]
        while len(world.requests()) < 1:
            await sleep(0.1)
        await sleep(0.3)
        before = held()
        waits += [asyncio.create_task(_first_event(make(test))) for test, _ in tests[1:]]
        async with asyncio.timeout(60):
            while len(world.requests()) < len(tests):
                await sleep(0.2)
        await sleep(0.5)
        after = held()
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return (after - before) / (len(tests) - 1)

    if traced:
        tracemalloc.start()
    return asyncio.run(measure())


async def _first_event(trigger: Any) -> Any:
    return await anext(trigger.run())


def first_trigger() -> list[Row]:
    """Measure how long the first trigger blocks the event loop of a new triggerer: imports and the first session.

    The process has imported a triggerer's own modules before. The trigger class is imported in the event loop, as in a
    triggerer. The figure is how late a sleep of 5 ms ends on that loop. The alternative is the first ``HttpSensor``
    trigger.
    """
    quiet()
    figures: dict[str, list[float]] = {"ours": [], "theirs": []}
    with World(organization_limit=10_000_000, before_first_data="404", newest_round="previous") as world:
        world.connections()
        tests = waiting_tests(world, 1, 0, 0)
        started_at = time.time()
        world.start_round(tests[0][0]["test_id"])
        for _ in range(3):
            for kind in figures:
                figures[kind].append(_in_child(_first, tests, started_at, kind))
    ours, theirs = median(figures["ours"]) * 1000, median(figures["theirs"]) * 1000
    return [
        Row(
            "first trigger of a triggerer: longest lag of the loop (ms)",
            f"{ours:.0f}",
            f"{theirs:.0f} deferred HttpSensor",
            ratio(ours, theirs),
            "<= 50",
            ours <= 50,
        )
    ]


def _first(tests: list[tuple[dict[str, Any], float]], started_at: float, kind: str) -> float:
    import airflow.jobs.triggerer_job_runner  # noqa: F401

    test = tests[0][0]
    handle = json.loads(json.dumps(handle_of(test, started_at)))
    for name in [name for name in sys.modules if name.startswith("thousandeyes_provider")]:
        del sys.modules[name]

    lags: list[float] = []

    async def first() -> None:
        watching = asyncio.create_task(_longest_lag(lags))
        await asyncio.sleep(0.02)
        trigger = their_trigger(test["test_id"], 1.0) if kind == "theirs" else our_trigger(handle, 0.1)
        await asyncio.sleep(0)
        await asyncio.create_task(_first_event(trigger))
        await asyncio.sleep(0.02)
        watching.cancel()

    asyncio.run(first())
    return max(lags)


# -- several triggerers --------------------------------------------------------------------------------------------


def four_triggerers(speed: float = 4.0, count: int = 400, other: float = 40.0) -> list[Row]:
    """Wait for 400 tests in four triggerer processes while another client sends 40 requests per minute.

    The processes share nothing but the rate-limit headers.
    """
    quiet()
    scale_pace(speed)
    import_for_triggers()
    context = multiprocessing.get_context("fork")
    with World(speed, organization_limit=LIMIT, before_first_data="404", newest_round="previous") as world:
        world.connections()
        tests = waiting_tests(world, count, 5, 120)
        started_at = {}
        for test, _ in tests:
            started_at[test["test_id"]] = time.time()
            world.start_round(test["test_id"])
        results = context.Queue()

        def triggerer(part: int) -> None:
            async def wait_for_all() -> int:
                triggers = [
                    our_trigger(handle_of(test, started_at[test["test_id"]]), POLL_INTERVAL / speed)
                    for test, _ in tests[part::4]
                ]
                async with asyncio.timeout(300):
                    events = await asyncio.gather(*map(_first_event, triggers))
                return sum(event.payload["state"] == "complete" for event in events)

            results.put(asyncio.run(wait_for_all()))

        children = [context.Process(target=triggerer, args=(part,)) for part in range(4)]
        over = threading.Event()
        started = time.perf_counter()
        for child in children:
            child.start()
        client = threading.Thread(target=_other_client, args=(world, over, 60 / other / speed), daemon=True)
        client.start()
        finished = sum(results.get(timeout=300) for _ in children)
        took = time.perf_counter() - started
        over.set()
        client.join(10)
        for child in children:
            child.join(10)
        log = world.requests()
    usage = budget(log, LIMIT, WINDOW / speed)
    return [
        Row(
            f"4 triggerers and another client, {count} waits: finished",
            str(finished),
            target=str(count),
            met=finished == count,
        ),
        Row("429, all clients", str(usage.refused), target="0", met=usage.refused == 0),
        Row(f"smallest remainder of {LIMIT} at a reset, of {usage.windows}", str(usage.least_left)),
        Row("polls; total simulated seconds", f"{len(log)}; {took * speed:.0f}"),
    ]


def _other_client(world: World, over: threading.Event, every: float) -> None:
    import requests

    headers = {"Authorization": f"Bearer {TOKEN}"}
    with requests.Session() as session:
        session.trust_env = False
        while not over.wait(every):
            session.get(f"{world.url}/v7/account-groups", headers=headers, timeout=30)


assert os.name == "posix", "these measurements need fork()"
