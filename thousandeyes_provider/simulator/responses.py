"""Responses in the formats of the API and of proxies in front of it."""

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

    :param status: HTTP status.
    :param body: whole body.
    :param content_type: media type of the body; ``None``: no body.
    :param headers: further headers.
    """

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, headers: Mapping[str, str]) -> SimulatedResponse:
        """Return a copy with additional headers."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True)
class Delivery:
    """A response and the way in which it is sent.

    :param response: the response; ``None``: the connection is cut instead.
    :param first_byte_after: real seconds until the first byte is sent.
    :param body_takes: real seconds over which the body is sent.
    :param cut_after: number of bytes of the body after which the connection is cut; ``None``: never.
    """

    response: SimulatedResponse | None
    first_byte_after: float = 0.0
    body_takes: float = 0.0
    cut_after: int | None = None


def as_json(body: Any, status: int = 200, content_type: str = HAL) -> SimulatedResponse:
    """Return a response with a JSON body."""
    return SimulatedResponse(status, json.dumps(body).encode(), content_type)


def problem(
    status: int,
    detail: str,
    instance: str,
    *,
    title: str | None = None,
    errors: Iterable[tuple[str, str]] | None = None,
) -> SimulatedResponse:
    """Return an error in the format of RFC 7807.

    :param errors: field and message of each validation error.
    """
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
    """Return a 401, which has its own format."""
    return as_json({"error": "invalid_token", "error_description": "Invalid access token"}, 401, PROBLEM)


def older_error(status: int, path: str) -> SimulatedResponse:
    """Return an error in the older format, which the API description specifies for tags."""
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
    """Return a time in the API's format."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(epoch: float) -> str:
    """Return a time in the format of HTTP headers."""
    return formatdate(int(epoch), usegmt=True)
