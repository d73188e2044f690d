"""Alert rules, alerts and events. docs/thousandeyes-api.md, "Alerts and events".

The simulator does not evaluate alert rules. It reports the alerts and events that its user adds.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.simulator.responses import iso
from thousandeyes_provider.simulator.validators import check_choice, check_number, check_text, check_whole

ALERT_TYPES: Mapping[str, str] = {
    "agent-to-server": "end-to-end-server",
    "agent-to-agent": "end-to-end-agent",
    "http-server": "http-server",
    "page-load": "page-load",
    "web-transactions": "web-transactions",
    "api": "api",
    "ftp-server": "ftp",
    "dns-server": "dns-server",
    "dns-trace": "dns-trace",
    "dnssec": "dnssec",
    "sip-server": "sip-server",
    "voice": "voice",
}
"""Test type to the alert type of its main result type; ``path-trace`` rules apply to tests of many types."""

RULE_TYPES = tuple(dict.fromkeys((*ALERT_TYPES.values(), "path-trace", "bgp")))
SEVERITIES = ("info", "minor", "major", "critical", "unknown")
ROUND_MODES = ("exact", "any", "auto")
EVENT_TYPES: Mapping[str, str] = {
    "network": "Network Path Issue",
    "network-pop": "Network Outage",
    "dns": "DNS Issue",
    "target": "Server Issue",
    "target-network": "Target Network Issue",
    "proxy": "Proxy Issue",
    "agent-local": "Local Agent Issue",
}
"""Event type to the name in API responses."""
EVENT_SEVERITIES = ("high", "medium", "low", "unknown")


@dataclass(frozen=True)
class SimulatedAlertRule:
    """An alert rule.

    :param rule_id: its id.
    :param name: its name.
    :param expression: condition on one row, such as ``((responseTime >= 500 ms))``.
    :param alert_type: a name from :data:`RULE_TYPES`.
    :param test_ids: tests with the rule.
    :param account_group_id: account group that owns the rule.
    :param rounds_mode: ``any`` (any agents in each of the rounds), ``exact`` (the same agents in all rounds) or
        ``auto``.
    :param rounds_required: rounds that must match the expression.
    :param rounds_out_of: number of consecutive rounds that contain them.
    :param minimum_sources: agents that must match the expression.
    :param minimum_sources_pct: agents that must match the expression, in percent, instead of ``minimum_sources``.
    :param severity: a name from :data:`SEVERITIES`.
    :param direction: direction of network and path-vis rows that the rule applies to.
    :param is_default: the rule applies to new tests of its type.
    :raises ValueError: for an unknown name or a value out of range; the message lists the choices.
    """

    rule_id: str
    name: str
    expression: str
    alert_type: str
    test_ids: tuple[str, ...]
    account_group_id: str
    rounds_mode: str = "any"
    rounds_required: int = 1
    rounds_out_of: int = 1
    minimum_sources: int = 1
    minimum_sources_pct: int | None = None
    severity: str = "major"
    direction: str | None = None
    is_default: bool = False

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_text("expression", self.expression)
        check_choice("alert_type", self.alert_type, RULE_TYPES)
        check_choice("rounds_mode", self.rounds_mode, ROUND_MODES)
        check_choice("severity", self.severity, SEVERITIES)
        check_whole("rounds_out_of", self.rounds_out_of, 1)
        check_whole("rounds_required", self.rounds_required, 1)
        check_whole("minimum_sources", self.minimum_sources, 1)
        if self.minimum_sources_pct is not None:
            check_whole("minimum_sources_pct", self.minimum_sources_pct, 1)
        if self.direction is not None:
            check_choice("direction", self.direction, ("to-target", "from-target", "bidirectional"))

    def as_expanded(self) -> dict[str, Any]:
        """Return the rule as a test reports it with ``expand=alert-rule``."""
        body: dict[str, Any] = {
            "ruleId": self.rule_id,
            "ruleName": self.name,
            "expression": self.expression,
            "alertType": self.alert_type,
            "isDefault": self.is_default,
            "roundsViolatingMode": self.rounds_mode,
            "roundsViolatingRequired": self.rounds_required,
            "roundsViolatingOutOf": self.rounds_out_of,
            "severity": self.severity,
        }
        if self.minimum_sources_pct is None:
            body["minimumSources"] = self.minimum_sources
        else:
            body["minimumSourcesPct"] = self.minimum_sources_pct
        if self.direction is not None:
            body["direction"] = self.direction
        if self.rounds_mode == "auto":
            body["sensitivityLevel"] = "medium"
        return body

    def as_listed(self) -> dict[str, Any]:
        """Return the rule as ``GET /alerts/rules`` reports it."""
        group_type = "bgp" if self.alert_type == "bgp" else "cloud-enterprise"
        return {**self.as_expanded(), "notifyOnClear": True, "alertGroupType": group_type}


@dataclass(frozen=True)
class SimulatedAlert:
    """A period during which the condition of a rule was met.

    :param alert_id: UUID.
    :param rule: the rule.
    :param test_id: the test.
    :param test_type: the type of the test.
    :param started: epoch seconds by the simulator's clock.
    :param ended: epoch seconds by the simulator's clock; ``None``: still active.
    :param violation_count: agents that matched the expression.
    """

    alert_id: str
    rule: SimulatedAlertRule
    test_id: str
    test_type: str
    started: float
    ended: float | None = None
    violation_count: int = 1

    def __post_init__(self) -> None:
        check_whole("violation_count", self.violation_count, 1)

    def is_active(self, clock: float) -> bool:
        """Whether the alert is active at ``clock``."""
        return self.ended is None or self.ended > clock

    def as_detail(self, base: str, clock: float) -> dict[str, Any]:
        """Return the alert as ``GET /alerts/{alertId}`` reports it.

        :param base: base URL of the API, for links.
        :param clock: the simulator's clock.
        """
        active = self.is_active(clock)
        state = "trigger" if active else "clear"
        body: dict[str, Any] = {
            "id": self.alert_id,
            "alertType": self.rule.alert_type,
            "alertState": state,
            "alertSeverity": self.rule.severity,
            "startDate": iso(self.started),
            "duration": int((clock if active or self.ended is None else self.ended) - self.started),
            "violationCount": self.violation_count,
            "suppressed": False,
            "meta": {"version": 1},
            "state": state,
            "severity": self.rule.severity,
            "_links": {
                "self": {"href": f"{base}/alerts/{self.alert_id}"},
                "test": {"href": f"{base}/tests/{self.test_type}/{self.test_id}"},
                "rule": {"href": f"{base}/alerts/rules/{self.rule.rule_id}"},
                "appLink": {"href": f"https://app.thousandeyes.com/alerts/list/?alertId={self.alert_id}"},
            },
        }
        if not active and self.ended is not None:
            body["endDate"] = iso(self.ended)
        return body

    def as_listed(self, base: str, clock: float) -> dict[str, Any]:
        """Return the alert as ``GET /alerts`` reports it, with the deprecated fields."""
        body = self.as_detail(base, clock) | {
            "alertRuleId": self.rule.rule_id,
            "alertId": self.alert_id,
            "ruleId": int(self.rule.rule_id),
            "state": "ACTIVE" if self.is_active(clock) else "CLEARED",
            "severity": self.rule.severity.upper(),
            "dateStart": iso(self.started),
        }
        if "endDate" in body:
            body["dateEnd"] = body["endDate"]
        return body


@dataclass(frozen=True)
class SimulatedEvent:
    """An event that ThousandEyes detected across tests, such as a network outage.

    :param event_id: UUID.
    :param title: title of the event.
    :param account_group_id: account group that sees the event.
    :param started: epoch seconds by the simulator's clock.
    :param ended: epoch seconds by the simulator's clock; ``None``: still active.
    :param event_type: a name from :data:`EVENT_TYPES`.
    :param severity: a name from :data:`EVENT_SEVERITIES`.
    :param affected_tests: number of affected tests.
    :param affected_agents: number of affected agents.
    """

    event_id: str
    title: str
    account_group_id: str
    started: float
    ended: float | None = None
    event_type: str = "network"
    severity: str = "medium"
    affected_tests: int = 1
    affected_agents: int = 1

    def __post_init__(self) -> None:
        check_text("title", self.title)
        check_choice("event_type", self.event_type, EVENT_TYPES)
        check_choice("severity", self.severity, EVENT_SEVERITIES)
        check_whole("affected_tests", self.affected_tests, 0)
        check_whole("affected_agents", self.affected_agents, 0)

    def is_active(self, clock: float) -> bool:
        """Whether the event is active at ``clock``."""
        return self.ended is None or self.ended > clock

    def as_listed(self, base: str, clock: float) -> dict[str, Any]:
        """Return the event as ``GET /events`` reports it."""
        active = self.is_active(clock)
        return {
            "id": self.event_id,
            "title": self.title,
            "type": self.event_type,
            "typeName": EVENT_TYPES[self.event_type],
            "state": "active" if active else "resolved",
            "startDate": iso(self.started),
            "endDate": None if active or self.ended is None else iso(self.ended),
            "severity": self.severity,
            "agentType": "cloud-enterprise-agent",
            "affectedTests": {"total": self.affected_tests, "inAccountGroup": self.affected_tests},
            "affectedTargets": {"total": 1, "inAccountGroup": 1},
            "affectedAgents": {"total": self.affected_agents, "inAccountGroup": self.affected_agents},
            "_links": {"self": {"href": f"{base}/events/{self.event_id}"}},
        }


def period(clock: float, ago: Any, lasted: Any) -> tuple[float, float | None]:
    """Return start and end of a period that started ``ago`` seconds before ``clock``.

    :param lasted: seconds that it lasted; ``None``: it is still active.
    :raises ValueError: for a value that is not a number from 0 up.
    """
    check_number("ago", ago, 0)
    if lasted is not None:
        check_number("lasted", lasted, 0)
    started = clock - ago
    return started, None if lasted is None else started + lasted


def numbered_uuid(kind: str, number: int) -> str:
    """Return the UUID of the alert or event with this number."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))
