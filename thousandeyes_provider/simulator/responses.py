"""Answers: status, headers and body, in the shapes of the API and of what may stand in front of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HAL = "application/hal+json"
PROBLEM = "application/problem+json"

_TITLES: Mapping[int, str] = {
    400: "Request validation failed. There are invalid or missing fields",
    403: "Insufficient permissions to query endpoint",
    404: "URI Resource Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal server error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass(frozen=True)
class SimulatedResponse:
    """A response of the simulator.

    :param status: the HTTP status.
    :param body: the whole body.
    :param content_type: of the body; ``None`` when there is none.
    :param headers: further headers.
    """

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, headers: Mapping[str, str]) -> SimulatedResponse:
        """The same answer with more headers."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True)
class Delivery:
    """An answer, and what happens to it on its way.

    :param response: what is sent; ``None``: the connection is cut instead.
    :param first_byte_after: real seconds until anything is sent.
    :param body_takes: real seconds over which the body trickles in.
    :param cut_after: the connection is cut after so many bytes of the body; ``None``: not at all.
    """

    response: SimulatedResponse | None
    first_byte_after: float = 0.0
    body_takes: float = 0.0
    cut_after: int | None = None


def as_json(body: Any, status: int = 200, content_type: str = HAL) -> SimulatedResponse:
    """An answer with a JSON body."""
    return SimulatedResponse(status, json.dumps(body).encode(), content_type)


def problem(
    status: int,
    detail: str,
    instance: str,
    *,
    title: str | None = None,
    errors: Iterable[tuple[str, str]] | None = None,
) -> SimulatedResponse:
    """An error in the shape of RFC 7807; ``errors`` are (field, message) of a 400."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title or _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    if errors is not None:
        body["errors"] = [
            {"code": f"SIM-{number:04}", "field": name, "message": message}
            for number, (name, message) in enumerate(errors, 1)
        ]
    return as_json(body, status, PROBLEM)


def unauthorized() -> SimulatedResponse:
    """401, which has a shape of its own."""
    return as_json({"error": "invalid_token", "error_description": "Invalid access token"}, 401, PROBLEM)


def older_error(status: int, path: str) -> SimulatedResponse:
    """Return an error in the older shape, which the description has for tags."""
    body = {
        "timestamp": 1679677853573,
        "status": status,
        "errors": _TITLES.get(status, "Error"),
        "path": path,
    }
    return as_json(body, status, "application/json")


def proxy_page(status: int) -> SimulatedResponse:
    """Return an error page of a proxy."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status} from the proxy</h1></body></html>"
    return SimulatedResponse(status, page.encode(), "text/html; charset=utf-8")


def iso(epoch: float) -> str:
    """A moment as the API writes it."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(epoch: float) -> str:
    """A moment as HTTP headers write it."""
    return formatdate(int(epoch), usegmt=True)
