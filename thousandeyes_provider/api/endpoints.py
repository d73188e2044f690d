"""The operations of the API that this provider uses, and the checks of their responses.

One table, so both hooks send the same requests (docs/thousandeyes-api.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from thousandeyes_provider.api.coerce import inner_value
from thousandeyes_provider.api.response import Response
from thousandeyes_provider.api.retry import RequestKind
from thousandeyes_provider.api.urls import follow, path_part


@dataclass(frozen=True)
class Endpoint:
    """An operation of the API.

    :param name: name for logs and errors.
    :param path: path below the base URL, with ``{...}`` for the parts that a request fills in.
    :param member: the member that the JSON object of a response must have; ``""`` when any object is usable,
        ``None`` when no body is expected.
    :param kind: what sending the request twice would do.
    :param member_type: JSON type of that member.
    :param optional: whether a response without the member is usable: it lists nothing then.
    :param takes_account_group: whether the operation has the parameter ``aid``.
    :param params: query parameters that every request has.
    """

    name: str
    path: str
    member: str | None
    kind: RequestKind = RequestKind.READ
    member_type: type | tuple[type, ...] = list
    optional: bool = False
    takes_account_group: bool = True
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The HTTP method."""
        return "GET" if self.kind is RequestKind.READ else "POST"

    def fill(self, **parts: object) -> str:
        """The path with its parts filled in, each quoted.

        :raises ValueError: for a part that is not an id.
        """
        return self.path.format(**{name: path_part(value, name) for name, value in parts.items()})

    def needs_body(self, status: int) -> bool:
        """Whether a response with this status is lost when its body is cut short or cannot be decoded.

        An error status counts without its message, and the response to a run has no body.
        """
        return status < 400 and not (self.member is None and 200 <= status < 300)

    def unusable(self, response: Response) -> str | None:
        """Return why a successful ``response`` is unusable; ``None`` if it is usable."""
        if self.member is None:
            return None if not response.body.strip() else "not the empty one that was expected"
        if not response.body.strip():
            return "an empty body"
        try:
            body = response.json()
        except ValueError:
            media_type = response.headers.get("content-type", "no content type").split(";")[0]
            return f"a body that is not JSON ({media_type}, {len(response.body)} bytes)"
        if not isinstance(body, dict):
            return "JSON that is not an object"
        if not self.member or (self.optional and self.member not in body):
            return None
        member = body.get(self.member)
        if not isinstance(member, self.member_type) or isinstance(member, bool):
            return f"JSON without a usable {self.member!r}"
        if isinstance(member, list) and not all(isinstance(item, dict) for item in member):
            return f"JSON with a {self.member!r} of other things than objects"
        return None


@dataclass(frozen=True)
class ApiRequest:
    """One request, ready to be sent as often as needed.

    :param label: name for logs and errors.
    :param url: address, with its query.
    """

    endpoint: Endpoint
    label: str
    url: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    def items(self, response: Response) -> list[dict[str, Any]]:
        """The objects that a usable response lists."""
        return list(response.json().get(self.endpoint.member) or ())

    def next_page(self, response: Response, account_group_id: str | None) -> ApiRequest | None:
        """The request for the page after ``response``: its link as it is, with ``aid`` where it carries none.

        :return: ``None`` after the last page.
        :raises ValueError: when the link leads to another origin.
        """
        link = inner_value(response.json(), "_links", "next", "href")
        if not isinstance(link, str) or not link:
            return None
        target = follow(response.url, link)
        query = urlsplit(target).query
        if account_group_id is not None and not any(name == "aid" for name, _ in parse_qsl(query)):
            target += ("&" if query else "?") + urlencode({"aid": account_group_id})
        return replace(self, url=target)


DETAILED = ("api", "page-load", "path-vis", "web-transactions")
"""Result types with details of one agent in one round (docs/thousandeyes-api.md, "Details of one round")."""

_ID: tuple[type, ...] = (str, int)
_EXPAND_AGENT = {"expand": "agent"}
_RESULTS = "/test-results/{test_id}/"
_AT_AGENT = "/agent/{agent_id}/round/{round_id}"

RUN = Endpoint("run instant test", "/tests/{test_id}/run", None, RequestKind.RUN)
CREATE = Endpoint(
    "create instant test",
    "/tests/{test_type}/instant",
    "testId",
    RequestKind.CREATE,
    _ID,
    params=_EXPAND_AGENT,
)
SNAPSHOT = Endpoint("create snapshot", "/tests/{test_id}/snapshot", "id", RequestKind.SNAPSHOT, _ID)
RESULTS = Endpoint("get results", _RESULTS + "{result_type}", "results", optional=True)
DETAILS = Endpoint("get details", _RESULTS + "{result_type}" + _AT_AGENT, "results", optional=True)
CONSOLE_LOGS = Endpoint(
    "get console logs", f"{_RESULTS}web-transactions{_AT_AGENT}/console-logs", "results", optional=True
)
TEST = Endpoint("get test", "/tests/{test_type}/{test_id}", "testId", member_type=_ID, params=_EXPAND_AGENT)
TESTS = Endpoint("list tests", "/tests", "tests")
TAGS = Endpoint("list tags", "/tags", "tags", params={"expand": "assignments"})
AGENTS = Endpoint("list agents", "/agents", "agents")
ALERT_RULES = Endpoint("list alert rules", "/alerts/rules", "alertRules")
ALERT_RULE = Endpoint("get alert rule", "/alerts/rules/{rule_id}", "")
ALERTS = Endpoint("list alerts", "/alerts", "alerts")
EVENTS = Endpoint("list events", "/events", "events")
ACCOUNT_GROUPS = Endpoint(
    "list account groups", "/account-groups", "accountGroups", takes_account_group=False
)
CURRENT_USER = Endpoint("get current user", "/users/current", "", takes_account_group=False)
