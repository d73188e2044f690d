"""An Airflow connection of type ``thousandeyes``: parsed and checked before anything is sent."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from thousandeyes_provider.api.coerce import boolean, did_you_mean, number, shorten, whole_number
from thousandeyes_provider.api.redaction import Redactor, describe
from thousandeyes_provider.api.urls import base_url, is_loopback
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.get_provider_info import FIELD_BEHAVIOUR

_TOKEN = re.compile(r"[\x21-\x7e]+")
_LONGEST_PATH = 1024

T = TypeVar("T")


@dataclass(frozen=True)
class ConnectionSettings:
    """The settings of a connection, with defaults filled in.

    :param base_url: scheme, host, port and path that the paths of operations are appended to.
    :param account_group_id: account group for every request; ``None`` for the token's default.
    :param timeout: seconds for one request, from the first byte sent to the last received.
    :param retry_limit: attempts for one request, at least 1.
    :param queue_timeout: seconds that one request may wait for rate limits.
    :param proxies: proxy for each scheme; ``None`` for the environment's, if ``trust_env``.
    :param verify: whether to check the server's certificate, or a file or folder of trusted authorities.
    :param cert: client certificate: one file, or certificate and key.
    :param trust_env: whether the environment's proxies and certificate bundle are used.
    :param warnings: anomalies that are not errors.
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

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The token, and the passwords of proxies as written, decoded and in Base64; never shown."""
        # Each text of a response is redacted, and the environment's proxies take long to read.
        secrets = [self.token]
        for proxy in proxies_of(self).values():
            secrets += _passwords(proxy)
        return tuple(dict.fromkeys(secrets))


def proxies_of(settings: ConnectionSettings) -> dict[str, str]:
    """The proxies of a connection in the notation of ``requests``: its own, and the environment's for the rest.

    The environment's are left out without ``trust_env``, and for a plain http address of this machine: no proxy may see
    the token on the way there.
    """
    own = dict(settings.proxies or {})
    is_local = settings.base_url.startswith("http://") and is_loopback(settings.base_url)
    if not settings.trust_env or (is_local and not own):
        return own
    from requests.utils import get_environ_proxies

    environment: dict[str, str] = get_environ_proxies(settings.base_url, no_proxy=own.get("no_proxy"))
    return {**environment, **own}


def _passwords(proxy: str) -> list[str]:
    """The password in the address of a proxy in all forms, or the user name without a password.

    Also of an address that no parser accepts: everything between the scheme and the last ``@`` counts.
    """
    user_info = proxy.rpartition("@")[0]
    scheme, slashes, rest = user_info.partition("//")
    user, colon, password = (rest if slashes else scheme).partition(":")
    secret = password if colon else user
    if not secret:
        return []
    # As Proxy-Authorization has it.
    basic = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode("utf-8", "replace")).decode()
    return [secret, unquote(secret), basic]


def authorities_of(settings: ConnectionSettings) -> bool | str:
    """The trusted authorities: ``verify``, or for plain ``True`` the bundle that the environment names."""
    if settings.verify is True and settings.trust_env:
        return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    return settings.verify


def read_connection(
    conn_id: str, *, host: str | None, schema: str | None, port: int | None, password: str | None, extra: Any
) -> ConnectionSettings:
    """Parse and check the fields of a connection.

    :param conn_id: id for the errors.
    :param host: see :func:`~thousandeyes_provider.api.urls.base_url`; so ``schema`` and ``port``.
    :param password: the bearer token.
    :param extra: the parsed extra. Fields that are absent, null or empty text have their defaults, as forms store
        them; others may be text.
    :raises ThousandEyesConfigurationError: naming every invalid field.
    """
    problems: list[str] = []

    def parsed(parse: Callable[..., T], *given: Any, default: T) -> T:
        try:
            return parse(*given)
        except ValueError as error:
            problems.append(str(error))
            return default

    given: Mapping[str, Any] = parsed(_given_extras, extra, default={})
    values: dict[str, Any] = {
        name: parsed(_extra, name, value, default=None) for name, value in given.items() if name in _EXTRAS
    }
    allow_http = values.pop("allow_http", False)
    token = re.sub(r"^bearer(\s+|$)", "", (password or "").strip(), flags=re.IGNORECASE)
    parsed(_check_token, token, default=None)
    url = parsed(base_url, host, schema, port, default="")
    if url.startswith("http://") and not (allow_http or is_loopback(url)):
        problems.append(
            f"plain http to {shorten(str(urlsplit(url).hostname), 100)} would expose the token: "
            "use schema 'https', or set extra 'allow_http' to true"
        )
    if problems:
        redact = Redactor([token] if token else [])
        raise ThousandEyesConfigurationError(redact(f"Connection {conn_id!r}: {'; '.join(problems)}", 2000))
    return ConnectionSettings(
        base_url=url,
        token=token,
        warnings=tuple(_unknown(name) for name in given if name not in _EXTRAS),
        **values,
    )


def _given_extras(extra: Any) -> dict[str, Any]:
    """The extras that have a value, by name."""
    if not isinstance(extra, Mapping):
        raise ValueError(f"extra must be a JSON object, got {describe(extra)}")
    return {
        str(name): value
        for name, value in extra.items()
        # Airflow 3.3's form can store {} for empty proxies; 2.11's Test button sends each extra twice.
        if value is not None and value not in ("", {}) and not str(name).startswith("extra__")
    }


def _extra(name: str, value: Any) -> Any:
    parse, expected = _EXTRAS[name]
    try:
        return parse(value)
    except ValueError:
        shown = "" if name == "proxies" else f", got {describe(value)}"
        raise ValueError(f"extra {name!r} must be {expected}{shown}") from None


def _check_token(token: str) -> None:
    if not token:
        raise ValueError(
            "API token is missing: put the ThousandEyes bearer token into the field "
            f"{FIELD_BEHAVIOUR['relabeling']['password']!r} (password)"
        )
    if not _TOKEN.fullmatch(token):
        raise ValueError("API token must not contain spaces, control or non-ASCII characters")


def _unknown(name: str) -> str:
    hint = did_you_mean(name, _EXTRAS) or f"; known extras: {', '.join(_EXTRAS)}"
    return f"unknown extra {shorten(name, 40)!r} is ignored{hint}"


def _account_group(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
        raise ValueError
    return str(value).strip()


def _valid(
    parse: Callable[[Any], T | None], is_valid: Callable[[T], bool] = lambda parsed: True
) -> Callable[[Any], T]:
    """A parser that raises ``ValueError`` for a value that is not valid."""

    def read(value: Any) -> T:
        parsed = parse(value)
        if parsed is None or not is_valid(parsed):
            raise ValueError
        return parsed

    return read


def _verify(value: Any) -> bool | str:
    parsed = boolean(value)
    return _path(value) if parsed is None else parsed


def _path(value: Any) -> str:
    """The path of a file. A certificate or key in place of a path is refused."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    path = value.strip()
    if "-----" in path or not path.isprintable() or len(path) > _LONGEST_PATH:
        raise ValueError
    return path


