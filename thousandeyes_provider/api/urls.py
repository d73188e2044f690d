"""Where the API is, and which addresses may be sent the token."""

from __future__ import annotations

import ipaddress
import re
import string
from urllib.parse import quote, urljoin, urlsplit

DEFAULT_HOST = "https://api.thousandeyes.com"
VERSION_PATH = "/v7"
_LONGEST_LINK = 8192
_AS_IS = string.punctuation
"""What stays as it is in the path and query of a link, ``%`` among it: they are quoted already."""

_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def base_url(host: str | None, schema: str | None = None, port: int | None = None) -> str:
    """The address that operations are appended to.

    :param host: a host name or address, which may carry a scheme, a port and a path;
        ``https://api.thousandeyes.com`` when empty.
    :param schema: ``https`` or ``http``; what ``host`` says, else ``https``, when empty.
    :param port: goes before the path.
    :return: scheme, host, port and path without a slash at the end. ``/v7`` when ``host`` has no path.
    :raises ValueError: naming what is wrong with which field.
    """
    text = (host or "").strip() or DEFAULT_HOST
    if "@" in text:
        # Wherever it stands: a password with a slash in it would otherwise make its user the host.
        raise ValueError("host must not carry a user or password; the token belongs into the password field")
    if (schema or "").strip().lower() not in ("", *_PORTS):
        raise ValueError(f"schema {schema!r} is not one of 'https', 'http'")
    scheme = (schema or "").strip().lower()
    if "://" in text:
        told = text.split("://", 1)[0].lower()
        if told not in _PORTS:
            raise ValueError(f"host {text!r} begins with {told!r}, expected 'https' or 'http'")
        if scheme and scheme != told and (host or "").strip():
            raise ValueError(f"host {text!r} and schema {schema!r} contradict each other")
        scheme = scheme or told
        text = text.split("://", 1)[1]
    scheme = scheme or "https"
    if _is_ipv6(text):
        text = f"[{text}]"
    try:
        parts = urlsplit(f"{scheme}://{text}")
        name, own_port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"host {text!r} is not an address") from None
    if parts.query or parts.fragment:
        raise ValueError(f"host {text!r} must not carry a query or fragment")
    if not (_is_ipv6(name) or _HOST_NAME.fullmatch(name)) or ".." in parts.path:
        raise ValueError(f"host {text!r} is not an address")
    if port is not None and own_port is not None and port != own_port:
        raise ValueError(f"host {text!r} and port {port} contradict each other")
    number = own_port if port is None else port
    if number is not None and not 1 <= number <= 65535:
        raise ValueError(f"port {number} is not between 1 and 65535")
    shown = f"[{name}]" if _is_ipv6(name) else name
    at = "" if number in (None, _PORTS[scheme]) else f":{number}"
    return f"{scheme}://{shown}{at}{parts.path.rstrip('/') or VERSION_PATH}"


def is_loopback(url: str) -> bool:
    """Whether the host of ``url`` is this machine by its name or address; nothing is looked up."""
    name = (urlsplit(url).hostname or "").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        # "127.0.0.1." is a name, which any resolver may answer as it likes.
        name = name.removesuffix(".")
        return name == "localhost" or name.endswith(".localhost")


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of ``url``, so that equal ones may share a token."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), port if port is not None else _PORTS.get(scheme)


def follow(url: str, link: str) -> str:
    """The address of ``link`` as found in an answer from ``url``, without a fragment: that is never sent.

    Scheme, host and port are those of ``url`` letter by letter, so that no library can read another host from them, and
    what an address cannot have is quoted.

    :raises ValueError: when it leads to another origin, where the token must not go, or is no address.
    """
    try:
        if len(link) > _LONGEST_LINK:
            raise ValueError
        target = urlsplit(urljoin(url, link))
        same = origin(target.geturl()) == origin(url) and "@" not in target.netloc
        path, query = (quote(part, safe=_AS_IS) for part in (target.path or "/", target.query))
    except ValueError:
        raise ValueError(f"the link {link[:200]!r} is not an address") from None
    if not same:
        scheme, name, port = origin(target.geturl())
        raise ValueError(f"the link leads to another origin, {scheme}://{name[:200]}:{port}")
    return urlsplit(url)._replace(path=path, query=query, fragment="").geturl()


def path_part(value: object, name: str) -> str:
    """``value`` quoted as one part of a path, so that it cannot reach another endpoint.

    :raises ValueError: when it is empty, or one that would be resolved away.
    """
    text = str(value).strip()
    if value is None or isinstance(value, bool) or text in ("", ".", ".."):
        raise ValueError(f"{name} {value!r} is not an id")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise ValueError(f"{name} {value!r} is not an id") from None


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(text), ipaddress.IPv6Address)
    except ValueError:
        return False
