"""A simulated API without a socket. Tests call the service directly and set the time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from thousandeyes_provider.simulator.model import World
from thousandeyes_provider.simulator.operations import ReceivedRequest
from thousandeyes_provider.simulator.responses import Delivery, SimulatedResponse
from thousandeyes_provider.simulator.service import Service
from thousandeyes_provider.simulator.switches import Switches

NOW = 1_800_000_015.0
"""15 seconds past a full minute."""


@dataclass
class Api:
    """The API at a given time. ``api.now += 3`` advances the time."""

    service: Service
    now: float = NOW

    @property
    def world(self) -> World:
        return self.service.world

    def send(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        token: str = "Bearer secret-token",
        agent: str = "pytest",
    ) -> Delivery:
        parts = urlsplit(url)
        segments = tuple(parts.path.split("/")[1:])
        call = ReceivedRequest(
            method,
            parts.path,
            segments[1:] if segments[0] == "v7" else segments,
            "http://127.0.0.1:8080/v7",
            dict(parse_qsl(parts.query)),
            token,
            agent,
            b"" if body is None else json.dumps(body).encode(),
        )
        return self.service.handle(call, self.now)

    def ask(self, method: str, url: str, body: Any = None, **how: str) -> SimulatedResponse:
        response = self.send(method, url, body, **how).response
        assert response is not None
        return response

    def get(self, url: str) -> Any:
        response = self.ask("GET", url)
        assert response.status == 200, response.body
        return json.loads(response.body)

    def rows(self, test_id: str, result_type: str, query: str = "") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get(f"/test-results/{test_id}/{result_type}{query}")["results"]
        return rows

    def round_ids(self, test_id: str, result_type: str, query: str = "") -> set[int]:
        return {row["roundId"] for row in self.rows(test_id, result_type, query)}

    def status(self, method: str, url: str, body: Any = None) -> int:
        return self.ask(method, url, body).status

    def run(self, test_id: str) -> int:
        return self.status("POST", f"/tests/{test_id}/run")


@pytest.fixture
def make_api() -> Callable[..., Api]:
    """Return a function that makes an :class:`Api`.

    It takes switches, ``speed``, ``tokens`` and ``default_tests``.
    """

    def make(
        *, speed: float = 1.0, tokens: list[str] | None = None, default_tests: bool = True, **switches: Any
    ) -> Api:
        world = World(NOW, Switches().changed(switches), speed=speed, default_tests=default_tests)
        return Api(Service(world, tokens))

    return make
