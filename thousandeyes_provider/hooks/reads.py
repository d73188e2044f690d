"""The reads of the API as flows. Both hooks have each of them as a method: one blocks, the other is awaited.

``time_left`` of each read returns the seconds until the caller's deadline; no retry waits longer. ``window``,
``start_date`` and ``end_date`` mean what they mean for :func:`get_test_results`.

A read that fails raises a :class:`~thousandeyes_provider.exceptions.ThousandEyesError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.coerce import objects_in, short_text
from thousandeyes_provider.api.flows import Flow, Notice, TimeLeft
from thousandeyes_provider.api.redaction import describe
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.api.test_search import is_older, select_tests
from thousandeyes_provider.exceptions import (
    ThousandEyesApiError,
    ThousandEyesConfigurationError,
    ThousandEyesError,
)

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.base_hook import BaseThousandEyesHook

ACCOUNT_GROUP_TIMEOUT = 3.0
"""Seconds that the lookup of the token's default account group may take."""

Listed = Flow[list[dict[str, Any]]]


def get_test_results(
    hook: BaseThousandEyesHook,
    test_id: str | int,
    result_type: str,
    *,
    window: str | int | None = None,
    start_date: str | datetime | None = None,
    end_date: str | datetime | None = None,
    direction: str | None = None,
    expand: str | Iterable[str] | None = None,
    time_left: TimeLeft | None = None,
) -> Flow[dict[str, Any]]:
    """Read all pages of ``GET /test-results/{testId}/{result_type}``.

    Without a window or dates ThousandEyes returns the newest round.

    :param result_type: ``network``, ``http-server``, ...
    :param window: period before now: a number with ``s`` (the default), ``m``, ``h``, ``d`` or ``w``.
    :param start_date: instead of ``window``: start of the range, ISO 8601 or a datetime (UTC without a zone).
    :param end_date: with ``start_date``: end of the range; now when left out.
    :param direction: ``to-target``, ``from-target`` or ``bidirectional``, for network measurements.
    :param expand: ``header``, ``certificate`` or both, for ``http-server``.
    :return: ``{"test": …, "results": […]}``; ``test`` is empty when the response has none.
    """
    one_of("result_type", result_type, RESULT_TYPES)
    params = period(window, start_date, end_date)
    if direction is not None:
        one_of("direction", direction, ("to-target", "from-target", "bidirectional"))
        params["direction"] = direction
    if expand:
        texts = [expand] if isinstance(expand, str) else expand
        fields = [field for text in texts for field in text.split(",")]
        for field in fields:
            one_of("expand", field, ("header", "certificate"))
        params["expand"] = ",".join(fields)
    request = hook.build(
        endpoints.RESULTS,
        f"{result_type} results of test {test_id}",
        parts={"test_id": test_id, "result_type": result_type},
        params=params,
    )
    return _results((yield from hook.pages(request, time_left)))


def get_test_details(
    hook: BaseThousandEyesHook,
    test_id: str | int,
    result_type: str,
    agent_id: str | int,
    round_id: str | int,
    *,
    time_left: TimeLeft | None = None,
) -> Flow[dict[str, Any]]:
    """Read the steps, requests or components of one agent in one round.

    ``GET /test-results/{testId}/{result_type}/agent/{agentId}/round/{roundId}``

    :param result_type: ``api``, ``page-load``, ``path-vis`` or ``web-transactions``.
    :return: ``{"test": …, "results": […]}``; one row for each direction of ``path-vis``, else one row.
    """
    one_of("result_type", result_type, endpoints.DETAILED)
    request = hook.build(
        endpoints.DETAILS,
        f"{result_type} details of test {test_id}, agent {agent_id}, round {round_id}",
        parts={"test_id": test_id, "result_type": result_type, "agent_id": agent_id, "round_id": round_id},
    )
    return _results((yield from hook.pages(request, time_left)))


def get_console_logs(
    hook: BaseThousandEyesHook,
    test_id: str | int,
    agent_id: str | int,
    round_id: str | int,
    *,
    time_left: TimeLeft | None = None,
) -> Flow[dict[str, Any]]:
    """Read the browser's console of one agent in one round of a web-transactions test.

    ``GET /test-results/{testId}/web-transactions/agent/{agentId}/round/{roundId}/console-logs``

    :return: the response; the lines of each page are in ``consoleLogs``.
    """
    request = hook.build(
        endpoints.CONSOLE_LOGS,
        f"console logs of test {test_id}, agent {agent_id}, round {round_id}",
        parts={"test_id": test_id, "agent_id": agent_id, "round_id": round_id},
    )
    return dict((yield from hook.request(request, time_left=time_left)).json())


def get_test(
    hook: BaseThousandEyesHook, test_id: str | int, test_type: str, *, time_left: TimeLeft | None = None
) -> Flow[dict[str, Any]]:
    """Read the definition of a test with its agents: ``GET /tests/{type}/{testId}?expand=agent``."""
    one_of("test_type", test_type, TEST_TYPES)
    parts = {"test_type": test_type, "test_id": test_id}
    request = hook.build(endpoints.TEST, f"{test_type} test {test_id}", parts=parts)
    return dict((yield from hook.request(request, time_left=time_left)).json())


