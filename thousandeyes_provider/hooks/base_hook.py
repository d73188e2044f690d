"""The part of a hook that neither sends nor sleeps: the connection, ThousandEyes' clock and limits, and errors.

The two hooks add a driver each. It carries out the steps of a flow, see :mod:`thousandeyes_provider.api.flows`.
"""

from __future__ import annotations

import json
import os
import random
import ssl
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlencode

from thousandeyes_provider import __version__
from thousandeyes_provider.api.body import ENCODINGS
from thousandeyes_provider.api.coerce import printable, shorten
from thousandeyes_provider.api.endpoints import ApiRequest, Endpoint
from thousandeyes_provider.api.flows import (
    MIN_REQUEST_TIME,
    Clock,
    Exchange,
    Flow,
    Notice,
    Pause,
    RequestAbandoned,
    Send,
    TimeLeft,
    no_deadline,
    pages_flow,
    request_flow,
)
from thousandeyes_provider.api.rate_limits import RateLimit, polling_pace, quotas
from thousandeyes_provider.api.redaction import MAX_TEXT, describe, redactor_of
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.retry import Attempts, RequestKind
from thousandeyes_provider.api.server_clock import ServerClock
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.hooks.connection import ConnectionSettings, authorities_of, read_connection
from thousandeyes_provider.hooks.errors import error_for

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 2.11; common-compat has it only since 1.22
    from airflow.utils.log.secrets_masker import (  # type: ignore[no-redef,import-not-found,unused-ignore]
        mask_secret,
    )

__all__ = ["HEADERS", "SYSTEM_CLOCK", "BaseThousandEyesHook", "mask_secret"]

HEADERS = {
    "User-Agent": f"airflow-provider-thousandeyes/{__version__}",
    "Accept": "application/hal+json, application/json",
    "Accept-Encoding": ENCODINGS,
}

_MAX_LABEL = 200

T = TypeVar("T")

SYSTEM_CLOCK = Clock(now=time.time, jitter=random.random)