def _json_text(value: Any, opening: str) -> Any:
    """Return the value of a JSON text that starts with ``opening``; return any other value unchanged."""
    if isinstance(value, str) and value.strip().startswith(opening):
        return json.loads(value)
    return value


def _proxies(value: Any) -> dict[str, str]:
    value = _json_text(value, "{")
    if isinstance(value, str):
        value = {"http": value.strip(), "https": value.strip()}
    if not isinstance(value, Mapping) or not value:
        raise ValueError
    proxies = {}
    for scheme, proxy in value.items():
        if not isinstance(scheme, str) or not isinstance(proxy, str):
            raise ValueError
        key, address = scheme.strip().lower(), proxy.strip()
        # requests ignores other keys, such as https_proxy, and would send without the proxy.
        if key not in ("http", "https", "all") and "://" not in key:
            raise ValueError
        proxies[key] = address
        parts = urlsplit(address)
        # A password with a slash in it would make its user the host, and would not be known as a secret.
        if not parts.hostname or "@" in parts.path + parts.query + parts.fragment or parts.port == 0:
            raise ValueError
    return proxies


def _cert(value: Any) -> str | tuple[str, str]:
    value = _json_text(value, "[")
    if isinstance(value, str):
        return _path(value)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError
    return _path(value[0]), _path(value[1])


_EXTRAS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "account_group_id": (_account_group, "the id of an account group (aid)"),
    "timeout": (_valid(number, lambda seconds: seconds > 0), "a number of seconds, more than 0"),
    "retry_limit": (_valid(whole_number, lambda attempts: attempts >= 1), "a number of attempts, 1 or more"),
    "queue_timeout": (_valid(number, lambda seconds: seconds >= 0), "a number of seconds, 0 or more"),
    "proxies": (_proxies, "an object of proxy addresses by scheme (http, https or all), or one address"),
    "verify": (_verify, "true, false, or the path of a file or folder of trusted authorities"),
    "cert": (_cert, "the path of a client certificate, or a list of two paths: certificate and key"),
    "trust_env": (_valid(boolean), "true or false"),
    "allow_http": (_valid(boolean), "true or false"),
}
"""The parser of each extra, and what it expects."""