def list_tests(
    hook: BaseThousandEyesHook,
    *,
    name: str | None = None,
    tags: str | Sequence[str] | None = None,
    match_tags: Literal["all", "any"] = "all",
    test_type: str | None = None,
    time_left: TimeLeft | None = None,
) -> Listed:
    """Read the configured tests: ``GET /tests``. Whether instant tests are listed is not documented.

    The list can feed a mapped task::

        [{"from_test": test["testId"], "test_type": test["type"]} for test in hook.list_tests(tags="service:checkout")]

    :param name: only tests of this name, regardless of case; ``*`` matches any characters, ``?`` exactly one.
    :param tags: only tests with these tags, each ``key:value``, ``key`` or the id of a tag, regardless of case.
        Instant tests carry no tags: tags select scheduled tests.
    :param match_tags: whether a test needs all of the tags or any of them.
    :param test_type: only tests of this type.
    :return: the tests; an empty list when a tag is on no test.
    :raises ThousandEyesConfigurationError: when no such tag exists; the message lists similar tags.
    """
    if test_type is not None:
        one_of("test_type", test_type, TEST_TYPES)
    one_of("match_tags", match_tags, ("all", "any"))
    known_tags = (yield from list_tags(hook, time_left=time_left)) if tags else []
    tests = yield from _listed(hook, endpoints.TESTS, time_left)
    try:
        return select_tests(
            tests,
            name=name,
            tags=tags or (),
            known_tags=known_tags,
            match_tags=match_tags,
            test_type=test_type,
        )
    except ValueError as error:
        raise ThousandEyesConfigurationError(str(error)) from None


def find_created(
    hook: BaseThousandEyesHook, test_type: str, name: str, age: Callable[[], float]
) -> Flow[dict[str, Any] | None]:
    """Find the test of a creation whose response was lost.

    :param name: its unique name.
    :param age: seconds since the creation was sent; called once ThousandEyes' clock is known.
    :return: the test; ``None`` if no test has that name.
    :raises ThousandEyesError: when the tests cannot be listed.
    """
    for test in (yield from list_tests(hook)):
        if test.get("testName") != name or not test.get("testId"):
            continue
        test_id = str(test["testId"])
        if is_older(test, hook.server_now() - age()):
            yield Notice(f"Test {test_id}: name {name!r} is the same, but the test is older")
            continue
        yield Notice(f"Test {test_id}: created as {name!r}")
        try:
            return (yield from get_test(hook, test_id, test_type))
        except ThousandEyesApiError as error:
            # Whether ThousandEyes returns the definition of an instant test is not documented.
            yield Notice(f"Test {test_id}: the definition is not available: {error}")
            return test
    return None


def list_tags(hook: BaseThousandEyesHook, *, time_left: TimeLeft | None = None) -> Listed:
    """Read the tags with the objects that carry them: ``GET /tags?expand=assignments``.

    :return: tags ``{"id", "key", "value", "assignments": [{"id", "type"}], …}``.
    """
    return _listed(hook, endpoints.TAGS, time_left)


def list_agents(hook: BaseThousandEyesHook, *, time_left: TimeLeft | None = None) -> Listed:
    """Read the cloud and enterprise agents, with the state of the latter: ``GET /agents``."""
    return _listed(hook, endpoints.AGENTS, time_left)


def list_account_groups(hook: BaseThousandEyesHook, *, time_left: TimeLeft | None = None) -> Listed:
    """Read the account groups that the token can use: ``GET /account-groups``."""
    return _listed(hook, endpoints.ACCOUNT_GROUPS, time_left)


def get_default_account_group(hook: BaseThousandEyesHook) -> Flow[str | None]:
    """Read the account group of requests that name none: ``GET /account-groups``, sent once.

    :return: the id; ``None`` when the response does not show it, when the read fails, which is logged, or when the
        quota does not allow it within :data:`ACCOUNT_GROUP_TIMEOUT`.
    """
    if hook.polling_gap() > ACCOUNT_GROUP_TIMEOUT:
        return None
    ends = hook.clock.now() + ACCOUNT_GROUP_TIMEOUT
    request = hook.build(endpoints.ACCOUNT_GROUPS)
    try:
        response = yield from hook.request(
            request, time_left=lambda: ends - hook.clock.now(), queue_timeout=0.0, retry_limit=1
        )
    except ThousandEyesError as error:
        yield Notice(f"Could not read the default account group of the token: {error}")
        return None
    return default_account_group(request.items(response))


