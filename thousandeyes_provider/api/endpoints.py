"""The operations of the API that this provider uses, and what a usable answer to each looks like.

Source: SPEC. One table, so that both hooks send the same requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.api.response import Response
from thousandeyes_provider.api.retry import RequestKind
from thousandeyes_provider.api.urls import path_part


@dataclass(frozen=True)
class Endpoint:
    """An operation of the API.

    :param name: for logs and errors.
    :param method: HTTP method.
    :param path: below the base URL, with ``{...}`` for the parts that a request fills in.
    :param sending: what sending it twice would do.
    :param member: the member that the answer's JSON object must have; ``""`` when any object will do,
        ``None`` when no body is expected.
    :param member_type: the JSON type of that member.
    :param takes_account_group: whether it knows ``aid``.
    :param params: query parameters that are always sent.
    """

    name: str
    method: str
    path: str
    sending: RequestKind = RequestKind.READ
    member: str | None = None
    member_type: type | tuple[type, ...] = list
    takes_account_group: bool = True
    params: Mapping[str, str] = field(default_factory=dict)

    def fill(self, **parts: object) -> str:
        """The path with its parts filled in, each quoted.

        :raises ValueError: when a part is no id.
        """
        return self.path.format(**{name: path_part(value, name) for name, value in parts.items()})

    def unusable(self, answer: Response) -> str | None:
        """Why a successful ``answer`` is not what the operation returns; ``None`` when it is."""
        if self.member is None:
            return None if not answer.body.strip() else "not the empty one that was expected"
        if not answer.body.strip():
            return "an empty body"
        try:
            body = answer.json()
        except ValueError:
            kind = answer.headers.get("content-type", "no content type").split(";")[0][:100]
            return f"a body that is not JSON ({kind}, {len(answer.body)} bytes)"
        if not isinstance(body, dict):
            return "JSON that is not an object"
        if not self.member:
            return None
        member = body.get(self.member)
        if not isinstance(member, self.member_type) or isinstance(member, bool):
            return f"JSON without a usable {self.member!r}"
        if isinstance(member, list) and not all(isinstance(item, dict) for item in member):
            return f"JSON with a {self.member!r} of other things than objects"
        return None


_ID: tuple[type, ...] = (str, int)
_EXPAND_AGENT = {"expand": "agent"}

RUN = Endpoint("run instant test", "POST", "/tests/{test_id}/run", RequestKind.RUN)
CREATE = Endpoint(
    "create instant test",
    "POST",
    "/tests/{test_type}/instant",
    RequestKind.CREATE,
    member="testId",
    member_type=_ID,
    params=_EXPAND_AGENT,
)
SNAPSHOT = Endpoint(
    "create snapshot",
    "POST",
    "/tests/{test_id}/snapshot",
    RequestKind.SNAPSHOT,
    member="id",
    member_type=_ID,
)
RESULTS = Endpoint("get results", "GET", "/test-results/{test_id}/{result_type}", member="results")
TEST = Endpoint(
    "get test", "GET", "/tests/{test_type}/{test_id}", member="testId", member_type=_ID, params=_EXPAND_AGENT
)
TESTS = Endpoint("list tests", "GET", "/tests", member="tests")
AGENTS = Endpoint("list agents", "GET", "/agents", member="agents")
ACCOUNT_GROUPS = Endpoint(
    "list account groups", "GET", "/account-groups", member="accountGroups", takes_account_group=False
)
CURRENT_USER = Endpoint(
    "get current user",
    "GET",
    "/users/current",
    member="",
    takes_account_group=False,
)


def next_link(page: Mapping[str, Any]) -> str | None:
    """The ``_links.next.href`` of a page of results; ``None`` on the last page."""
    links = page.get("_links")
    following = links.get("next") if isinstance(links, dict) else None
    href = following.get("href") if isinstance(following, dict) else None
    return href if isinstance(href, str) and href else None
