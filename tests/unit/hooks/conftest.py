"""A simulated ThousandEyes and a hook that is connected to it."""

from __future__ import annotations

import json

import pytest

from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook
from thousandeyes_provider.simulator import Simulator

TOKEN = "t0ken-that-nobody-may-see"


@pytest.fixture
def simulator():
    with Simulator(tokens=[TOKEN]) as running:
        yield running


@pytest.fixture
def connect(simulator, monkeypatch):
    """Makes a hook, on a connection with further extras."""

    def make(aid=None, **extra):
        fields = simulator.connection(**{"timeout": 3, **extra})
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))
        return ThousandEyesHook(account_group_id=aid)

    return make


@pytest.fixture
def hook(connect):
    """A hook whose backoffs take next to no time."""
    made = connect()
    made._chance = lambda: 0.01
    return made


@pytest.fixture
def sleeps(hook):
    """What the hook would have slept, in seconds."""
    slept = []
    hook._sleep = slept.append
    return slept
