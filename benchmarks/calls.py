"""A call through the hook, compared with plain requests and the http provider's hook."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from world import TOKEN, Row, World, clock, median, quiet, ratio


def per_call(rounds: int = 15, calls: int = 20) -> list[Row]:
    """Read and parse the results of a test with five agents over TLS.

    ``ThousandEyesHook.get_test_results`` and a plain ``requests.Session`` keep their connection. ``HttpHook.run``
    opens a session and a connection per call, as it does in the http provider's operators. The three take turns in one
    process in blocks of calls. The table shows the median block.
    """
    quiet()
    import requests

    from airflow.providers.http.hooks.http import HttpHook
    from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

    with World(tls=True, organization_limit=10_000_000) as world:
        world.connections()
        test_id = world.add_test()["test_id"]
        hook, their_hook, session = ThousandEyesHook(), HttpHook(method="GET"), requests.Session()
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        session.verify = os.environ["SSL_CERT_FILE"]
        path = f"v7/test-results/{test_id}/http-server"

        def ours() -> Any:
            return hook.get_test_results(test_id, "http-server")["results"]

        def bare() -> Any:
            response = session.get(f"{world.url}/{path}", timeout=30)
            response.raise_for_status()
            return response.json()["results"]

        def theirs() -> Any:
            return their_hook.run(path).json()["results"]

        ways: dict[str, Callable[[], Any]] = {"ours": ours, "bare": bare, "theirs": theirs}
        took: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, way in ways.items():
                began = clock()
                for _ in range(calls):
                    assert len(way()) == 5
                if number:  # the first block warms up imports and connections
                    took[name].append((clock() - began) / calls * 1000)
        hook.close()
        session.close()
    mine, plain, other = (median(took[name]) for name in ways)
    # The median of the ratios of adjacent blocks: temporary load affects both blocks.
    beside = median(our / plain_ for our, plain_ in zip(took["ours"], took["bare"], strict=True))
    return [
        Row(
            "a call (ms)",
            f"{mine:.2f}",
            f"{plain:.2f} plain requests.Session",
            f"{beside:.2f} x",
            "<= 1.2 x",
            beside <= 1.2,
        ),
        Row(
            "a call (ms)",
            f"{mine:.2f}",
            f"{other:.2f} HttpHook.run",
            ratio(mine, other),
            "< 1 x",
            mine < other,
        ),
    ]
