"""Details of one agent in one round: requests, pages, components and hops.

Functions take the row of the agent and return the fields that its details add. docs/thousandeyes-api.md, "Details of
one round".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urljoin

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.simulator.rows import TRANSACTION_PAGES, Measured, Row

MAX_COMPONENTS = 40
"""Maximum number of components in the details of a page load; ``numObjects`` of the row may be higher."""

_COMPONENTS = ("app.js", "app.css", "logo.svg", "fonts/text.woff2", "hero.jpg", "analytics.js", "api/session")
_MEDIA_TYPES: Mapping[str, str] = {
    "js": "application/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
    "jpg": "image/jpeg",
}


def details_of(result_type: str, measured: Measured, row: Row, failed_step: int | None) -> Row:
    """Return the fields that the details add to the row of the agent.

    :param result_type: a name from :data:`~thousandeyes_provider.simulator.routes.DETAIL_TYPES`.
    :param measured: inputs of the row.
    :param row: fields of the row.
    :param failed_step: number of the step that failed, from 1; ``None``: none failed.
    """
    figures = Random(f"{measured.seed}|{measured.test_id}|{measured.agent_id}|{measured.number}|details")
    match result_type:
        case "api":
            return {"requests": _requests(measured, row, failed_step, figures)}
        case "web-transactions":
            return {
                "pages": _pages(row, failed_step, figures),
                "markers": _markers(failed_step, figures),
            }
        case "page-load":
            return {"har": _archive(measured, row, failed_step, figures)}
        case _:
            return {"pathTraces": [_trace(trace, figures) for trace in row["pathTraces"]]}


def console_logs(measured: Measured, row: Row, failed_step: int | None) -> list[dict[str, str]]:
    """Return the browser log of a web transaction."""
    at = measured.started * 1000
    logs = [{"level": "INFO", "timestamp": str(at), "value": "Transaction started"}]
    if failed_step is not None:
        reason = row.get("errorDetails") or "Transaction failed"
        logs.append({"level": "SEVERE", "timestamp": str(at + 1500 * failed_step), "value": str(reason)})
    return logs


def _requests(measured: Measured, row: Row, failed_step: int | None, figures: Random) -> list[dict[str, Any]]:
    """Return the requests up to the one that failed; the transaction ends there."""
    defined = [
        request for request in measured.definition.get("requests") or () if isinstance(request, Mapping)
    ]
    total = row.get("apiTransactionTime")
    share = (total if isinstance(total, int | float) else 300.0) / max(len(defined), 1)
    asserts = "assert" in str(row.get("errorDetails")).lower()
    requests = []
    for step, request in enumerate(defined, 1):
        failed = step == failed_step
        requests.append(_request(step, request, share, asserts=asserts, failed=failed, figures=figures))
        if failed:
            break
    return requests


def _request(
    step: int, request: Mapping[str, Any], share: float, *, asserts: bool, failed: bool, figures: Random
) -> dict[str, Any]:
    dns, connect, send = (round(figures.uniform(0.5, 4), 2) for _ in range(3))
    body: dict[str, Any] = {
        "name": str(request.get("name")),
        "url": str(request.get("url")),
        "stepNumber": step,
        "stepType": "default",
        "dnsTime": dns,
        "connectTime": connect,
        "blockedTime": 0.0,
        "assertErrorCount": int(failed and asserts),
        "completion": 0.0 if failed else 100.0,
        "assertions": [],
    }
    if failed and not asserts:
        return body  # no connection, so no request
    call = round(share * figures.uniform(0.9, 0.98), 2)
    wait = round(max(call - dns - connect - send, 1.0) * 0.9, 2)
    defined = request.get("assertions")
    count = max(len(defined) if isinstance(defined, list) else 0, int(failed))
    return body | {
        "sendTime": send,
        "waitTime": wait,
        "responseTime": wait,
        "receiveTime": round(max(call - dns - connect - send - wait, 0.1), 2),
        "apiCallTime": call,
        "processingTime": round(share - call, 2),
        "stepTime": round(share, 2),
        "assertions": [
            {"step": number, "hasFailed": failed and number == count} for number in range(1, count + 1)
        ],
    }


def _pages(row: Row, failed_step: int | None, figures: Random) -> list[dict[str, Any]]:
    """Return the pages up to the one that failed; the transaction ends there."""
    total = row.get("transactionTime")
    shown = TRANSACTION_PAGES[:failed_step]
    share = (total if isinstance(total, int | float) else 3000.0) / len(TRANSACTION_PAGES)
    return [
        {
            "pageNum": position,
            "pageName": name,
            "componentCount": figures.randint(12, 40),
            "errorCount": _errors_on_page(row) if position == failed_step else 0,
            "duration": round(share * figures.uniform(0.9, 1.1), 1),
        }
        for position, name in enumerate(shown, 1)
    ]


def _errors_on_page(row: Row) -> int:
    errors = row.get("componentErrors")
    return errors if isinstance(errors, int) and errors > 0 else 1


def _markers(failed_step: int | None, figures: Random) -> list[dict[str, Any]]:
    finished = TRANSACTION_PAGES if failed_step is None else TRANSACTION_PAGES[: failed_step - 1]
    return [{"name": name, "duration": figures.randint(400, 1800)} for name in finished]


def _archive(measured: Measured, row: Row, failed_step: int | None, figures: Random) -> dict[str, Any]:
    """Return the page load as an HTTP archive, version 1.2. A component that failed has status 0."""
    url = str(measured.definition.get("url") or "https://www.example.com/")
    count = number(row.get("numObjects"))
    errors = row.get("numErrors")
    bad = range(0) if failed_step is None else range(failed_step, failed_step + max(int(errors or 1), 1))
    if failed_step is None and isinstance(errors, int) and errors > 0:
        bad = range(2, 2 + errors)
    entries = []
    for step in range(1, int(min(max(count or 1, bad.stop), MAX_COMPONENTS)) + 1):
        entries.append(_entry(measured, url, step, failed=step in bad, figures=figures))
        if step == 1 and 1 in bad:
            break  # components load only after the document
    load = row.get("pageLoadTime", -1)
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "ThousandEyes", "version": "1.0"},
            "pages": [
                {
                    "id": "page_1",
                    "title": url,
                    "startedDateTime": _moment(measured, 0),
                    "pageTimings": {"onContentLoad": row.get("domLoadTime", -1), "onLoad": load},
                }
            ],
            "entries": entries,
        }
    }


def _entry(measured: Measured, url: str, step: int, *, failed: bool, figures: Random) -> dict[str, Any]:
    name = "" if step == 1 else _COMPONENTS[(step - 2) % len(_COMPONENTS)]
    lap = (step - 2) // len(_COMPONENTS)
    address = urljoin(url, f"{name}?v={lap}" if lap > 0 else name)
    wait, receive = figures.randint(20, 200), figures.randint(1, 40)
    media_type = _MEDIA_TYPES.get(name.rpartition(".")[2], "text/html")
    size = -1 if failed else figures.randint(900, 90_000)
    entry: dict[str, Any] = {
        "pageref": "page_1",
        "startedDateTime": _moment(measured, (step - 1) * 15),
        "time": wait if failed else wait + receive,
        "request": {
            "method": "GET",
            "url": address,
            "httpVersion": "HTTP/2",
            "headers": [],
            "queryString": [],
            "cookies": [],
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": 0 if failed else 200,
            "statusText": "" if failed else "OK",
            "httpVersion": "" if failed else "HTTP/2",
            "headers": [],
            "cookies": [],
            "content": {"size": max(size, 0), "mimeType": "x-unknown" if failed else media_type},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": size,
        },
        "cache": {},
        "timings": {"send": 0, "wait": wait, "receive": 0 if failed else receive},
    }
    if failed:
        entry["response"]["_error"] = "net::ERR_CONNECTION_REFUSED"
    return entry


def _moment(measured: Measured, milliseconds: int) -> str:
    moment = datetime.fromtimestamp(measured.started, UTC) + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _trace(trace: Mapping[str, Any], figures: Random) -> dict[str, Any]:
    """Return the hops of one path trace."""
    last = int(trace["numberOfHops"])
    response_time = int(trace["responseTime"])
    hops = [
        {
            "hop": hop,
            "ipAddress": trace["ipAddress"] if hop == last else f"203.0.113.{figures.randint(100, 250)}",
            "prefix": "203.0.113.0/24",
            "rdns": f"hop-{hop}.transit.example.net",
            "network": "Example Transit (AS 64500)",
            "responseTime": max(round(response_time * hop / last), 1),
            "location": "Frankfurt am Main, Germany",
            "mpls": "",
        }
        for hop in range(1, last + 1)
    ]
    return {"pathId": trace["pathId"], "hops": hops}