def default_account_group(groups: Iterable[Mapping[str, Any]]) -> str | None:
    """The account group that the flags of ``GET /account-groups`` agree on; ``None`` when they do not."""
    flags = ("isCurrentAccountGroup", "isDefaultAccountGroup")
    marked = {
        short_text(group.get("aid")) for group in groups if any(group.get(flag) is True for flag in flags)
    }
    return (marked.pop() or None) if len(marked) == 1 else None


def list_alert_rules(
    hook: BaseThousandEyesHook, test_id: str | int | None = None, *, time_left: TimeLeft | None = None
) -> Listed:
    """Read the alert rules: ``GET /alerts/rules``.

    :param test_id: only the rules that apply to this test, with their details. ThousandEyes lists the tests of a rule
        in the rule's details only, so this takes one request for each rule.
    :return: rules ``{"ruleId", "ruleName", "alertType", "expression", …}``.
    """
    rules = yield from _listed(hook, endpoints.ALERT_RULES, time_left)
    if test_id is None:
        return rules
    applied = []
    for rule in rules:
        rule_id = rule.get("ruleId")
        request = hook.build(endpoints.ALERT_RULE, f"alert rule {rule_id}", parts={"rule_id": rule_id})
        details = dict((yield from hook.request(request, time_left=time_left)).json())
        if str(test_id) in _test_ids(details):
            applied.append(details)
    return applied


def list_alerts(
    hook: BaseThousandEyesHook,
    *,
    window: str | int | None = None,
    start_date: str | datetime | None = None,
    end_date: str | datetime | None = None,
    state: Literal["trigger", "clear"] | None = None,
    time_left: TimeLeft | None = None,
) -> Listed:
    """Read all pages of the alerts: ``GET /alerts``. Instant tests raise none.

    :param state: only alerts in this state; ThousandEyes' default, ``trigger``, when ``None``.
    """
    if state is not None:
        one_of("state", state, ("trigger", "clear"))
    params = {} if state is None else {"state": state}
    return _listed(hook, endpoints.ALERTS, time_left, {**period(window, start_date, end_date), **params})


def list_events(
    hook: BaseThousandEyesHook,
    *,
    window: str | int | None = None,
    start_date: str | datetime | None = None,
    end_date: str | datetime | None = None,
    time_left: TimeLeft | None = None,
) -> Listed:
    """Read all pages of the events that ThousandEyes detected: ``GET /events``."""
    return _listed(hook, endpoints.EVENTS, time_left, period(window, start_date, end_date))


def _listed(
    hook: BaseThousandEyesHook,
    endpoint: endpoints.Endpoint,
    time_left: TimeLeft | None,
    params: Mapping[str, str] | None = None,
) -> Listed:
    request = hook.build(endpoint, params=params)
    return list((yield from hook.pages(request, time_left))[str(endpoint.member)])


def _results(content: Mapping[str, Any]) -> dict[str, Any]:
    test = content.get("test")
    return {"test": test if isinstance(test, dict) else {}, "results": content["results"]}


def _test_ids(rule: Mapping[str, Any]) -> set[str]:
    """The ids of the tests that an alert rule applies to."""
    ids = rule.get("testIds")
    listed = [test.get("testId") for test in objects_in(rule.get("tests"))]
    return {str(test_id) for test_id in (*listed, *(ids if isinstance(ids, list) else ()))}


# -- arguments -------------------------------------------------------------------------------------------------------


def one_of(name: str, value: Any, choices: Iterable[str]) -> None:
    """Check an argument that has a few possible values.

    :raises ThousandEyesConfigurationError: naming the argument, the value and the choices.
    """
    if value not in tuple(choices):
        raise ThousandEyesConfigurationError(
            f"{name} must be one of {', '.join(choices)}, got {describe(value)}"
        )


def period(
    window: str | int | None, start: str | datetime | None, end: str | datetime | None
) -> dict[str, str]:
    """The query parameters of a period.

    :raises ThousandEyesConfigurationError: when the arguments are invalid or exclude each other.
    """
    if window is not None and (start is not None or end is not None):
        raise ThousandEyesConfigurationError("give either window, or start_date and end_date, not both")
    if end is not None and start is None:
        raise ThousandEyesConfigurationError("end_date requires start_date")
    if window is not None:
        text = str(window).strip()
        digits = text[:-1] if text[-1:] in tuple("smhdw") else text
        if not (digits.isascii() and digits.isdigit()):
            raise ThousandEyesConfigurationError(
                f"window must be a number with s, m, h, d or w, such as 12h, got {describe(window)}"
            )
        return {"window": text}
    dates = {"startDate": ("start_date", start), "endDate": ("end_date", end)}
    return {
        key: iso_time(date_of(name, value).timestamp())
        for key, (name, value) in dates.items()
        if value is not None
    }


def date_of(name: str, value: str | datetime) -> datetime:
    """A date that may be ISO 8601 text; in UTC without a zone.

    :raises ThousandEyesConfigurationError: naming the argument and the value.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ThousandEyesConfigurationError(
                f"{name} must be a date and time in ISO 8601, got {describe(value)}"
            ) from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
