"""One reading of a connection for all hooks of an event loop that begin together."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest

from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.hooks import async_thousandeyes
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesAsyncHook

FIELDS = {"conn_type": "thousandeyes", "host": "127.0.0.1", "port": 1, "schema": "http"}


@pytest.fixture
def reads(monkeypatch):
    """How often Airflow is asked; it takes a moment."""
    asked = []
    ask = async_thousandeyes.get_async_connection

    async def counting(conn_id):
        asked.append(conn_id)
        await asyncio.sleep(0.02)
        return await ask(conn_id)

    monkeypatch.setattr(async_thousandeyes, "get_async_connection", counting)
    return asked


@pytest.fixture
def say(monkeypatch):
    """Sets what the connection says."""

    def set_token(token):
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps({**FIELDS, "password": token}))

    set_token("first")
    return set_token


def hooks(count):
    return [ThousandEyesAsyncHook(shared=True) for _ in range(count)]


async def load(made):
    return await asyncio.gather(*(hook.load() for hook in made), return_exceptions=True)


async def close(made):
    for hook in made:
        await hook.close()


def test_a_hundred_that_begin_together_ask_airflow_once(reads, say):
    async def lives():
        made = hooks(100)
        assert {settings.token for settings in await load(made)} == {"first"}
        await close(made)

    asyncio.run(lives())
    assert len(reads) == 1


def test_who_begins_later_reads_anew(reads, say, monkeypatch):
    monkeypatch.setattr(async_thousandeyes, "CONNECTION_TTL", 0.05)

    async def lives():
        first, second = hooks(2)
        await first.load()
        say("second")
        await asyncio.sleep(0.1)
        assert (await second.load()).token == "second"
        await close([first, second])

    asyncio.run(lives())
    assert len(reads) == 2


def test_after_a_refusal_nothing_that_was_read_before_is_taken(reads, say):
    async def lives():
        made = hooks(3)
        await load(made)
        say("second")
        await close(made)  # as after a 401
        assert {settings.token for settings in await load(made)} == {"second"}
        await close(made)

    asyncio.run(lives())
    assert len(reads) == 2


def test_when_the_one_who_reads_is_cancelled_the_next_one_reads(reads, say):
    async def lives():
        made = hooks(3)
        tasks = [asyncio.create_task(hook.load()) for hook in made]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert {settings.token for settings in outcomes[1:]} == {"first"}
        await close(made)

    asyncio.run(lives())
    assert len(reads) == 2


def test_a_connection_that_is_wrong_is_wrong_for_each(reads, say):
    async def lives():
        say("not a token")
        made = hooks(3)
        outcomes = await load(made)
        assert all(isinstance(error, ThousandEyesConfigurationError) for error in outcomes)
        say("better")
        assert (await made[0].load()).token == "better"
        await close(made)

    asyncio.run(lives())


def test_nothing_is_kept_when_the_last_one_is_gone(reads, say):
    async def lives():
        made = hooks(2)
        await load(made)
        await close(made)
        of_loop = async_thousandeyes._cached[asyncio.get_running_loop()]
        assert list(of_loop) == ["thousandeyes_default"]
        made.clear()
        gc.collect()
        assert list(of_loop) == []

    asyncio.run(lives())
