"""What both hooks share: the connection, ThousandEyes' clock and quota, and what to make of an answer.

The hooks differ only in how they send and sleep.
"""

from __future__ import annotations

import json
import math
import os
import random
import ssl
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from thousandeyes_provider import __version__
from thousandeyes_provider.api.body import ENCODINGS, LARGEST_RESULT, MOST_PAGES
from thousandeyes_provider.api.coerce import printable
from thousandeyes_provider.api.endpoints import next_link
from thousandeyes_provider.api.rate_limits import RateLimit, polling_gap, quotas
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.retry import Accept, Attempts, Decision, GiveUp, Wait
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesConnectionError,
    ThousandEyesError,
)
from thousandeyes_provider.hooks.connection import ConnectionSettings, read_connection
from thousandeyes_provider.hooks.errors import error_for
from thousandeyes_provider.hooks.request_builder import ApiRequest, RequestBuilder

HEADERS = {
    "User-Agent": f"airflow-provider-thousandeyes/{__version__}",
    "Accept": "application/hal+json, application/json",
    "Accept-Encoding": ENCODINGS,
}

LEAST_TIME = 3.0
"""Seconds that a request has for its answer even when the caller's deadline is nearer, or past."""


def remaining(time_left: Callable[[], float] | None) -> float:
    """Seconds until a caller has no more use for an answer; without end when it does not say."""
    return math.inf if time_left is None else time_left()


class BaseThousandEyesHook:
    """The part of a hook that neither sends nor sleeps."""

    thousandeyes_conn_id: str
    log: Any

    _now = staticmethod(time.time)
    _chance = staticmethod(random.random)

    def _begin(self, account_group_id: str | int | None) -> None:
        self._own_account_group = account_group_id
        self._settings: ConnectionSettings | None = None
        self._clock_offset: float | None = None
        self._newest: Response | None = None
        self._confidential: set[str] = set()
        self.requests_sent = 0
        self.throttled_seconds = 0.0

    # -- the connection -----------------------------------------------------------------------------------------

    @property
    def settings(self) -> ConnectionSettings:
        """What the connection says.

        :raises ThousandEyesConfigurationError: when a field is not what it should be.
        """
        if self._settings is None:
            raise RuntimeError("the connection has not been read yet")
        return self._settings

    @property
    def account_group_id(self) -> str | None:
        """The account group in force: the argument, else the connection's, else ``None`` (the token's default)."""
        if self._own_account_group not in (None, ""):
            return str(self._own_account_group).strip() or None
        return self.settings.account_group_id

    def _settings_of(self, connection: Any, extra: Any) -> ConnectionSettings:
        """What an Airflow connection says.

        :param connection: the connection.
        :param extra: its extra as Airflow parsed it, which masks what its key names tell, and drops what is not JSON.
        """
        if connection.extra and not extra:
            try:
                extra = json.loads(connection.extra)
            except ValueError:
                raise ThousandEyesConfigurationError(
                    f"Connection {self.thousandeyes_conn_id!r}: extra is not JSON, expected an object"
                ) from None
        settings = read_connection(
            self.thousandeyes_conn_id,
            host=connection.host,
            schema=connection.schema,
            port=connection.port,
            password=connection.password,
            extra=extra,
        )
        files = [("verify", settings.verify)] if isinstance(settings.verify, str) else []
        certificates = (settings.cert,) if isinstance(settings.cert, str) else settings.cert or ()
        for name, path in [*files, *(("cert", path) for path in certificates)]:
            if not os.path.exists(path):
                raise ThousandEyesConfigurationError(
                    f"Connection {self.thousandeyes_conn_id!r}: extra {name!r}: there is no file {path!r}"
                )
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if isinstance(settings.verify, str) and os.path.isfile(settings.verify):
                context.load_verify_locations(settings.verify)
            if settings.cert:
                context.load_cert_chain(*certificates)
        except OSError as error:
            raise ThousandEyesConfigurationError(
                f"Connection {self.thousandeyes_conn_id!r}: extra 'verify' or 'cert': not a usable certificate: {error}"
            ) from None
        for warning in settings.warnings:
            self.log.warning("Connection '%s': %s", self.thousandeyes_conn_id, warning)
        return settings

    # -- the server's clock and quota ----------------------------------------------------------------------------

    def server_now(self) -> float:
        """ThousandEyes' clock, epoch seconds, as far as its answers told it; the local one before the first."""
        return self._now() + self.clock_offset

    @property
    def clock_offset(self) -> float:
        """Seconds that ThousandEyes' clock is ahead of ours, as a lower bound; 0 before the first response."""
        return self._clock_offset or 0.0

    @property
    def knows_the_time(self) -> bool:
        """Whether an answer has told ThousandEyes' clock."""
        return self._clock_offset is not None

    def quota(self) -> dict[str, RateLimit]:
        """What is left of each rate limit, as the newest answer told it."""
        return quotas(self._newest) if self._newest else {}

    def polling_gap(self) -> float:
        """Seconds to keep between two reads, so that a fifth of the organization's quota stays free."""
        return polling_gap(self._newest, self._now()) if self._newest else 0.0

    def _heard(self, answer: Response) -> None:
        self._newest = answer
        now = self._now()
        told = answer.time(math.nan)
        if not math.isnan(told):
            offset = told - now
            known = self._clock_offset
            # `Date` is cut to the second, so of samples that agree the largest is nearest to the truth.
            self._clock_offset = (
                max(offset, known) if known is not None and abs(offset - known) <= 2 else offset
            )

    # -- requests and answers ------------------------------------------------------------------------------------

    def _calls(self) -> RequestBuilder:
        return RequestBuilder(self.settings.base_url, self.account_group_id)

    def _attempts(self, call: ApiRequest, queue_timeout: float | None = None) -> Attempts:
        settings = self.settings
        queue = settings.queue_timeout if queue_timeout is None else queue_timeout
        return Attempts(call.operation.sending, settings.retry_limit, queue)

    def _timeout(self, time_left: float) -> float:
        """Seconds for one request: the connection's, and not much beyond the time that the caller has."""
        return min(self.settings.timeout, max(time_left, LEAST_TIME))

    def _decide(
        self, call: ApiRequest, attempts: Attempts, outcome: Response | NoResponse, time_left: float
    ) -> tuple[Decision, Attempts]:
        """What to do after one send."""
        unusable = None
        if isinstance(outcome, Response):
            self._heard(outcome)
            if outcome.success:
                unusable = call.operation.unusable(outcome)
        decision, attempts = attempts.after(
            outcome, now=self._now(), chance=self._chance(), unusable=unusable, time_left=time_left
        )
        if isinstance(decision, Accept) and decision.warning:
            self.log.warning("%s: %s", call.label, decision.warning)
        return decision, attempts

    def _tell(self, call: ApiRequest, attempts: Attempts, wait: Wait) -> None:
        """The one line that every wait and retry is."""
        made = attempts.failures + attempts.refusals
        reason = self._scrub(wait.reason)
        self.log.warning("%s: attempt %d: %s; again in %.1f s", call.label, made, reason, wait.seconds)

    def _error(
        self, call: ApiRequest, outcome: Response | NoResponse, decision: Decision
    ) -> ThousandEyesError:
        given_up = decision if isinstance(decision, GiveUp) else GiveUp(str(decision))
        return error_for(call, outcome, given_up, self._scrub)

    def _scrub(self, text: str) -> str:
        """``text`` as it may be shown: on one line, without the token, the passwords of proxies and what a definition
        keeps secret, should a server or a library repeat them.
        """
        secrets = (*(self._settings.secrets() if self._settings else ()), *self._confidential)
        # The longest first: one may be part of another.
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return printable(text)


