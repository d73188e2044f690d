"""The address of the API, and the addresses that may receive the token."""

from __future__ import annotations

import ipaddress
import re
import string
from urllib.parse import quote, urljoin, urlsplit

from thousandeyes_provider.api.redaction import describe

DEFAULT_HOST = "https://api.thousandeyes.com"
VERSION_PATH = "/v7"
_LONGEST_LINK = 8192
_AS_IS = string.punctuation
"""Characters that stay unquoted in a link, ``%`` among them: links are quoted already."""

_PORTS = {"http": 80, "https": 443}
_NO_ADDRESS = "host must be a host name or address, such as api.thousandeyes.com"
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def base_url(host: str | None, schema: str | None = None, port: int | None = None) -> str:
    """The address that the paths of operations are appended to.

    :param host: a host name or address, which may carry a scheme, a port and a path;
        ``https://api.thousandeyes.com`` when empty.
    :param schema: ``https`` or ``http``; the scheme of ``host``, else ``https``, when empty.
    :return: scheme, host, port and path without a slash at the end. ``/v7`` when ``host`` has no path.
    :raises ValueError: naming the wrong field. The message does not repeat ``host``, which may hold a secret.
    """
    text = (host or "").strip() or DEFAULT_HOST
    if "@" in text:
        # Anywhere: with a slash in the password, the user name would become the host.
        raise ValueError("host must not carry a user or password; the token belongs into the password field")
    scheme = (schema or "").strip().lower()
    if scheme not in ("", *_PORTS):
        raise ValueError(f"schema must be 'https' or 'http', got {describe(schema)}")
    if "://" in text:
        own_scheme, text = text.split("://", 1)
        if own_scheme.lower() not in _PORTS:
            raise ValueError(f"host must begin with https:// or http://, got {describe(own_scheme)}")
        if scheme and scheme != own_scheme.lower() and (host or "").strip():
            raise ValueError(f"host begins with {own_scheme.lower()}:// but schema is {scheme!r}")
        scheme = scheme or own_scheme.lower()
    scheme = scheme or "https"
    if _is_ipv6(text):
        text = f"[{text}]"
    try:
        parts = urlsplit(f"{scheme}://{text}")
        name, own_port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_NO_ADDRESS) from None
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("host must not carry a query or fragment")
    if not (_is_ipv6(name) or _HOST_NAME.fullmatch(name)) or ".." in parts.path:
        raise ValueError(_NO_ADDRESS)
    if port is not None and own_port is not None and port != own_port:
        raise ValueError(f"host carries port {own_port} but port is {port}")
    number = own_port if port is None else port
    if number is not None and not 1 <= number <= 65535:
        raise ValueError(f"port must be from 1 to 65535, got {number}")
    shown = f"[{name}]" if _is_ipv6(name) else name
    suffix = "" if number in (None, _PORTS[scheme]) else f":{number}"
    return f"{scheme}://{shown}{suffix}{parts.path.rstrip('/') or VERSION_PATH}"


def is_loopback(url: str) -> bool:
    """Whether the host of ``url`` is a loopback address or ``localhost``; nothing is looked up.

    ``localhost.``, ``evil.localhost`` and ``127.0.0.1.`` are names that a resolver may map to any address.
    """
    name = (urlsplit(url).hostname or "").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of ``url``; only equal ones share a token."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), port if port is not None else _PORTS.get(scheme)


def follow(url: str, link: str) -> str:
    """The address of a ``link`` in a response from ``url``, without its fragment, which is never sent.

    Scheme, host and port are those of ``url`` letter by letter, so no library can read another host from them.
    Characters that an address cannot have are quoted.

    :raises ValueError: when the link leads to another origin, where the token must not go, or is not an address. The
        message does not repeat the link.
    """
    try:
        if len(link) > _LONGEST_LINK:
            raise ValueError
        target = urlsplit(urljoin(url, link))
        is_same = origin(target.geturl()) == origin(url) and "@" not in target.netloc
        path, query = (quote(part, safe=_AS_IS) for part in (target.path or "/", target.query))
    except ValueError:
        raise ValueError(f"its link ({len(link)} characters) is not an address") from None
    if not is_same:
        raise ValueError("its link leads to another origin")
    return urlsplit(url)._replace(path=path, query=query, fragment="").geturl()


def path_part(value: object, name: str) -> str:
    """``value`` quoted as one part of a path, so that it cannot reach another endpoint.

    :raises ValueError: when it is empty or would be resolved away.
    """
    text = str(value).strip()
    if value is None or isinstance(value, bool) or text in ("", ".", ".."):
        raise ValueError(f"{name} must be an id, got {describe(value)}")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be an id, got {describe(value)}") from None


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(text), ipaddress.IPv6Address)
    except ValueError:
        return False