class BaseThousandEyesHook:
    """A connection of type ``thousandeyes`` and what its responses show.

    :param account_group_id: account group (``aid``) for every request; the connection's, else the token's default,
        when ``None``.
    :param clock: local time and randomness; tests replace them.
    """

    log: Any

    def __init__(self, thousandeyes_conn_id: str, account_group_id: str | int | None, clock: Clock) -> None:
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self.clock = clock
        self.server_clock = ServerClock()
        self.requests_sent = 0
        self.run_calls = 0
        """Number of calls that start a round (run, create) and reached ThousandEyes."""
        self.throttled_seconds = 0.0
        """Seconds waited because of a 429."""
        self.paced_seconds = 0.0
        """Seconds waited to leave the reserved share of the quota free. A caller that paces its polls adds to it."""
        self._account_group_argument = account_group_id
        self._settings: ConnectionSettings | None = None
        self._quotas: Mapping[str, RateLimit] = {}
        self._secrets: set[str] = set()

    # -- the connection -----------------------------------------------------------------------------------------

    @property
    def settings(self) -> ConnectionSettings:
        """The settings of the connection.

        :raises ThousandEyesConfigurationError: when a field is invalid.
        """
        if self._settings is None:
            raise RuntimeError("the connection has not been read yet")
        return self._settings

    @property
    def account_group_id(self) -> str | None:
        """The account group in force: the argument, else the connection's, else ``None`` (the token's default)."""
        argument = self._account_group_argument
        return ("" if argument is None else str(argument).strip()) or self.settings.account_group_id

    def read_settings(self, connection: Any, extra: Any) -> ConnectionSettings:
        """Parse and check an Airflow connection. Reads the files of certificates.

        :param extra: its extra as Airflow parsed it, which masks secrets by name and drops invalid JSON.
        :raises ThousandEyesConfigurationError: when a field is invalid.
        """
        if connection.extra and not extra:
            try:
                extra = json.loads(connection.extra)
            except ValueError:
                raise self._connection_error("extra must be a JSON object, got invalid JSON") from None
        settings = read_connection(
            self.thousandeyes_conn_id,
            host=connection.host,
            schema=connection.schema,
            port=connection.port,
            password=connection.password,
            extra=extra,
        )
        self._check_certificates(settings)
        for warning in settings.warnings:
            self.log.warning("Connection '%s': %s", self.thousandeyes_conn_id, warning)
        return settings

    def _check_certificates(self, settings: ConnectionSettings) -> None:
        bundle = authorities_of(settings) if settings.base_url.startswith("https:") else settings.verify
        authorities = (
            "extra 'verify'" if bundle is settings.verify else "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
        )
        certificates = (settings.cert,) if isinstance(settings.cert, str) else settings.cert or ()
        files = dict.fromkeys(certificates, "extra 'cert'")
        if isinstance(bundle, str):
            files[bundle] = authorities
        for path, source in files.items():
            if not os.path.exists(path):
                shown = path if len(path) <= 100 else describe(path)
                raise self._connection_error(f"{source}: no file at {shown}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        source = authorities
        try:
            if isinstance(bundle, str) and os.path.isfile(bundle):
                context.load_verify_locations(bundle)
            source = "extra 'cert'"
            if certificates:
                context.load_cert_chain(*certificates)
        except OSError as error:
            raise self._connection_error(f"{source}: no usable certificate: {error}") from None

    def _connection_error(self, text: str) -> ThousandEyesConfigurationError:
        return ThousandEyesConfigurationError(f"Connection {self.thousandeyes_conn_id!r}: {text}")

    # -- the server's clock and quota ----------------------------------------------------------------------------

    def server_now(self) -> float:
        """ThousandEyes' clock, epoch seconds, as a lower bound; the local one before the first response."""
        return self.server_clock.time_at(self.clock.now())

    def quota(self) -> Mapping[str, RateLimit]:
        """The rate limits in the newest response, by bucket."""
        return self._quotas

    def polling_gap(self) -> float:
        """Seconds to keep between two reads, so that the reserved share of the organization's quota stays free."""
        pace = polling_pace(self._quotas.get("organization"), self.server_now(), self.reserved_share)
        return pace.gap if pace else 0.0

    @cached_property
    def reserved_share(self) -> float:
        """Share of the organization's quota that polling leaves to others, from Airflow's configuration."""
        return setting("reserved_quota_share")

    # -- flows ---------------------------------------------------------------------------------------------------

    def build(
        self,
        endpoint: Endpoint,
        label: str = "",
        *,
        parts: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> ApiRequest:
        """The request of an operation for this connection and account group.

        :param label: its name in logs and errors; that of the operation when empty.
        :raises ThousandEyesConfigurationError: for a part of the path that is not an id.
        """
        try:
            path = endpoint.fill(**(parts or {}))
        except ValueError as error:
            raise ThousandEyesConfigurationError(str(error)) from None
        query = {**endpoint.params, **(params or {})}
        if endpoint.takes_account_group and self.account_group_id is not None:
            query["aid"] = self.account_group_id
        return ApiRequest(
            endpoint,
            shorten(printable(label or endpoint.name), _MAX_LABEL),
            self.settings.base_url + path + (f"?{urlencode(query)}" if query else ""),
            body,
        )

    def exchange(
        self,
        request: ApiRequest,
        *,
        time_left: TimeLeft | None = None,
        queue_timeout: float | None = None,
        retry_limit: int | None = None,
    ) -> Exchange:
        """A request that has not been sent yet.

        :param time_left: seconds until the caller's deadline; no retry waits longer.
        :param queue_timeout: seconds of waits for rate limits; the connection's when ``None``.
        :param retry_limit: attempts; the connection's when ``None``.
        """
        settings = self.settings
        attempts = Attempts(
            request.endpoint.kind,
            settings.retry_limit if retry_limit is None else retry_limit,
            settings.queue_timeout if queue_timeout is None else queue_timeout,
        )
        return Exchange(request, attempts, self.clock, time_left or no_deadline)

    def request(self, request: ApiRequest, **limits: Any) -> Flow[Response]:
        """Send a request until its response is usable, as a flow.

        :param limits: as for :meth:`exchange`.
        :raises ThousandEyesError: when nothing more is sent.
        """
        return self.translated(request_flow(self.exchange(request, **limits)))

    def pages(self, request: ApiRequest, time_left: TimeLeft | None = None) -> Flow[dict[str, Any]]:
        """Read all pages of a list, as a flow.

        :raises ThousandEyesError: when a page cannot be read.
        """
        return self.translated(pages_flow(self.exchange(request, time_left=time_left), self.account_group_id))

    def translated(self, flow: Flow[T]) -> Flow[T]:
        """A flow that raises the errors that a DAG can meet."""
        try:
            return (yield from flow)
        except RequestAbandoned as abandoned:
            error = error_for(abandoned, self.thousandeyes_conn_id, self.redact)
        raise error

    def redact(self, text: str, limit: int = MAX_TEXT) -> str:
        """``text`` as it may be shown: without the token, passwords and secrets of definitions, on one line."""
        secrets = (*(self._settings.secrets if self._settings else ()), *self._secrets)
        return redactor_of(frozenset(secrets))(text, limit)

    # -- what the drivers share ----------------------------------------------------------------------------------

    def _timeout(self, send: Send) -> float:
        """Seconds for one request: the connection's, and not much beyond the caller's deadline."""
        return max(min(self.settings.timeout, max(send.time_left, MIN_REQUEST_TIME)) - send.spent, 0.001)

    def _take(self, send: Send, outcome: Response | NoResponse, sent_at: float) -> Response | NoResponse:
        """Count a request, and learn the time and the quota from its response."""
        has_reached = isinstance(outcome, Response) or outcome.sent
        if has_reached and send.request.endpoint.kind in (RequestKind.RUN, RequestKind.CREATE):
            self.run_calls += 1
        if isinstance(outcome, Response):
            now = self.clock.now()
            self.server_clock = self.server_clock.after(outcome, sent_at=sent_at, received_at=now)
            self._quotas = quotas(outcome)
        return outcome

    def _log_pause(self, pause: Pause) -> None:
        """Log the one line that every wait and retry has."""
        self.log.warning(
            "%s: attempt %d: %s; again in %.1f s",
            self.redact(pause.request.label),
            pause.attempt,
            self.redact(pause.wait.reason),
            pause.wait.seconds,
        )

    def _log_notice(self, notice: Notice) -> None:
        log = self.log.warning if notice.is_warning else self.log.info
        log("%s", self.redact(notice.text))
