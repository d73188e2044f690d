"""The shared account of an event loop: pace, turns and cleanup."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time

import pytest

from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN
from thousandeyes_provider.api.response import Response
from thousandeyes_provider.hooks import async_thousandeyes, shared_account
from thousandeyes_provider.hooks.connection import ConnectionSettings
from thousandeyes_provider.hooks.shared_account import SharedAccount
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesAsyncHook

TOKEN = "t0ken-that-nobody-may-see"
SETTINGS = ConnectionSettings("http://127.0.0.1:1/v7", TOKEN)


def spacing(times):
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def in_line(ask, count, *, leaving=()):
    """Return which of ``count`` tasks were served, and when. The tasks in ``leaving`` are cancelled while they wait."""
    served = []

    async def ask_as(number):
        await ask()
        served.append((number, time.monotonic()))

    tasks = [asyncio.create_task(ask_as(number)) for number in range(count)]
    await asyncio.sleep(0)
    for number in leaving:
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [number for number, _ in served], [at for _, at in served]


def test_turns_are_first_come_first_served_at_the_pace_of_the_window(monkeypatch):
    monkeypatch.setattr(shared_account, "RUN_WINDOW", 1.2)

    async def turns():
        shared = SharedAccount()
        return await in_line(lambda: shared.turn(limit=24, pause=0, patience=60), 10, leaving=[4, 7])

    order, times = asyncio.run(turns())
    assert order == [0, 1, 2, 3, 5, 6, 8, 9]
    gap = 1.2 / 24
    after_first, *others = spacing(times)
    # The second turn leaves room for runs without a turn.
    assert after_first > (1 + RUNS_WITHOUT_TURN) * gap - 0.01
    assert min(others) > gap - 0.01
    assert times[-1] - times[0] < 1.2


def test_a_turn_waits_for_the_reset_of_a_refusal():
    async def turn():
        begun = time.monotonic()
        assert await SharedAccount().turn(limit=None, pause=0.3, patience=60)
        return time.monotonic() - begun

    assert 0.3 <= asyncio.run(turn()) < 0.6


def test_turns_keep_their_pace_after_the_last_hook_closes(monkeypatch):
    monkeypatch.setattr(shared_account, "RUN_WINDOW", 6.0)

    async def turns():
        came = []
        for _ in range(4):
            shared = SharedAccount.shared(SETTINGS)
            await shared.turn(limit=24, pause=0, patience=60)
            came.append(time.monotonic())
            await shared.release()
        return spacing(came)

    assert min(asyncio.run(turns())) > 0.24


def test_a_turn_that_comes_too_late_is_refused_at_once():
    async def turn():
        begun = time.monotonic()
        assert not await SharedAccount().turn(limit=None, pause=60, patience=5)
        return time.monotonic() - begun

    assert asyncio.run(turn()) < 0.2


def test_slots_keep_the_default_pace_until_a_response_has_a_quota(monkeypatch):
    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.05)

    async def slots():
        shared = SharedAccount()
        return await in_line(shared._slot, 8, leaving=[3])

    order, times = asyncio.run(slots())
    assert order == [0, 1, 2, 4, 5, 6, 7]
    assert min(spacing(times)) > 0.04


@pytest.fixture
def connected(simulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection(timeout=3)))
    return simulator


def test_hooks_share_the_account_and_the_last_hook_closes_it(connected):
    async def lives():
        first, second = (
            ThousandEyesAsyncHook(shared=True),
            ThousandEyesAsyncHook(shared=True, account_group_id="1002"),
        )
        await first.list_tests()
        await second.list_agents()
        shared = first.account
        assert second.account is shared
        (session,) = (entry.client for entry in shared._sessions.values())
        await first.close()
        assert not session.closed
        await second.close()
        assert session.closed

    asyncio.run(lives())


def test_another_token_is_another_account(connected, monkeypatch):
    async def lives():
        async with ThousandEyesAsyncHook(shared=True) as first:
            await first.load()
            fields = {**connected.connection(), "password": "another"}
            monkeypatch.setenv("AIRFLOW_CONN_ANOTHER", json.dumps(fields))
            async with ThousandEyesAsyncHook("another", shared=True) as second:
                await second.load()
                assert second.account is not first.account

    asyncio.run(lives())


def test_a_fifth_of_the_organizations_limit_is_left_at_the_reset(monkeypatch):
    from thousandeyes_provider.simulator import Simulator

    # A window of 3 s, and 30 requests in it.
    with Simulator(speed=20, organization_limit=30) as simulator:
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection()))
        monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.02)
        least = []

        async def ask_on():
            async with ThousandEyesAsyncHook(shared=True) as hook:
                ends = time.monotonic() + 7
                while time.monotonic() < ends:
                    await hook.list_account_groups()
                    least.append(hook.quota()["organization"].remaining)

        async def all_of_them():
            await asyncio.gather(*(ask_on() for _ in range(10)))

        asyncio.run(all_of_them())
        assert min(least) >= 30 * 0.2 - 1
        assert {request.status for request in simulator.requests} == {200}
        assert len(least) > 40


def test_the_next_window_sets_a_new_pace(monkeypatch):
    def response(remaining, reset_in):
        headers = {"limit": "240", "remaining": str(remaining), "reset": str(time.time() + reset_in)}
        return Response(
            200,
            {f"x-organization-rate-limit-{name}": announced for name, announced in headers.items()},
            b"",
            "",
        )

    async def sends():
        shared, sent = SharedAccount(), []
        for announced in (response(48, 0.5), response(239, 60), response(238, 60), response(237, 60)):
            await shared._slot()
            sent.append(asyncio.get_running_loop().time())
            shared.pace.update(announced, asyncio.get_running_loop().time())
        return spacing(sent)

    first, *rest = asyncio.run(sends())
    assert 0.4 < first < 0.7
    assert all(gap < 0.4 for gap in rest)


def test_an_invalid_reset_does_not_block_requests():
    async def sends():
        shared = SharedAccount()
        await shared._slot()
        headers = {"limit": "240", "remaining": "0", "reset": str(time.time() * 1000)}
        shared.pace.update(
            Response(200, {f"x-organization-rate-limit-{k}": v for k, v in headers.items()}, b"", ""),
            asyncio.get_running_loop().time(),
        )
        async with asyncio.timeout(2):
            await shared._slot()

    asyncio.run(sends())


def test_the_repr_does_not_contain_the_token():
    async def shown():
        return repr(SharedAccount.shared(SETTINGS)) + repr(dict(shared_account._accounts))

    assert "t0ken" not in asyncio.run(shown())


def announced(remaining, reset_in, status=200):
    """Return a response with the organization's headers."""
    now = time.time()
    headers = {"limit": "240", "remaining": str(remaining), "reset": str(now + reset_in)}
    return Response(
        status, {f"x-organization-rate-limit-{name}": value for name, value in headers.items()}, b"", ""
    )