class ResultPages:
    """The pages of one result, one after the other.

    :param calls: builds the requests.
    :param test_id: and the rest as :meth:`ThousandEyesHook.get_test_results
        <thousandeyes_provider.hooks.thousandeyes.ThousandEyesHook.get_test_results>` has it.
    """

    def __init__(
        self,
        calls: RequestBuilder,
        test_id: str | int,
        result_type: str,
        *,
        window: str | int | None = None,
        start_date: str | datetime | None = None,
        end_date: str | datetime | None = None,
        direction: str | None = None,
        expand: str | Iterable[str] | None = None,
    ) -> None:
        self._calls = calls
        self._seen: set[str] = set()
        self._size = 0
        self._test: dict[str, Any] = {}
        self._rows: list[dict[str, Any]] = []
        self.call: ApiRequest | None = calls.results(
            test_id,
            result_type,
            window=window,
            start_date=start_date,
            end_date=end_date,
            direction=direction,
            expand=expand,
        )
        """The request for the next page; ``None`` after the last."""

    def take(self, answer: Response, time_left: float = math.inf) -> None:
        """Take the answer to :attr:`call`, and go on to the next page.

        :param time_left: seconds until the caller has no more use for an answer.
        :raises ThousandEyesConnectionError: when the next page is on another origin, when there is no end to them, or
            when they are more than :data:`~thousandeyes_provider.api.body.LARGEST_RESULT` bytes together.
        """
        assert self.call is not None
        self._size += len(answer.body)
        if self._size > LARGEST_RESULT:
            raise ThousandEyesConnectionError(
                f"{self.call.label}: more than {LARGEST_RESULT} bytes on {len(self._seen) + 1} pages; not read further"
            )
        page = answer.json()
        self._rows += page["results"]
        if not self._test and isinstance(page.get("test"), dict):
            self._test = page["test"]
        link = next_link(page)
        if link is None:
            self.call = None
            return
        if time_left < -LEAST_TIME:
            raise ThousandEyesConnectionError(f"{self.call.label}: no time is left for further pages")
        call = self._calls.next_page(self.call, answer.url, link)
        if link in self._seen:
            raise ThousandEyesConnectionError(f"{call.label}: the pages link back to themselves")
        self._seen.add(link)
        if len(self._seen) >= MOST_PAGES:
            raise ThousandEyesConnectionError(f"{call.label}: more than {MOST_PAGES} pages; no end in sight")
        self.call = call

    def result(self) -> dict[str, Any]:
        """``{"test": …, "results": […]}`` of all pages taken."""
        return {"test": self._test, "results": self._rows}
