from __future__ import annotations

from typing import Any

import pytest

from thousandeyes_provider.simulator.injected_faults import (
    KINDS,
    OPERATIONS,
    InjectedFault,
    InjectedFaultQueue,
)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"operation": "runs"}, "operation must be one of tests, test, results, details"),
        ({"operation": "run", "kind": "explode"}, "kind must be one of status, cut"),
        ({"operation": "run", "times": 0}, "times"),
        ({"operation": "run", "skip": -1}, "skip"),
        ({"operation": "run", "status": 700}, "status"),
        (
            {"operation": "run", "kind": "cut", "status": 500},
            "status applies to the kinds status and html only",
        ),
        ({"operation": "run", "seconds": float("inf")}, "seconds"),
        ({"operation": "run", "kind": "slow-body", "started": False}, "started"),
        ({"operation": "run", "started": "yes"}, "started"),
        ({"operation": "results", "result_type": "bgp"}, "result_type must be one of network"),
        ({"operation": "run", "headers": {"Retry-After": 3}}, "headers"),
        ({"operation": "run", "detail": 3}, "detail"),
        ({"operation": "run", "delay": 3}, "unknown field of a fault delay; known: operation, kind"),
        ({}, "operation is required"),
    ],
)
def test_an_invalid_fault_is_refused_with_the_choices(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InjectedFault.from_json(spec)


@pytest.mark.parametrize("kind", KINDS)
def test_only_delayed_and_cut_responses_are_processed_by_default(kind: str) -> None:
    assert InjectedFault("run", kind).processed == (kind in ("cut-body", "slow-first-byte", "slow-body"))
    assert InjectedFault("run", kind, started=True).processed


def test_faults_apply_in_the_order_in_which_they_were_added() -> None:
    queue = InjectedFaultQueue()
    queue.add(InjectedFault("run", status=500))
    queue.add(InjectedFault("*", status=502, times=2))
    taken = [queue.take(operation, "1", None) for operation in ("tests", "run", "run", "run")]
    assert [fault and fault.status for fault in taken] == [502, 500, 502, None]
    assert queue.waiting == []


def test_a_fault_matches_its_test_and_result_type_and_skips_requests() -> None:
    queue = InjectedFaultQueue()
    queue.add(InjectedFault("results", test_id="1", result_type="network", skip=1))
    assert queue.take("results", "2", "network") is None
    assert queue.take("results", "1", "path-vis") is None
    assert queue.take("results", "1", "network") is None, "the first request is skipped"
    assert queue.take("results", "1", "network") is not None


def test_a_fault_can_apply_without_limit() -> None:
    queue = InjectedFaultQueue()
    queue.add(InjectedFault("*", "cut", times=None))
    assert all(queue.take(operation, None, None) for operation in (*OPERATIONS, *OPERATIONS))
    queue.clear()
    assert queue.take("run", None, None) is None


def test_a_fault_can_be_removed_before_it_is_used_up() -> None:
    queue = InjectedFaultQueue()
    first, second = InjectedFault("*", "cut", times=None), InjectedFault("*", "cut", times=None)
    queue.add(first)
    queue.add(second)
    queue.remove(first)
    assert queue.waiting == [(second, None)]
