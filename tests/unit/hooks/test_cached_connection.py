"""Hooks of an event loop that start together read a connection once."""

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
    """The reads of the connection. Each read takes some time."""
    asked = []
    ask = async_thousandeyes.get_async_connection

    async def counting(conn_id):
        asked.append(conn_id)
        await asyncio.sleep(0.02)
        return await ask(conn_id)

    monkeypatch.setattr(async_thousandeyes, "get_async_connection", counting)
    return asked


@pytest.fixture
def set_connection(monkeypatch):
    """A function that sets the token of the connection."""

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


def test_a_hundred_hooks_that_start_together_read_once(reads, set_connection):
    async def lives():
        made = hooks(100)
        assert {settings.token for settings in await load(made)} == {"first"}
        await close(made)

    asyncio.run(lives())
    assert len(reads) == 1


def test_a_later_hook_reads_again(reads, set_connection, monkeypatch):
    monkeypatch.setattr(async_thousandeyes, "CONNECTION_TTL", 0.05)

    async def lives():
        first, second = hooks(2)
        await first.load()
        set_connection("second")
        await asyncio.sleep(0.1)
        assert (await second.load()).token == "second"
        await close([first, second])

    asyncio.run(lives())
    assert len(reads) == 2


def test_after_a_401_the_connection_is_read_again(reads, set_connection):
    async def lives():
        made = hooks(3)
        await load(made)
        set_connection("second")
        await close(made)  # as after a 401
        assert {settings.token for settings in await load(made)} == {"second"}
        await close(made)

    asyncio.run(lives())
    assert len(reads) == 2


def test_another_hook_reads_when_the_reader_is_cancelled(reads, set_connection):
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


def test_an_invalid_connection_fails_every_hook(reads, set_connection):
    async def lives():
        set_connection("not a token")
        made = hooks(3)
        outcomes = await load(made)
        assert all(isinstance(error, ThousandEyesConfigurationError) for error in outcomes)
        set_connection("better")
        assert (await made[0].load()).token == "better"
        await close(made)

    asyncio.run(lives())


def test_the_cache_is_empty_after_the_last_hook_closes(reads, set_connection):
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
