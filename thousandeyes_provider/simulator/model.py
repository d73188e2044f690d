"""The state of the simulated organization: agents, tests, rounds, tags and alerts.

This module does not sleep, send or read a clock. The argument ``now`` is the real time in epoch seconds. The
simulator's clock is ahead of it by the switch ``clock_offset``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.simulator import conditions, round_details, rows, test_templates
from thousandeyes_provider.simulator.agent_behavior import (
    BEHAVIOR_FIELDS,
    AgentBehavior,
    BehaviorParser,
    leaf,
)
from thousandeyes_provider.simulator.agents import (
    ACCOUNT_GROUPS,
    AGENT_STATES,
    AGENTS,
    SimulatedAgent,
    further_agent,
)
from thousandeyes_provider.simulator.generated_history import (
    TRAIT_NAMES,
    GeneratedHistory,
    HistorySummary,
    HistoryTraits,
)
from thousandeyes_provider.simulator.simulated_alerts import (
    ALERT_TYPES,
    SimulatedAlert,
    SimulatedAlertRule,
    SimulatedEvent,
    numbered_uuid,
    period,
)
from thousandeyes_provider.simulator.simulated_rounds import (
    Round,
    RoundState,
    TriggeredRound,
    VisibleRow,
    shown_rounds,
)
from thousandeyes_provider.simulator.simulated_tags import SimulatedTag, parse_tag
from thousandeyes_provider.simulator.switches import Switches
from thousandeyes_provider.simulator.validators import (
    check_boolean,
    check_choice,
    check_dict,
    check_names,
    check_number,
    check_text,
    check_whole,
)

DEFAULT_HISTORY = (300.0,)
"""Ages in seconds of the rounds that a new test has."""

MAX_AGENTS = 1000
_MINUTE = 60


class RunInProgress(Exception):
    """A run was refused because another one is in progress (switch ``run_while_running``)."""


@dataclass
class SimulatedTest:
    """A test.

    :param test_id: its id.
    :param test_type: a name from ``TEST_TYPES``.
    :param name: its name.
    :param account_group_id: account group that owns the test.
    :param agents: ids of its agents.
    :param definition: fields of its type, as in a test definition.
    :param dns_servers: names of the DNS servers of a dns-server test.
    :param scheduled: whether it is a scheduled test rather than an instant test.
    :param created: creation date, real epoch seconds.
    :param switches: switches that apply to this test only.
    :param behavior: behavior of its agents in new rounds.
    :param next_behaviors: behaviors of the next rounds, one per round; ``behavior`` applies afterwards.
    :param rounds: its rounds, oldest first, without those of ``history``.
    :param history: its generated history, if any.
    """

    __test__ = False  # not a test class of pytest

    test_id: str
    test_type: str
    name: str
    account_group_id: str
    agents: tuple[str, ...]
    definition: dict[str, Any]
    dns_servers: tuple[str, ...] = ()
    scheduled: bool = False
    created: float = 0.0
    switches: dict[str, Any] = field(default_factory=dict)
    behavior: AgentBehavior = field(default_factory=AgentBehavior)
    next_behaviors: list[AgentBehavior] = field(default_factory=list)
    rounds: list[TriggeredRound] = field(default_factory=list)
    history: GeneratedHistory | None = None

    @property
    def result_types(self) -> tuple[str, ...]:
        """The result types that the test has."""
        network_measurements = bool(self.definition.get("networkMeasurements", True))
        return test_templates.result_types(self.test_type, network_measurements)

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions in which it measures. Only agent-to-agent tests have a choice."""
        if self.test_type != "agent-to-agent":
            return ("to-target",)
        direction = self.definition.get("direction", "to-target")
        return ("to-target", "from-target") if direction == "bidirectional" else (direction,)


_CHANGE_TEST = (
    "name",
    "agents",
    "dns_servers",
    "direction",
    "network_measurements",
    "definition",
    "switches",
    "next_runs",
    *BEHAVIOR_FIELDS,
)
_ADD_TEST = (
    "test_type",
    "test_id",
    "target_agent",
    "account_group_id",
    "scheduled",
    "tags",
    "history",
    *_CHANGE_TEST,
)

