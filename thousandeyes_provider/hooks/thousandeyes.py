"""The hook of the connection type ``thousandeyes``: the blocking operations, as an ``HttpHook``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.http.hooks.http import HttpHook
from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.coerce import inner_value, objects_in
from thousandeyes_provider.api.flows import Clock, PausedCall
from thousandeyes_provider.api.response import Response
from thousandeyes_provider.get_provider_info import CONNECTION_FIELDS, FIELD_BEHAVIOUR
from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook
from thousandeyes_provider.hooks.base_hook import SYSTEM_CLOCK
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook, RunCall

if TYPE_CHECKING:
    from requests import Session

__all__ = ["PausedCall", "RunCall", "ThousandEyesAsyncHook", "ThousandEyesHook"]

_MAX_MESSAGE = 1000


class ThousandEyesHook(BlockingThousandEyesHook, HttpHook):
    """Call ThousandEyes' API v7 through a connection of type ``thousandeyes``.

    Reads are retried with backoff after 5xx, timeouts and lost connections, at most ``retry_limit`` attempts. After a
    429 the hook waits for the announced reset, within ``queue_timeout``. The methods that write state their own rules.
    The first request reads and checks the connection.

    :param thousandeyes_conn_id: the connection: password = API token; host, schema, port and extra as documented.
    :param account_group_id: account group (``aid``) for every request; the connection's, else the token's default,
        when ``None``.
    :param clock: local time and randomness; tests replace them.
    :param sleep: waits for a number of seconds; tests replace it.
    """

    conn_name_attr = "thousandeyes_conn_id"
    default_conn_name = "thousandeyes_default"
    conn_type = "thousandeyes"
    hook_name = "ThousandEyes"

    def __init__(
        self,
        thousandeyes_conn_id: str = default_conn_name,
        account_group_id: str | int | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        HttpHook.__init__(self, http_conn_id=thousandeyes_conn_id)
        BlockingThousandEyesHook.__init__(
            self, thousandeyes_conn_id, account_group_id, clock=clock, sleep=sleep
        )

    # -- the connection form of Airflow 2.11; 3.2 and later read it from the provider's metadata -----------------

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how Airflow 2.11 draws the standard fields of the connection form."""
        return {
            "hidden_fields": list(FIELD_BEHAVIOUR["hidden-fields"]),
            "relabeling": dict(FIELD_BEHAVIOUR["relabeling"]),
            "placeholders": dict(FIELD_BEHAVIOUR["placeholders"]),
        }

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields that Airflow 2.11 adds to the connection form: one text field for each extra.

        Numbers and booleans are text too. A checkbox always stores a value, so an untouched one would switch
        ``trust_env`` off, and it is ticked for the text ``"false"``, so saving the form would switch ``allow_http`` on.

        :raises ImportError: without wtforms and Flask-AppBuilder, which Airflow expects and handles.
        """
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import StringField

        class TextFieldWidget(BS3TextFieldWidget):  # type: ignore[misc]
            """Shows values that are not text as JSON. The default, Python's notation, would be saved as it is shown."""

            def __call__(self, field: Any, **kwargs: Any) -> Any:
                if field.data is not None and not isinstance(field.data, str):
                    field.data = json.dumps(field.data)
                return super().__call__(field, **kwargs)

        return {
            name: StringField(field["label"], description=field["description"], widget=TextFieldWidget())
            for name, field in CONNECTION_FIELDS.items()
        }

    # -- the session and the test of the connection ---------------------------------------------------------------

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> Session:
        """The HTTP session of this hook: one for its life, with the token and the options of the connection.

        :param headers: further headers of all its requests.
        :param extra_options: not used; the options are those of the connection.
        """
        self.base_url, self._base_url_initialized = self.settings.base_url, True
        session = super().get_conn()
        if headers:
            session.headers.update(headers)
        return session

    def test_connection(self) -> tuple[bool, str]:
        """Test the connection, for the button of the form. Reads only; no test is run.

        :return: a flag, and a message with the user, its roles, the account group in force and the quota left, or with
            the error.
        """
        try:
            user = self._read_at_once(endpoints.CURRENT_USER).json()
            response = self._read_at_once(endpoints.ACCOUNT_GROUPS)
            is_usable, message = self._connection_report(user, response.json()["accountGroups"])
        except Exception as error:
            is_usable, message = False, str(error)
        return is_usable, self.redact(message, _MAX_MESSAGE)

    def _read_at_once(self, endpoint: endpoints.Endpoint) -> Response:
        """Read while a person waits: two attempts, and at most 5 s of rate limits."""
        limits = {
            "retry_limit": min(self.settings.retry_limit, 2),
            "queue_timeout": min(self.settings.queue_timeout, 5.0),
        }
        return self.drive(self.request(self.build(endpoint), **limits))

    def _connection_report(self, user: dict[str, Any], groups: list[dict[str, Any]]) -> tuple[bool, str]:
        names = {str(group.get("aid")): str(group.get("accountGroupName")) for group in groups}
        aid = self.account_group_id
        source = "set in the connection"
        if aid is None:
            default = user.get("loginAccountGroup")
            aid, source = str(inner_value(default, "aid") or "unknown"), "default of the token"
            names.setdefault(aid, str(inner_value(default, "accountGroupName") or "unknown"))
        elif aid not in names:
            known = (
                "; ".join(f"{name!r} ({known_aid})" for known_aid, name in sorted(names.items())) or "none"
            )
            return False, f"This token has no access to account group {aid}; it can use: {known}"
        name, email = user.get("name"), user.get("email")
        person = f"{name} ({email})" if name and email else str(name or email or "an unnamed user")
        parts = [
            f"Connected to {self.settings.base_url} as {person}",
            f"roles: {'; '.join(_roles(user, aid)) or 'not listed'}",
            f"account group {names[aid]!r} ({aid}), {source}",
        ]
        quota = self.quota().get("organization")
        if quota and quota.remaining is not None:
            of = f" of {quota.limit:.0f}" if quota.limit else ""
            parts.append(f"{quota.remaining:.0f}{of} requests left in this window")
        return True, "; ".join(parts)


def _roles(user: Mapping[str, Any], aid: str) -> list[str]:
    """The names of a user's roles in an account group, and in all."""
    roles = [
        role
        for group in objects_in(user.get("accountGroupRoles"))
        if str(inner_value(group, "accountGroup", "aid")) == aid
        for role in objects_in(group.get("roles"))
    ]
    roles += objects_in(user.get("allAccountGroupRoles"))
    return list(dict.fromkeys(str(role["name"]) for role in roles if role.get("name")))
