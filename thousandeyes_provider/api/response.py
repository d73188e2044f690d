"""What came back for a request, as plain data: an answer, or the reason why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from thousandeyes_provider.api.coerce import number

_YEAR_2000 = 946_684_800
_YEAR_2100 = 4_102_444_800


@dataclass(frozen=True)
class Response:
    """An HTTP answer.

    :param status: the status code.
    :param headers: header fields, names in lower case.
    :param body: the whole body, decoded from any content encoding.
    :param url: where the request went.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def success(self) -> bool:
        """Whether the request was carried out."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON.

        :raises ValueError: when it is not JSON.
        """
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def time(self, default: float) -> float:
        """The server's clock when it answered (``Date``), epoch seconds; ``default`` when it does not say.

        A clock that is not of this century is none: times are computed with it.
        """
        told = http_date(self.headers.get("date"))
        return told if told is not None and _YEAR_2000 <= told < _YEAR_2100 else default


@dataclass(frozen=True)
class NoResponse:
    """No HTTP answer arrived.

    :param reason: what happened, in a few words.
    :param sent: whether the request may have reached the server; ``False`` only when no connection was made.
    :param final: whether trying again cannot help (a certificate that is not trusted).
    """

    reason: str
    sent: bool
    final: bool = False


@lru_cache(maxsize=16)
def http_date(text: str | None) -> float | None:
    """Epoch seconds of an HTTP date; ``None`` when it is absent or garbage."""
    if not text:
        return None
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return when.replace(tzinfo=when.tzinfo or UTC).timestamp()


def retry_after(answer: Response, now: float) -> float | None:
    """Seconds that ``Retry-After`` asks to wait (a number or a date); ``None`` without a positive value.

    :param now: local epoch seconds, used when the answer has no ``Date`` to read a date against.
    """
    text = answer.headers.get("retry-after")
    wait = number(text)
    if wait is None:
        date = http_date(text)
        wait = None if date is None else date - answer.time(now)
    return wait if wait is not None and wait > 0 else None


def iso_time(epoch: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(epoch), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