_RULE_FIELDS = (
    "name",
    "alert_type",
    "account_group_id",
    "rounds_mode",
    "rounds_required",
    "rounds_out_of",
    "minimum_sources",
    "minimum_sources_pct",
    "severity",
    "direction",
    "is_default",
)
_EVENT_FIELDS = ("account_group_id", "event_type", "severity", "affected_tests", "affected_agents")


class World:
    """The simulated organization.

    :param now: real time of its creation, epoch seconds.
    :param switches: behavior of the API.
    :param speed: divides simulated durations.
    :param seed: seed of the generated results.
    :param default_tests: start with one test of each type.
    """

    def __init__(
        self,
        now: float,
        switches: Switches | None = None,
        *,
        speed: float = 1.0,
        seed: int = 7,
        default_tests: bool = True,
    ) -> None:
        check_number("speed", speed, 0.001)
        check_whole("seed", seed)
        self.switches = switches or Switches()
        self.speed = float(speed)
        self.seed = seed
        self.account_groups = list(ACCOUNT_GROUPS)
        self.agents: dict[str, SimulatedAgent] = {agent.agent_id: agent for agent in AGENTS}
        self.tests: dict[str, SimulatedTest] = {}
        self.tags: dict[str, SimulatedTag] = {}
        self.alert_rules: dict[str, SimulatedAlertRule] = {}
        self.alerts: dict[str, SimulatedAlert] = {}
        self.events: dict[str, SimulatedEvent] = {}
        self.targets: Mapping[str, Any] = {}
        self._behaviors = BehaviorParser(
            self._find_agent, lambda: [agent.name for agent in self.agents.values()]
        )
        self._next_id = 202801
        if default_tests:
            for test_type in TEST_TYPES:
                self.add_test(now, **_default_test(test_type))

    # time

    def clock(self, now: float) -> float:
        """Return the simulator's clock, epoch seconds."""
        return now + self.switches.clock_offset

    def real(self, seconds: float) -> float:
        """Return a simulated duration in real seconds."""
        return seconds / self.speed

    # agents

    def add_agent(self, **spec: Any) -> SimulatedAgent:
        """Add an agent.

        :param spec: fields of :class:`SimulatedAgent`; ``agent_id`` defaults to a free id.
        :raises ValueError: for an unknown field, or an id or name that is already in use.
        """
        check_names(spec, tuple(SimulatedAgent.__dataclass_fields__), "field of an agent")
        if "name" not in spec:
            raise ValueError("name is required for an agent")
        enterprise = spec.get("agent_type") == "enterprise"
        free_id = self._free_agent_id(281474976710803 if enterprise else 15000)
        agent = SimulatedAgent(**{"agent_id": free_id, **spec})
        if agent.agent_id in self.agents:
            raise ValueError(f"agent_id {agent.agent_id!r} is already in use")
        if self._find_agent(agent.name) is not None:
            raise ValueError(f"name {agent.name!r} is already in use")
        self.agents[agent.agent_id] = agent
        return agent

    def change_agent(self, ref: str, state: str) -> SimulatedAgent:
        """Set the state of an agent for rounds that start afterwards.

        :param ref: id or name of the agent.
        :raises ValueError: for an unknown state or agent; the message lists the choices.
        """
        check_choice("state", state, AGENT_STATES)
        agent_id = self.agent_id(ref)
        self.agents[agent_id] = replace(self.agents[agent_id], state=state)
        return self.agents[agent_id]

    def agent_id(self, ref: str) -> str:
        """Return the id of the agent with this id or name.

        :raises ValueError: for an unknown agent; the message lists the known ones.
        """
        agent_id = self._find_agent(ref)
        if agent_id is None:
            known = "; ".join(f"{agent.name!r} ({agent.agent_id})" for agent in self.agents.values())
            raise ValueError(f"unknown agent {ref!r}; known: {known}")
        return agent_id

    def set_target(self, name: str, condition: Any) -> str:
        """Set the condition of a target for rounds that start afterwards.

        :param name: a host, a URL, ``host:port``, a domain, a DNS server, or an agent by id or name.
        :param condition: condition for all agents, or a dict by agent and by result type.
        :returns: the target in the form that is matched against tests.
        :raises ValueError: for an unknown condition or agent; the message lists the choices.
        """
        check_text("target", name)
        target = self._find_agent(name) or conditions.host_of(name)
        check_text("target", target)
        parsed = self._behaviors.tree("condition", condition, conditions.condition)
        # Rounds keep a reference to the dict of their start, so it must not be modified.
        self.targets = {**self.targets, target: parsed}
        return target

    def _find_agent(self, ref: Any) -> str | None:
        if str(ref) in self.agents:
            return str(ref)
        return next((agent.agent_id for agent in self.agents.values() if agent.name == ref), None)

    def _free_agent_id(self, first: int) -> str:
        while str(first) in self.agents:
            first += 1
        return str(first)

    def _agent_ids(self, wanted: int | Iterable[str], target: str | None) -> tuple[str, ...]:
        """Return the ids of the named agents, or of the first ``wanted`` agents.

        :param wanted: ids or names, or a number. Agents are added if there are fewer than this number.
        :param target: agent that the other agents measure towards; not counted in a number.
        """
        if isinstance(wanted, int) and not isinstance(wanted, bool):
            if not 1 <= wanted <= MAX_AGENTS:
                raise ValueError(f"agents: a number must be from 1 to {MAX_AGENTS}, got {wanted}")
            number = 0
            while len(self.agents) - (target in self.agents) < wanted:
                agent = further_agent(number)
                number += 1
                if self._find_agent(agent.agent_id) is None and self._find_agent(agent.name) is None:
                    self.agents[agent.agent_id] = agent
            return tuple(agent_id for agent_id in self.agents if agent_id != target)[:wanted]
        if isinstance(wanted, str | bool) or not isinstance(wanted, Iterable):
            raise ValueError(f"agents must be a list of ids or names, or a number, got {wanted!r}")
        chosen = tuple(dict.fromkeys(self.agent_id(ref) for ref in wanted))
        if not chosen:
            raise ValueError("agents must name at least one agent")
        return chosen

    # tests

    def add_test(self, now: float, **spec: Any) -> SimulatedTest:
        """Add a test, by default an instant test.

        :param spec: ``test_type`` (required), ``test_id``, ``name``, ``agents`` (ids, names, or a number),
            ``dns_servers`` (names), ``direction`` (agent-to-agent), ``target_agent`` (id or name),
            ``network_measurements`` (default true), ``account_group_id``, ``scheduled`` (default false), ``tags`` (each
            ``key:value``; scheduled tests only), ``definition`` (further fields of its type), ``history`` (ages of
            earlier rounds in seconds, or dicts of ``ago`` and behavior), ``switches``, ``next_runs`` (behavior of each
            of the next runs), and behavior: ``outcomes``, ``condition``, ``metrics``, ``delays``, ``silent``,
            ``failed_step``.
        :raises ValueError: for an unknown field or an invalid value; the message lists the choices.
        """
        check_names(spec, _ADD_TEST, "field of a test")
        test_type: Any = spec.get("test_type")
        check_choice("test_type", test_type, TEST_TYPES)
        _check_parts(spec)
        test = self._new_test(now, test_type, spec)
        tags = _texts("tags", spec["tags"]) if spec.get("tags") is not None else ()
        if tags and not test.scheduled:
            raise ValueError("tags apply to scheduled tests only; pass scheduled=True")
        for tag in tags:
            parse_tag(tag)
        history = _parse_history(DEFAULT_HISTORY if spec.get("history") is None else spec["history"])
        self.change_test(test, **{name: value for name, value in spec.items() if name in _CHANGE_TEST})
        for ago, behavior in sorted(history, key=lambda entry: -entry[0]):
            check_names(behavior, BEHAVIOR_FIELDS, "field of a round")
            changed = self._behaviors.changed(test.behavior, behavior)
            self._start(test, now - ago, "history", changed, aged=ago)
        self.tests[test.test_id] = test
        for tag in tags:
            self.add_tag(now, tag, (test.test_id,), account_group_id=test.account_group_id)
        return test

    def _new_test(self, now: float, test_type: str, spec: Mapping[str, Any]) -> SimulatedTest:
        test_id = str(spec.get("test_id") or self._free_test_id())
        if test_id in self.tests:
            raise ValueError(f"test_id {test_id!r} is already in use")
        name = spec.get("name") or f"Instant {test_type} test {test_id}"
        if name in [test.name for test in self.tests.values()]:
            raise ValueError(f"name {name!r} is already in use")
        account_group_id = self._known_account_group(spec.get("account_group_id"))
        scheduled = spec.get("scheduled", False)
        check_boolean("scheduled", scheduled)
        definition, agents = dict(test_templates.TEMPLATES[test_type]), tuple(self.agents)
        if test_templates.has_target_agent(test_type):
            given = spec.get("definition") or {}
            named = spec.get("target_agent") or given.get("targetAgentId") or AGENTS[-1].agent_id
            definition["targetAgentId"] = self.agent_id(named)
            agents = tuple(agent_id for agent_id in agents if agent_id != definition["targetAgentId"])
        elif spec.get("target_agent") is not None:
            raise ValueError(f"target_agent does not apply to {test_type} tests")
        return SimulatedTest(
            test_id,
            test_type,
            str(name),
            account_group_id,
            agents,
            definition,
            ("ns1.example.net", "ns2.example.net") if test_type == "dns-server" else (),
            scheduled=scheduled,
            created=now,
        )

    def change_test(self, test: SimulatedTest, **spec: Any) -> None:
        """Change a test. Rounds that have started stay as they are.

        :param spec: ``name``, ``agents``, ``dns_servers``, ``direction``, ``network_measurements``, ``definition``,
            ``switches``, ``next_runs`` and behavior, as in :meth:`add_test`.
        :raises ValueError: for an unknown field or an invalid value; the message lists the choices. The test is then
            unchanged.
        """
        check_names(spec, _CHANGE_TEST, "field of a test")
        _check_parts(spec)
        definition = self._changed_definition(test, spec)
        agents, servers = test.agents, test.dns_servers
        if spec.get("agents") is not None:
            agents = self._agent_ids(spec["agents"], definition.get("targetAgentId"))
        if spec.get("dns_servers") is not None:
            if test.test_type != "dns-server":
                raise ValueError(f"dns_servers does not apply to {test.test_type} tests")
            servers = _texts("dns_servers", spec["dns_servers"])
        switches = {**test.switches, **self.switches.checked_for_one_test(spec.get("switches") or {})}
        changes = {name: spec[name] for name in BEHAVIOR_FIELDS if name in spec}
        behavior = self._behaviors.changed(test.behavior, changes)
        following = [self._behaviors.changed(behavior, run_spec) for run_spec in spec.get("next_runs") or ()]
        test.name = str(spec.get("name") or test.name)
        test.definition, test.agents, test.dns_servers = definition, agents, servers
        test.switches, test.behavior = switches, behavior
        if "next_runs" in spec:
            test.next_behaviors = following

    @staticmethod
    def _changed_definition(test: SimulatedTest, spec: Mapping[str, Any]) -> dict[str, Any]:
        definition = dict(test.definition)
        if spec.get("definition") is not None:
            definition.update(test_templates.kept(test.test_type, spec["definition"]))
        if spec.get("direction") is not None:
            if test.test_type != "agent-to-agent":
                raise ValueError(f"direction does not apply to {test.test_type} tests")
            definition["direction"] = spec["direction"]
        if test.test_type == "agent-to-agent":
            check_choice("direction", definition.get("direction"), test_templates.DIRECTIONS)
        if spec.get("network_measurements") is not None:
            check_boolean("network_measurements", spec["network_measurements"])
            definition["networkMeasurements"] = spec["network_measurements"]
        return definition

    def switches_of(self, test: SimulatedTest) -> Switches:
        """Return the switches in force for a test."""
        return self.switches.changed(test.switches) if test.switches else self.switches

    def add_history(self, now: float, test: SimulatedTest, **traits: Any) -> HistorySummary:
        """Replace the initial rounds of a test with a generated history.

        :param traits: fields of :class:`~thousandeyes_provider.simulator.generated_history.HistoryTraits`.
        :returns: contents of the history.
        :raises ValueError: for an unknown field, or a value out of range.
        """
        check_names(traits, TRAIT_NAMES, "trait of a history")
        longitudes = {agent_id: self.agents[agent_id].longitude for agent_id in test.agents}
        chosen = HistoryTraits(**traits)
        offset = self.switches.clock_offset
        test.history = GeneratedHistory(test.test_id, longitudes, self.clock(now), offset, chosen)
        test.rounds = [round_ for round_ in test.rounds if round_.by != "history"]
        test.definition = {**test.definition, "interval": chosen.interval}
        return test.history.summary()

    def _known_account_group(self, wanted: Any) -> str:
        """Return the id of an account group; the default group for ``None``."""
        groups = [group.aid for group in self.account_groups]
        account_group_id = str(wanted or groups[0])
        if account_group_id not in groups:
            raise ValueError(f"account_group_id must be one of {', '.join(groups)}, got {account_group_id!r}")
        return account_group_id

    def _known_test(self, test_id: Any) -> SimulatedTest:
        if str(test_id) not in self.tests:
            raise ValueError(f"unknown test {test_id!r}; known: {', '.join(self.tests)}")
        return self.tests[str(test_id)]

    # tags, alert rules, alerts and events

    def add_tag(
        self, now: float, tag: str, tests: Iterable[Any] = (), *, account_group_id: Any = None
    ) -> SimulatedTag:
        """Add a tag, or assign an existing tag to more tests.

        :param tag: ``key:value``.
        :param tests: ids of scheduled tests of the account group.
        :raises ValueError: for a malformed tag, or a test that cannot have it.
        """
        key, value = parse_tag(tag)
        if isinstance(tests, str):
            raise ValueError(f"tests must be a list of ids, got {tests!r}")
        made = SimulatedTag(key, value, self._known_account_group(account_group_id), self.clock(now))
        test_ids = []
        for test in map(self._known_test, tests):
            if not test.scheduled or test.account_group_id != made.account_group_id:
                raise ValueError(
                    f"tests: {test.test_id} is not a scheduled test of account group {made.account_group_id}"
                )
            test_ids.append(test.test_id)
        kept = self.tags.setdefault(made.tag_id, made)
        kept.test_ids.update(dict.fromkeys(test_ids))
        return kept

    def add_alert_rule(self, expression: str, tests: Iterable[Any], **spec: Any) -> SimulatedAlertRule:
        """Add an alert rule to tests.

        :param expression: such as ``((responseTime >= 500 ms))``.
        :param tests: ids of at least one test.
        :param spec: further fields of :class:`~thousandeyes_provider.simulator.simulated_alerts.SimulatedAlertRule`;
            ``alert_type`` defaults to that of the first test.
        :raises ValueError: for an unknown test or field, or a value out of range.
        """
        check_names(spec, _RULE_FIELDS, "field of an alert rule")
        assigned = [] if isinstance(tests, str) else [self._known_test(test_id) for test_id in tests]
        if not assigned:
            raise ValueError(f"tests must be a list of at least one id, got {tests!r}")
        rule_id = str(100001 + len(self.alert_rules))
        fields = {
            "name": f"Alert rule {rule_id}",
            "alert_type": ALERT_TYPES[assigned[0].test_type],
            "account_group_id": assigned[0].account_group_id,
            **spec,
        }
        rule = SimulatedAlertRule(
            rule_id=rule_id,
            expression=expression,
            test_ids=tuple(test.test_id for test in assigned),
            **fields,
        )
        self.alert_rules[rule_id] = rule
        return rule

    def add_alert(
        self, now: float, rule_id: str, test_id: Any, *, ago: float, lasted: float | None = None, **spec: Any
    ) -> SimulatedAlert:
        """Add an alert.

        :param rule_id: id of the rule.
        :param test_id: id of a test with the rule.
        :param ago: seconds since the alert started.
        :param lasted: seconds that it lasted; ``None``: it is still active.
        :param spec: ``violation_count``.
        :raises ValueError: for an unknown rule, test or field.
        """
        check_names(spec, ("violation_count",), "field of an alert")
        rule = self.alert_rules.get(str(rule_id))
        if rule is None or str(test_id) not in rule.test_ids:
            known = ", ".join(
                f"{rule.rule_id} ({', '.join(rule.test_ids)})" for rule in self.alert_rules.values()
            )
            raise ValueError(f"test {test_id!r} has no alert rule {rule_id!r}; known: {known}")
        test = self._known_test(test_id)
        started, ended = period(self.clock(now), ago, lasted)
        alert_id = numbered_uuid("alert", len(self.alerts))
        alert = SimulatedAlert(alert_id, rule, test.test_id, test.test_type, started, ended, **spec)
        self.alerts[alert_id] = alert
        return alert

    def add_event(
        self, now: float, title: str, *, ago: float, lasted: float | None = None, **spec: Any
    ) -> SimulatedEvent:
        """Add an event.

        :param ago: seconds since the event started.
        :param lasted: seconds that it lasted; ``None``: it is still active.
        :param spec: further fields of :class:`~thousandeyes_provider.simulator.simulated_alerts.SimulatedEvent`.
        :raises ValueError: for an unknown field, or a value out of range.
        """
        check_names(spec, _EVENT_FIELDS, "field of an event")
        started, ended = period(self.clock(now), ago, lasted)
        event_id = numbered_uuid("event", len(self.events))
        fields = {**spec, "account_group_id": self._known_account_group(spec.get("account_group_id"))}
        event = SimulatedEvent(event_id, title, started=started, ended=ended, **fields)
        self.events[event_id] = event
        return event

    def _free_test_id(self) -> str:
        while str(self._next_id) in self.tests:
            self._next_id += 1
        self._next_id += 1
        return str(self._next_id - 1)

    # rounds

    def run(self, test: SimulatedTest, now: float, by: str = "api", **behavior: Any) -> TriggeredRound | None:
        """Run a test.

        :param now: real start time of the round.
        :param behavior: behavior for this round only.
        :returns: the new round; ``None`` if the run was merged into the one in progress.
        :raises RunInProgress: if a run is in progress and the switch ``run_while_running`` is ``409``.
        """
        mode = self.switches_of(test).run_while_running
        if mode != "new-round" and self.is_running(test, now):
            if mode == "409":
                raise RunInProgress
            return None
        base = test.next_behaviors[0] if test.next_behaviors else test.behavior
        started = self._start(test, now, by, self._behaviors.changed(base, behavior))
        del test.next_behaviors[:1]
        return started

    def is_running(self, test: SimulatedTest, now: float) -> bool:
        """Return whether a run of the test is in progress."""
        if not test.rounds:
            return False
        last, busy = test.rounds[-1], self.switches_of(test).run_busy
        return now < (last.started + self.real(busy) if busy else last.last_landing())

    def _start(
        self, test: SimulatedTest, now: float, by: str, behavior: AgentBehavior, aged: float = 0.0
    ) -> TriggeredRound:
        """Add a round.

        :param aged: seconds by which the round is older than the test. All its rows have landed, whatever the delays of
            the agents.
        """
        began = self.clock(now)
        round_id = math.floor(began)
        kind, taken = self.switches_of(test).round_ids, {earlier.round_id for earlier in test.rounds}
        if kind == "minute":
            round_id -= round_id % _MINUTE
        else:
            while round_id in taken or (kind == "unambiguous" and round_id % _MINUTE == 0):
                round_id += 1
        lands: dict[tuple[str, str], float | None] = {}
        for agent_id in test.agents:
            usual = Random(f"{self.seed}|{test.test_id}|{agent_id}|delay").uniform(2, 6)
            online = self.agents[agent_id].state == "online"
            for result_type in TEST_TYPES[test.test_type].result_types:
                delay = behavior.delay(agent_id, result_type, usual) if online else None
                if delay is not None:
                    delay = min(self.real(delay), aged) if aged else self.real(delay)
                lands[agent_id, result_type] = None if delay is None else now + delay
        number = len(test.rounds)
        started = TriggeredRound(number, round_id, now, began, test.agents, by, lands, behavior, self.targets)
        test.rounds.append(started)
        return started

    def round_states(self, test: SimulatedTest, now: float) -> list[RoundState]:
        """Return the rounds of a test, oldest first, without those of a generated history."""
        return [round_.state(test.result_types, now) for round_ in test.rounds]

    # results

    def visible_rows(
        self,
        test: SimulatedTest,
        result_type: str,
        now: float,
        *,
        between: tuple[float, float] | None = None,
        directions: tuple[str, ...] = ("to-target",),
    ) -> list[VisibleRow]:
        """Return the rows that the API shows: oldest round first, agents in the order in which they were added.

        :param between: first and last round id; ``None``: only the newest round.
        :param directions: for network and path-vis.
        """
        switches = self.switches_of(test)
        first = None if between is None else math.floor(between[0] - switches.window_slack)
        rounds = self._rounds(test, now, first)
        shown = shown_rounds(rounds, result_type, now, switches.newest_round, only_newest=between is None)
        if between is not None and first is not None:
            # The id of a second round within the same second is later than its start.
            shown = [
                round_
                for round_ in shown
                if first <= round_.round_id and min(round_.round_id, math.floor(round_.began)) <= between[1]
            ]
        keys = self._row_keys(test, result_type, directions)
        visible: dict[tuple[int, str, str], VisibleRow] = {}
        for round_ in shown:
            for agent_id in round_.agents:
                if round_.landed(agent_id, result_type, now):
                    for key in keys:
                        # If runs share a round id, the later row replaces the earlier one.
                        visible[round_.round_id, agent_id, key] = VisibleRow(round_, agent_id, key)
        order = {agent_id: position for position, agent_id in enumerate(self.agents)}
        return sorted(visible.values(), key=lambda row: (row.round.round_id, order[row.agent_id]))

    def has_rows(self, test: SimulatedTest, result_type: str, now: float) -> bool:
        """Return whether the API shows any row of this type."""
        newest_round = self.switches_of(test).newest_round
        rounds = self._rounds(test, now, None)
        return bool(shown_rounds(rounds, result_type, now, newest_round, only_newest=False))

    def _rounds(self, test: SimulatedTest, now: float, first: float | None) -> list[Round]:
        """Return the rounds of a test, oldest first; of a generated history only those in the period.

        :param first: lowest round id of the period; ``None``: only the newest round is needed.
        """
        if test.history is None:
            return list(test.rounds)
        clock = self.clock(now)
        newest = test.history.newest(clock)
        generated = newest if first is None else test.history.between(first, clock)
        # The switch newest_round needs the newest rounds.
        if first is not None and newest and (not generated or generated[0].round_id > newest[0].round_id):
            generated = newest
        return sorted([*generated, *test.rounds], key=lambda round_: round_.started)

    @staticmethod
    def _row_keys(test: SimulatedTest, result_type: str, directions: tuple[str, ...]) -> tuple[str, ...]:
        if result_type == "dns-server":
            return test.dns_servers
        return directions if result_type in ("network", "path-vis") else ("",)

    def row(self, test: SimulatedTest, result_type: str, visible: VisibleRow) -> dict[str, Any]:
        """Return the fields of a row that are specific to its result type, with all expansions."""
        return self._measured_row(test, result_type, visible)[1].fields

    def details(self, test: SimulatedTest, result_type: str, visible: VisibleRow) -> dict[str, Any]:
        """Return the fields of a row that are specific to its result type, with the details of the agent."""
        measured, row = self._measured_row(test, result_type, visible)
        return row.fields | round_details.details_of(result_type, measured, row.fields, row.failed_step)

    def console_logs(self, test: SimulatedTest, visible: VisibleRow) -> list[dict[str, str]]:
        """Return the browser log of the agent's web transaction."""
        measured, row = self._measured_row(test, "web-transactions", visible)
        return round_details.console_logs(measured, row.fields, row.failed_step)

    def _measured_row(
        self, test: SimulatedTest, result_type: str, visible: VisibleRow
    ) -> tuple[rows.Measured, rows.MeasuredRow]:
        the_round, agent_id = visible.round, visible.agent_id
        measured = rows.Measured(
            self.seed,
            test.test_id,
            agent_id,
            the_round.number,
            the_round.measured_at(agent_id, result_type),
            visible.key,
            test.definition,
        )
        row = rows.measured_row(
            result_type,
            measured,
            failed=the_round.fails(agent_id, result_type),
            spelling=self.switches_of(test).error_type_spelling,
            condition=self._condition(test, result_type, visible),
            failed_step=the_round.failed_step(agent_id, result_type),
        )
        if result_type == "dns-server":
            row.fields["serverId"] = dns_server_id(visible.key)
        changes = the_round.changes(agent_id, result_type, row.names)
        return measured, row._replace(fields=rows.merged(row.fields, changes)) if changes else row

    @staticmethod
    def _condition(test: SimulatedTest, result_type: str, visible: VisibleRow) -> rows.TargetCondition | None:
        """Return the condition of a row: that of its round, otherwise the worst condition of its hosts."""
        own = visible.round.condition(visible.agent_id, result_type)
        if own is not None:
            return rows.TargetCondition(own, frozenset())
        by_host = {}
        for host in conditions.targets_of(test.definition, visible.key):
            text = leaf(visible.round.target_condition(host), visible.agent_id, result_type, None)
            if text is not None:
                by_host[host] = conditions.condition(text)
        if not by_host:
            return None
        worst = max(by_host.values(), key=lambda condition: condition.rank)
        hosts = frozenset(host for host, condition in by_host.items() if condition == worst)
        return rows.TargetCondition(worst, hosts)


