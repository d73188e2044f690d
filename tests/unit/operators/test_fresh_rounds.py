"""Rounds of other clients before ours, in whole tasks: they are never judged, and named if no other round appears."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from thousandeyes_provider.exceptions import InstantTestNoResults
from thousandeyes_provider.hooks.results_reader import plan_of_new
from thousandeyes_provider.operators.session import Session


def test_round_that_shows_its_first_row_after_our_call_is_not_judged(simulator, worker):
    """The run of another client had no visible row when the newest round was remembered."""
    test_id = simulator.add_test("http-server", delays=5)
    theirs = simulator.run(test_id, outcomes="error", delays=34)
    time.sleep(3)
    # Their rows arrive 0.4 s after our run call, ours 0.5 s after it.
    evidence = worker.rerun(test_id)
    assert evidence["verdict"] == "passed"
    assert evidence["rounds"]["http-server"] == simulator.rounds(test_id)[-1].round_id > theirs


def test_round_of_another_client_is_named_if_no_other_appears(simulator, worker, log):
    test_id = simulator.add_test("http-server", switches={"run_while_running": "merge"})
    theirs = simulator.run(test_id, outcomes="error", delays=100)
    time.sleep(2.5)
    with pytest.raises(InstantTestNoResults) as failure:
        worker.rerun(test_id, timeout=3)
    assert f"round {theirs} (" in str(failure.value)
    assert "started before the run call was sent" in str(failure.value)
    assert worker.evidence["reason"].startswith(f"round {theirs} (")
    assert log().count(f"Ignoring round {theirs}") in (1, 2)  # once by the trigger, once by the worker


def test_worker_waits_for_the_agents_that_the_trigger_counted(simulator, triggerer, monkeypatch):
    from thousandeyes_provider.api import round_progress
    from thousandeyes_provider.hooks.results_reader import PollResult, ResultsReader

    monkeypatch.setattr(round_progress, "QUIET_PERIOD", 1.0)
    test_id = simulator.add_test("http-server", history=[], switches={"typed_lookup": "404"}, delays=1)
    polls, poll = [], ResultsReader.poll

    def one_row(self, *arguments):
        result = poll(self, *arguments)
        polls.append(result)
        if len(polls) > 1:
            return result
        return PollResult({name: rows[:1] for name, rows in result.rows.items()})

    monkeypatch.setattr(ResultsReader, "poll", one_row)
    evidence = triggerer.rerun(test_id, timeout=20)
    assert len(evidence["agents"]["reported"]) == 5
    assert len(triggerer.deferrals) == 2


class Reader:
    """A reader whose newest round is started by another client at the start of each minute."""

    def __init__(self, hook):
        self.hook = hook

    def remember(self, plan):
        return replace(plan, remembered={"http-server": int(self.hook.server_now() // 60 * 60)})


@pytest.mark.parametrize(("others", "waits"), [(0, 1), (1, 2), (9, 3)])
def test_run_waits_again_if_another_run_starts_in_the_next_minute(others, waits):
    clock = [1_790_000_070.0]
    hook = SimpleNamespace(server_now=lambda: clock[0], paced_seconds=0.0)
    hook.sleep = lambda seconds: clock.__setitem__(0, clock[0] + seconds)
    options = SimpleNamespace(checks=SimpleNamespace(result_types=()))
    current, old = Reader(hook), plan_of_new("7", "http-server", None, {}, result_types=None, expected=None)
    session = Session(
        options,
        label="task",
        hook=hook,
        xcoms=None,
        log=logging.getLogger(),
        plan=old,
        poll_interval=None,
    )
    reads = []

    def remember(plan):
        reads.append(plan)
        return current.remember(plan) if len(reads) <= others else plan

    session.reader = SimpleNamespace(remember=remember)
    session.wait_for_next_minute(current.remember(old))
    assert len(reads) == waits
    assert hook.paced_seconds == pytest.approx(clock[0] - 1_790_000_070)
