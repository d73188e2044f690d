"""An Airflow connection of type ``thousandeyes``, read and checked before anything is sent."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from thousandeyes_provider.api.coerce import boolean, number, whole_number
from thousandeyes_provider.api.urls import base_url, is_loopback
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError

_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class ConnectionSettings:
    """What a connection says, with the defaults filled in.

    :param base_url: scheme, host, port and path that operations are appended to.
    :param token: the bearer token.
    :param account_group_id: account group for every request; ``None`` for the token's default.
    :param timeout: seconds for one request, from the first byte sent to the last received.
    :param retry_limit: attempts for one request, at least 1.
    :param queue_timeout: seconds that one request may spend waiting out rate limits.
    :param proxies: proxy for each scheme; ``None`` for those of the environment, if ``trust_env``.
    :param verify: whether to check the server's certificate, or a file or folder of trusted authorities.
    :param cert: client certificate: one file, or certificate and key.
    :param trust_env: whether the environment's proxies and certificate bundle are used.
    :param warnings: what is odd, but no error.
    """

    base_url: str
    token: str = field(repr=False)
    account_group_id: str | None = None
    timeout: float = 30.0
    retry_limit: int = 5
    queue_timeout: float = 300.0
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    trust_env: bool = True
    warnings: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """What must never be seen: the token, and the passwords of proxies, as written and decoded."""
        found = [self.token]
        for proxy in (self.proxies or {}).values():
            password = urlsplit(proxy).password
            if password:
                found += [password, unquote(password)]
        return tuple(dict.fromkeys(found))


def proxies_of(settings: ConnectionSettings) -> dict[str, str]:
    """The proxies for a connection, as ``requests`` writes them: its own, and those of the environment for the rest.

    The environment's are left out without ``trust_env``, and for a plain http address of this machine, on the way to
    which nobody else is to see the token.
    """
    own = dict(settings.proxies or {})
    own_machine = settings.base_url.startswith("http://") and is_loopback(settings.base_url)
    if not settings.trust_env or (own_machine and not own):
        return own
    from requests.utils import get_environ_proxies

    found: dict[str, str] = get_environ_proxies(settings.base_url, no_proxy=own.get("no_proxy"))
    return {**found, **own}


def authorities_of(settings: ConnectionSettings) -> bool | str:
    """Whose certificates are trusted: ``verify``, or for plain ``True`` the bundle that the environment names."""
    if settings.verify is True and settings.trust_env:
        return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    return settings.verify


def read_connection(
    conn_id: str,
    *,
    host: str | None,
    schema: str | None,
    port: int | None,
    password: str | None,
    extra: Any,
) -> ConnectionSettings:
    """Read the fields of a connection (DESIGN, "Fixed: connection").

    :param conn_id: for the errors.
    :param host: see :func:`~thousandeyes_provider.api.urls.base_url`; so ``schema`` and ``port``.
    :param password: the bearer token.
    :param extra: the parsed extra. Fields that are absent, null or empty text have their defaults, as forms store
        them; others may come as text.
    :raises ThousandEyesConfigurationError: naming every field that is not what it should be.
    """
    faults: list[str] = []
    if not isinstance(extra, Mapping):
        faults.append(f"extra is a JSON {type(extra).__name__}, expected an object")
        extra = {}
    told = {
        name: value
        for name, value in extra.items()
        # Airflow 3.3's form can store {} for proxies that nobody gave; 2.11's Test button sends each extra twice.
        if value is not None and value not in ("", {}) and not str(name).startswith("extra__")
    }
    values: dict[str, Any] = {}
    for name, (read, expected) in _EXTRAS.items():
        if name in told:
            try:
                values[name] = read(told[name])
            except ValueError:
                shown = "" if name == "proxies" else f" is {told[name]!r},"
                faults.append(f"extra {name!r}{shown} expected {expected}")
    allow_http = values.pop("allow_http", False)

    token = re.sub(r"^bearer(\s+|$)", "", (password or "").strip(), flags=re.IGNORECASE)
    if not token:
        faults.append("there is no token: put the ThousandEyes API bearer token into the password field")
    elif not _TOKEN.fullmatch(token):
        faults.append("the password is no bearer token: it has spaces, control or non-ASCII characters")

    url = ""
    try:
        url = base_url(host, schema, port)
    except ValueError as error:
        faults.append(str(error))
    else:
        if url.startswith("http://") and not (allow_http or is_loopback(url)):
            faults.append(
                f"plain http to {urlsplit(url).hostname} would show the token to everybody on the way: "
                "use schema 'https', or set extra 'allow_http' to true"
            )
    if faults:
        raise ThousandEyesConfigurationError(f"Connection {conn_id!r}: {'; '.join(faults)}")
    return ConnectionSettings(
        base_url=url,
        token=token,
        warnings=tuple(_unknown(name) for name in told if name not in _EXTRAS),
        **values,
    )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(str(name), _EXTRAS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_EXTRAS)}"
    return f"unknown extra {name!r} is ignored: {hint}"


def _account_group(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
        raise ValueError
    return str(value).strip()


def _positive(value: Any) -> float:
    found = number(value)
    if found is None or found <= 0:
        raise ValueError
    return found


def _not_negative(value: Any) -> float:
    found = number(value)
    if found is None or found < 0 or math.isinf(found):
        raise ValueError
    return found


def _attempts(value: Any) -> int:
    found = whole_number(value)
    if found is None or found < 1:
        raise ValueError
    return found


def _boolean(value: Any) -> bool:
    found = boolean(value)
    if found is None:
        raise ValueError
    return found


def _verify(value: Any) -> bool | str:
    found = boolean(value)
    if found is not None:
        return found
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError


def _json_text(value: Any, opening: str) -> Any:
    """The value of JSON in a text that begins with ``opening``; anything else as it is."""
    if isinstance(value, str) and value.strip().startswith(opening):
        return json.loads(value)
    return value


def _proxies(value: Any) -> dict[str, str]:
    value = _json_text(value, "{")
    if isinstance(value, str):
        value = {"http": value.strip(), "https": value.strip()}
    if not isinstance(value, Mapping) or not value:
        raise ValueError
    for scheme, proxy in value.items():
        if not isinstance(scheme, str) or not isinstance(proxy, str):
            raise ValueError
        parts = urlsplit(proxy)
        # A password with a slash in it would make its user the host, and would not be known as a secret.
        if not parts.hostname or "@" in parts.path + parts.query + parts.fragment or parts.port == 0:
            raise ValueError
    return dict(value)


def _cert(value: Any) -> str | tuple[str, str]:
    value = _json_text(value, "[")
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list | tuple) or not all(
        isinstance(path, str) and path.strip() for path in paths
    ):
        raise ValueError
    if isinstance(value, str):
        return value.strip()
    if len(paths) != 2:
        raise ValueError
    return paths[0].strip(), paths[1].strip()


_EXTRAS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "account_group_id": (_account_group, "the id of an account group (aid)"),
    "timeout": (_positive, "seconds for one request, more than 0"),
    "retry_limit": (_attempts, "a number of attempts, 1 or more"),
    "queue_timeout": (_not_negative, "seconds to wait out rate limits, 0 or more"),
    "proxies": (_proxies, "an object of proxy addresses by scheme, or one address"),
    "verify": (_verify, "true, false, or the path of a file or folder of trusted authorities"),
    "cert": (_cert, "the path of a client certificate, or a list of the paths of certificate and key"),
    "trust_env": (_boolean, "true or false"),
    "allow_http": (_boolean, "true or false"),
}
"""How each extra is read, and what is expected of it."""
