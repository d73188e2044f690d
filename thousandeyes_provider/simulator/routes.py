"""Paths of the API and the operations that they address."""

from __future__ import annotations

from dataclasses import dataclass

from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES

DETAIL_TYPES = ("path-vis", "page-load", "web-transactions", "api")
"""The result types that have details of one agent in one round."""


@dataclass(frozen=True)
class Route:
    """The operation and the ids that a path addresses.

    :param operation: a name from :data:`~thousandeyes_provider.simulator.injected_faults.OPERATIONS`; ``None`` for an
        unknown path.
    :param method: the only method that the operation allows.
    :param test_id: the test in the path.
    :param test_type: the test type in the path.
    :param result_type: the result type in the path.
    :param agent_id: the agent in the path.
    :param round_id: the round in the path.
    :param object_id: the tag, alert rule, alert or event in the path.
    """

    operation: str | None
    method: str = "GET"
    test_id: str | None = None
    test_type: str | None = None
    result_type: str | None = None
    agent_id: str = ""
    round_id: str = ""
    object_id: str = ""


def route(segments: tuple[str, ...]) -> Route:
    """Return the route of a path, regardless of the method.

    :param segments: decoded parts of the path, without a leading ``v7``.
    """
    match segments:
        case ("tests",):
            return Route("tests")
        case ("tests", test_id, "run"):
            return Route("run", "POST", test_id)
        case ("tests", test_id, "snapshot"):
            return Route("snapshot", "POST", test_id)
        case ("tests", test_type, "instant") if test_type in TEST_TYPES:
            return Route("create", "POST", test_type=test_type)
        case ("tests", test_type, test_id) if test_type in TEST_TYPES:
            return Route("test", test_id=test_id, test_type=test_type)
        case ("test-results", test_id, result_type) if result_type in RESULT_TYPES:
            return Route("results", test_id=test_id, result_type=result_type)
        case ("test-results", test_id, result_type, "agent", agent_id, "round", round_id) if (
            result_type in DETAIL_TYPES
        ):
            return Route(
                "details", test_id=test_id, result_type=result_type, agent_id=agent_id, round_id=round_id
            )
        case (
            "test-results",
            test_id,
            "web-transactions",
            "agent",
            agent_id,
            "round",
            round_id,
            "console-logs",
        ):
            return Route(
                "console-logs",
                test_id=test_id,
                result_type="web-transactions",
                agent_id=agent_id,
                round_id=round_id,
            )
        case ("tags",):
            return Route("tags")
        case ("tags", tag_id):
            return Route("tag", object_id=tag_id)
        case ("alerts",):
            return Route("alerts")
        case ("alerts", "rules"):
            return Route("alert-rules")
        case ("alerts", "rules", rule_id):
            return Route("alert-rule", object_id=rule_id)
        case ("alerts", alert_id):
            return Route("alert", object_id=alert_id)
        case ("events",):
            return Route("events")
        case ("agents",):
            return Route("agents")
        case ("account-groups",):
            return Route("account-groups")
        case ("users", "current"):
            return Route("current-user")
    return Route(None)
