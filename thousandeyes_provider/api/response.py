"""The outcome of a request as plain data: a response, or the reason for a missing response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from typing import Any

from thousandeyes_provider.api.body import count_values
from thousandeyes_provider.api.coerce import number

_YEAR_2000 = 946_684_800
_YEAR_2100 = 4_102_444_800


@dataclass(frozen=True)
class Response:
    """An HTTP response.

    :param headers: header fields, names in lower case.
    :param body: the whole body, decoded from any content encoding.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def success(self) -> bool:
        """Whether ThousandEyes carried out the request."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON; parsed once.

        :raises ValueError: when it is not JSON.
        """
        content, error = self._content
        if error:
            raise ValueError(error)
        return content

    @cached_property
    def value_count(self) -> int:
        """An upper bound of the number of JSON values within the outermost value of the body."""
        return count_values(self.body)

    def prepare(self) -> Response:
        """Parse and measure the body in advance, so that later uses are fast. Call it in a thread for a large body.

        Takes a quarter longer than :meth:`json` and lets other threads run meanwhile.
        """
        vars(self)["_content"] = _parse(self.body, **_INTERRUPTIBLE)
        _ = self.value_count
        return self

    @cached_property
    def _content(self) -> tuple[Any, str]:
        return _parse(self.body)

    def time(self, default: float) -> float:
        """The server's clock (``Date``), epoch seconds; ``default`` without a valid header.

        A date outside this century counts as none: times are computed with it.
        """
        date = http_date(self.headers.get("date"))
        return date if date is not None and _YEAR_2000 <= date < _YEAR_2100 else default


_INTERRUPTIBLE: Mapping[str, Any] = {
    "object_hook": lambda content: content,
    "parse_int": lambda digits: int(digits),
    "parse_float": lambda digits: float(digits),
}
"""Functions in Python. The parser alone would keep all other threads waiting until it has parsed the whole body."""


def _parse(body: bytes, **hooks: Any) -> tuple[Any, str]:
    """The content of a JSON body, or the parse error."""
    try:
        return json.loads(body, **hooks), ""
    except RecursionError:
        return None, "nested too deeply"
    except ValueError:
        return None, "not JSON"


@dataclass(frozen=True)
class NoResponse:
    """No HTTP response arrived.

    :param reason: what happened, in a few words.
    :param sent: whether the request may have reached the server; ``False`` only when no connection was established.
    :param final: whether a retry cannot help (a certificate that is not trusted).
    """

    reason: str
    sent: bool
    final: bool = False


@lru_cache(maxsize=16)
def http_date(text: str | None) -> float | None:
    """Epoch seconds of an HTTP date; ``None`` when it is absent or invalid."""
    if not text:
        return None
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def retry_after(response: Response, now: float) -> float | None:
    """Return the wait of ``Retry-After`` (a number or a date) in seconds; ``None`` without a positive value.

    :param now: local epoch seconds, for a response without a ``Date`` to compare a date with.
    """
    text = response.headers.get("retry-after")
    wait = number(text)
    if wait is None:
        date = http_date(text)
        wait = None if date is None else date - response.time(now)
    return wait if wait is not None and wait > 0 else None


def iso_time(epoch: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(epoch), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
