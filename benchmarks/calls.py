"""A call through the hook, beside the bare library and the http provider's hook."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from world import TOKEN, Row, World, clock, median, quiet, ratio


def per_call(rounds: int = 15, calls: int = 20) -> list[Row]:
    """Reading the results of a test with five agents over TLS, and parsing them.

    ``ThousandEyesHook.get_test_results`` and a bare ``requests.Session`` keep their connection. ``HttpHook.run`` opens
    a session, and with it a connection, for each call: that is how the http provider is used. The three take turns in
    one process, in blocks of calls; the median of the blocks counts.
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
            answer = session.get(f"{world.url}/{path}", timeout=30)
            answer.raise_for_status()
            return answer.json()["results"]

        def theirs() -> Any:
            return their_hook.run(path).json()["results"]

        ways: dict[str, Callable[[], Any]] = {"ours": ours, "bare": bare, "theirs": theirs}
        took: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, way in ways.items():
                began = clock()
                for _ in range(calls):
                    assert len(way()) == 5
                if number:  # the first is for imports and connections
                    took[name].append((clock() - began) / calls * 1000)
        hook.close()
        session.close()
    mine, plain, other = (median(took[name]) for name in ways)
    # Side by side: the ratio of each block to the one beside it, so that a slow moment counts for both.
    beside = median(one / two for one, two in zip(took["ours"], took["bare"], strict=True))
    return [
        Row(
            "a call (ms)",
            f"{mine:.2f}",
            f"{plain:.2f} bare requests.Session",
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
