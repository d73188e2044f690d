"""Operators against hostile servers end with a verdict or one of our errors by the deadline."""

from __future__ import annotations

import json
import random
import time

import pytest

from thousandeyes_provider.exceptions import ThousandEyesError
from thousandeyes_provider.simulator.injected_faults import KINDS, OPERATIONS

TOKEN = "t0ken-that-nobody-may-see"
VALUES = (None, True, -1, 1e308, 10**30, "", "x" * 3000, "\ud800\r\n\x1b[0m", [], {}, [[{}]], {"value": None})
NAMES = [
    "testId",
    "type",
    "testName",
    "agents",
    "agentId",
    "agentName",
    "agent",
    "roundId",
    "startTime",
    "results",
    "test",
    "_links",
    "next",
    "href",
    "appLink",
    "errorType",
    "errorDetails",
    "responseTime",
    "loss",
    "server",
    "direction",
    "tests",
    "accountGroups",
    "aid",
]
STATUSES = (200, 201, 204, 301, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 599)


def random_json(chance, depth=4):
    """Return JSON with ThousandEyes' field names and arbitrary values."""
    if depth == 0 or chance.random() < 0.3:
        return chance.choice(VALUES)
    if chance.random() < 0.3:
        return [random_json(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {name: random_json(chance, depth - 1) for name in chance.sample(NAMES, chance.randrange(6))}


def random_fault(chance):
    """Return a fault in one to three requests of an operation."""
    kind = chance.choice(list(KINDS))
    spec = {"kind": kind, "operation": chance.choice([*OPERATIONS, "results", "run", "*"])}
    spec |= {"times": chance.randint(1, 3), "skip": chance.randrange(3)}
    if kind in ("slow-first-byte", "slow-body"):
        spec["seconds"] = chance.uniform(0, 0.5)
    if kind in ("status", "html"):
        spec["status"] = chance.choice(STATUSES)
        spec["headers"] = {"Retry-After": chance.choice(["0", "1", "never", "-5", "9" * 30])}
    if kind == "status" and chance.random() < 0.7:
        spec["body"] = json.dumps(random_json(chance))
    return spec


@pytest.fixture
def hostile_simulator(simulator, connection):
    connection(timeout=1, retry_limit=2, queue_timeout=2)
    return simulator


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("creates", [False, True])
def test_every_task_ends_with_a_verdict_or_one_of_our_errors(
    worker, hostile_simulator, configure, seed, creates
):
    configure(settle_time=0.3)
    chance = random.Random(f"{seed} {creates}")
    test_id = hostile_simulator.add_test(
        "http-server", outcomes={"Singapore": chance.choice(["ok", "error"])}
    )
    for _ in range(chance.randint(3, 12)):
        hostile_simulator.fail(**random_fault(chance))
    quick = {"timeout": 1.5, "queue_timeout": 2, "poll_interval": 0.1}
    begun = time.monotonic()
    try:
        if creates:
            definition = {"url": "https://a.example", "agents": ["Singapore"]}
            ended = worker.create("http-server", definition=definition, **quick)
        else:
            ended = worker.rerun(test_id, **quick)
        assert ended["verdict"] == "passed"
    except ThousandEyesError as error:
        ended = f"{error!r} {error}"
    assert time.monotonic() - begun < 30, "the task exceeded its deadlines"
    assert TOKEN not in repr(ended) + repr(worker.pushed)