def test_waiting_requests_drop_the_pace_of_an_expired_window(monkeypatch):
    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.02)

    async def slots():
        shared = SharedAccount()
        # Another client has used up the window: one request is left until its end, in half a second.
        shared.pace.update(announced(48, 0.5), asyncio.get_running_loop().time())
        return await in_line(shared._slot, 5)

    _, times = asyncio.run(slots())
    assert times[-1] - times[0] < 0.3


def test_a_response_at_the_end_of_a_window_keeps_the_default_pace():
    shared = SharedAccount()
    shared.pace.take_slot(100.0)
    shared.pace.update(announced(200, -1), 100.1)
    assert shared.pace.next_slot() == pytest.approx(100 + shared_account.DEFAULT_GAP)


def test_after_a_refusal_no_request_is_sent_until_the_reset(monkeypatch):
    from thousandeyes_provider.simulator import Simulator

    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.05)
    with Simulator() as simulator:
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection()))
        # Only Retry-After announces the wait, as with a gateway in front of the API.
        headers = {"Retry-After": "1", "X-Organization-Rate-Limit-Reset": "0"}
        simulator.fail("*", status=429, headers=headers, times=1)

        async def ask(_):
            async with ThousandEyesAsyncHook(shared=True) as hook:
                await hook.list_account_groups()

        async def all_of_them():
            await asyncio.gather(*map(ask, range(8)))

        asyncio.run(all_of_them())
        first, *others = simulator.requests
        assert [first.status, *(request.status for request in others)] == [429] + [200] * 8
        assert min(request.at for request in others) - first.at > 0.95


def test_a_reset_is_remembered_after_the_last_hook_closes():
    async def lives():
        first = SharedAccount.shared(SETTINGS)
        first.hold(60)
        await first.release()
        second = SharedAccount.shared(SETTINGS)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await second._slot()
        await second.release()

    asyncio.run(lives())


def test_every_session_is_closed_even_if_closing_is_cancelled():
    closed = []

    class Session:
        def __init__(self, name):
            self.name = name

        async def close(self):
            if self.name == "stuck":
                await asyncio.sleep(60)
            closed.append(self.name)

    async def lives():
        shared = SharedAccount()
        shared._sessions = {(name,): Session(name) for name in ("one", "stuck", "two")}
        leaving = asyncio.create_task(shared.release())
        await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving

    asyncio.run(lives())
    assert sorted(closed) == ["one", "two"]


