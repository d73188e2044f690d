"""The step at which an agent failed, from the details of one round at one agent.

Three result types have details: the requests of an API test with their assertions, the pages of a web transaction with
its console log, the components of a page. See `docs/thousandeyes-api.md`, "Details of one round".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from thousandeyes_provider.api.coerce import boolean, inner_value, number, objects_in, whole_number
from thousandeyes_provider.validation.formatting import one_line
from thousandeyes_provider.validation.verdict import Judgement

DETAILED_RESULT_TYPES = ("api", "web-transactions", "page-load")
"""The result types with details for one agent in one round."""

MAX_DETAILED_AGENTS = 5
"""Failed agents whose details are worth a request."""

MAX_NAME = 120
"""Characters of the name of a step."""

MAX_LOG_LINES = 3
"""Lines of a console log; the last ones are kept."""

_ERROR_LEVELS = frozenset(("SEVERE", "ERROR"))


@dataclass(frozen=True)
class FailedAt:
    """An agent whose details show the failed step.

    :param key: the agent, as a key of ``Observed.steps``.
    """

    key: str
    agent_id: str
    result_type: str


def agents_to_detail(judgement: Judgement) -> list[FailedAt]:
    """Return the failed agents whose details are worth a request, the worst first, at most five."""
    wanted = []
    for error in judgement.errors:
        failed_types = [reason.partition(":")[0] for reason in error.reasons]
        result_type = next((name for name in DETAILED_RESULT_TYPES if name in failed_types), None)
        if result_type and error.agent.agent_id:
            wanted.append(FailedAt(error.key, error.agent.agent_id, result_type))
    return wanted[:MAX_DETAILED_AGENTS]


def failed_step(
    result_type: str,
    details: Mapping[str, Any],
    *,
    test: Mapping[str, Any] | None = None,
    console_logs: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Return the failed step in the details of one agent in one round; ``None`` when they show none.

    :param result_type: one of :data:`DETAILED_RESULT_TYPES`.
    :param details: the response of ``/test-results/{id}/{result type}/agent/{agent}/round/{round}``.
    :param test: the definition of the test; for an API test it has the text of the assertions.
    :param console_logs: the response of ``…/console-logs``, for a web transaction.
    :return: ``kind`` (``request``, ``page`` or ``component``), ``name``, ``message``; where known also ``number`` (from
        1), ``url`` without query, ``failed`` (number of failed components), ``console`` (the last error lines).
    """
    for row in objects_in(details.get("results")):
        if result_type == "api":
            step = _failed_request(row, test or {})
        elif result_type == "web-transactions":
            step = _failed_page(row, console_logs or {})
        else:
            step = _failed_component(row)
        if step is not None:
            return {
                name: value
                for name, value in step.items()
                if value not in (None, "", []) or name in ("name", "message")
            }
    return None


def _failed_request(row: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first request of an API test that failed an assertion or did not complete."""
    requests = sorted(
        objects_in(row.get("requests")), key=lambda request: number(request.get("stepNumber")) or 0
    )
    for request in requests:
        failed = [
            assertion
            for assertion in objects_in(request.get("assertions"))
            if boolean(assertion.get("hasFailed"))
        ]
        completion = number(request.get("completion"))
        is_incomplete = completion is not None and completion < 100
        if not failed and not is_incomplete and not (number(request.get("assertErrorCount")) or 0) > 0:
            continue
        position = whole_number(request.get("stepNumber"))
        definition = _request_definition(request, position, test)
        messages = [_assertion_text(assertion, definition) for assertion in failed]
        return {
            "kind": "request",
            "number": position,
            "name": _name(request.get("name")),
            "message": one_line("; ".join(messages) or _error_text(row) or "did not complete"),
            "url": _url(request.get("url")),
        }
    return None


def _request_definition(
    request: Mapping[str, Any], position: int | None, test: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The definition of a request: by its name, else by its position."""
    definitions = objects_in(test.get("requests"))
    named = [definition for definition in definitions if definition.get("name") == request.get("name")]
    return named[0] if named else _at(definitions, position)


def _at(definitions: Sequence[Mapping[str, Any]], position: int | None) -> Mapping[str, Any]:
    """The definition at a position, counted from 1; empty when there is none."""
    return definitions[position - 1] if position is not None and 0 < position <= len(definitions) else {}


def _assertion_text(assertion: Mapping[str, Any], definition: Mapping[str, Any]) -> str:
    """``assertion failed: status-code is 200``; its number when the definition does not have it."""
    position = whole_number(assertion.get("step"))
    defined = _at(objects_in(definition.get("assertions")), position)
    parts = (defined.get(name) for name in ("name", "operator", "value"))
    text = " ".join(one_line(str(part), MAX_NAME) for part in parts if isinstance(part, str | int))
    if text:
        return f"assertion failed: {text}"
    return f"assertion {position} failed" if position is not None else "assertion failed"


def _failed_page(row: Mapping[str, Any], console_logs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last page that a web transaction reached before its error."""
    message, pages = _error_text(row), objects_in(row.get("pages"))
    console = _console_errors(console_logs)
    if not message and not console:
        return None
    page = max(pages, key=lambda page: number(page.get("pageNum")) or 0, default={})
    position = whole_number(page.get("pageNum"))
    return {
        "kind": "page",
        "number": None if position is None else position + 1,
        "name": _name(page.get("pageName")),
        "message": one_line(message or console[-1]),
        "console": console,
    }


def _console_errors(console_logs: Mapping[str, Any]) -> list[str]:
    """The last lines of a console log with an error."""
    lines = [
        one_line(value)
        for row in objects_in(console_logs.get("results"))
        for line in objects_in(row.get("consoleLogs"))
        if str(line.get("level")).upper() in _ERROR_LEVELS and isinstance(value := line.get("value"), str)
    ]
    return lines[-MAX_LOG_LINES:]


def _failed_component(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first component of a page that failed, in the order of the requests; the document is the first."""
    entries = objects_in(inner_value(row, "har", "log", "entries"))
    failed = [
        (position, message)
        for position, entry in enumerate(entries, 1)
        if (message := _component_error(entry.get("response")))
    ]
    if not failed:
        return None
    position, message = failed[0]
    return {
        "kind": "component",
        "number": position,
        "name": _url(inner_value(entries[position - 1], "request", "url")),
        "message": message,
        "failed": len(failed),
    }


def _component_error(response: Any) -> str:
    """``status 503 Service Unavailable``; empty for a component that loaded."""
    status = whole_number(inner_value(response, "status"))
    if status is None or 0 < status < 400:
        return ""
    if status <= 0:
        return "no response"
    text = response.get("statusText")
    return one_line(f"status {status} {text if isinstance(text, str) else ''}")


def _error_text(row: Mapping[str, Any]) -> str:
    """The error of a row: its details, else its type."""
    for name in ("errorDetails", "errorType"):
        value = row.get(name)
        if isinstance(value, str) and value.strip() and value.strip().lower() not in ("none", "null"):
            return one_line(value)
    return ""


def _name(value: Any) -> str:
    return one_line(value, MAX_NAME) if isinstance(value, str) else ""


def _url(value: Any) -> str:
    """A URL without user, query and fragment, which may hold secrets."""
    if not isinstance(value, str):
        return ""
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return one_line(f"{parts.scheme}://{host}{port}{parts.path}", MAX_NAME) if host else ""