def dns_server_id(name: str) -> str:
    """Return the id of a DNS server, derived from its name."""
    return str(1000 + Random(name).randrange(9000))


def default_test_id(test_type: str) -> str:
    """Return the id of the default test of this type."""
    return str(202701 + list(TEST_TYPES).index(test_type))


def _default_test(test_type: str) -> dict[str, Any]:
    spec = {
        "test_type": test_type,
        "test_id": default_test_id(test_type),
        "name": f"Demo {test_type}",
    }
    return {**spec, "direction": "bidirectional"} if test_type == "agent-to-agent" else spec


def _parse_history(given: Any) -> list[tuple[float, Mapping[str, Any]]]:
    """Return age in seconds and behavior of earlier rounds."""
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise ValueError(f"history must be a list of ages in seconds, got {given!r}")
    parsed: list[tuple[float, Mapping[str, Any]]] = []
    for entry in given:
        behavior = dict(entry) if isinstance(entry, Mapping) else {"ago": entry}
        ago: Any = behavior.pop("ago", None)
        check_number("history", ago, 0.001)
        parsed.append((float(ago), behavior))
    return parsed


def _check_parts(spec: Mapping[str, Any]) -> None:
    """Check the types of fields of a test.

    :raises ValueError: for a field of the wrong type.
    """
    for name in ("test_id", "target_agent", "account_group_id"):
        value = spec.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise ValueError(f"{name} must be a string, got {value!r}")
    if spec.get("name") is not None:
        check_text("name", spec["name"])
    for name in ("definition", "switches"):
        if spec.get(name) is not None:
            check_dict(name, spec[name])
    if not isinstance(spec.get("next_runs"), list | tuple | None):
        raise ValueError(f"next_runs must be a list of dicts, got {spec['next_runs']!r}")


def _texts(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, Iterable) and not isinstance(given, str):
        texts = tuple(given)
        if texts and all(isinstance(text, str) and text for text in texts):
            return texts
    raise ValueError(f"{name} must be a list of strings, got {given!r}")