def test_a_hook_that_joins_during_close_gets_a_new_session(connected):
    async def lives():
        first, second = ThousandEyesAsyncHook(shared=True), ThousandEyesAsyncHook(shared=True)
        await first.list_tests()
        leaving = asyncio.create_task(first.close())
        await asyncio.sleep(0)
        assert await second.list_tests()
        await leaving
        assert await second.list_tests()
        await second.close()

    asyncio.run(lives())


def test_an_unshared_account_does_not_affect_the_shared_account():
    async def same():
        shared = SharedAccount.shared(SETTINGS)
        await SharedAccount(paced=False).release()
        again = SharedAccount.shared(SETTINGS)
        await shared.release()
        await again.release()
        return again is shared

    assert asyncio.run(same())


def test_a_request_whose_turn_comes_too_late_is_not_sent(monkeypatch):
    async def send():
        shared = SharedAccount()
        shared.hold(60)
        return (await shared.send(None, SETTINGS, timeout=3, patience=0.05)).outcome

    outcome = asyncio.run(send())
    assert (outcome.reason, outcome.sent, outcome.final) == (
        "its turn would come after the deadline",
        False,
        True,
    )


def test_a_wait_for_a_turn_ends_as_soon_as_it_cannot_come_in_time(monkeypatch):
    monkeypatch.setattr(shared_account, "RUN_WINDOW", 6.0)

    async def turns():
        shared = SharedAccount()
        first = asyncio.create_task(shared.turn(limit=24, pause=0.2, patience=60))
        second = asyncio.create_task(shared.turn(limit=24, pause=0, patience=0.3))
        begun = time.monotonic()
        return await asyncio.gather(first, second), time.monotonic() - begun

    (first, second), took = asyncio.run(turns())
    assert (first, second) == (True, False)
    assert took < 0.29


def test_concurrent_hooks_open_one_session():
    async def sessions():
        shared = SharedAccount()
        secure = ConnectionSettings("https://127.0.0.1:1/v7", TOKEN)
        first, second = await asyncio.gather(shared._session(secure), shared._session(secure))
        await shared.release()
        return first is second

    assert asyncio.run(sessions())


@pytest.mark.parametrize("shared", [True, False])
def test_concurrent_use_of_a_hook_reads_the_connection_once(connected, shared):
    async def load():
        hook = ThousandEyesAsyncHook(shared=shared)
        with pytest.raises(RuntimeError, match="has not been read yet"):
            _ = hook.account
        with pytest.raises(RuntimeError, match="has not been read yet"):
            _ = hook.settings
        first, second = await asyncio.gather(hook.load(), hook.load())
        users = hook.account._users
        await hook.close()
        return first == second, users

    assert asyncio.run(load()) == (True, 1)


def test_older_airflow_parses_the_extra_off_the_event_loop():
    class Old:
        @property
        def extra_dejson(self):
            return threading.current_thread() is not threading.main_thread()

    assert asyncio.run(async_thousandeyes._extra_of(Old()))


def test_a_turn_in_line_gives_up_at_its_own_limit():
    async def turns():
        shared = SharedAccount()
        first = asyncio.create_task(shared.turn(limit=24, pause=0.3, patience=60))
        second = asyncio.create_task(shared.turn(limit=24, pause=0, patience=0.05))
        return await asyncio.gather(first, second)

    assert asyncio.run(turns()) == [True, False]


def test_the_expected_wait_includes_requests_in_line(monkeypatch):
    monkeypatch.setattr(shared_account, "RUN_WINDOW", 6.0)

    async def expected():
        shared = SharedAccount()
        first = shared.expected_wait_for_turn(0.0)
        await shared.turn(limit=24, pause=0, patience=60)
        waiting = asyncio.create_task(shared.turn(limit=24, pause=0, patience=60))
        await asyncio.sleep(0)
        behind = shared.expected_wait_for_turn(0.0)
        waiting.cancel()
        return first, behind, shared.expected_wait_for_turn(3.0)

    first, behind, after_pause = asyncio.run(expected())
    assert first == 0.0
    gap = 6.0 / 24
    assert (1 + RUNS_WITHOUT_TURN) * gap < behind <= (2 + RUNS_WITHOUT_TURN) * gap
    assert after_pause >= 3.0


def test_a_turn_without_time_to_wait_is_refused():
    async def turn():
        return await SharedAccount().turn(limit=None, pause=0.0, patience=0.0)

    assert asyncio.run(turn()) is False
