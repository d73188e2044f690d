"""The state of the simulated ThousandEyes: agents, tests, their rounds, and which rows can be seen when.

Nothing here sleeps, sends or looks at a clock: the real time comes in as ``now`` (epoch seconds, float), and
the simulator's clock is that plus the switch ``clock_offset``. Rows are not stored; a round knows when each
agent's rows land, and the figures follow from seed, test, agent and round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.simulator import conditions, round_details, rows, test_templates
from thousandeyes_provider.simulator.agents import (
    ACCOUNT_GROUPS,
    AGENT_STATES,
    AGENTS,
    SimulatedAgent,
    further_agent,
)
from thousandeyes_provider.simulator.simulated_alerts import (
    ALERT_TYPES,
    SimulatedAlert,
    SimulatedAlertRule,
    SimulatedEvent,
    numbered_uuid,
    period,
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

OUTCOMES = ("ok", "error")
CONDUCT = ("outcomes", "condition", "metrics", "delays", "silent", "failed_step")
DEFAULT_HISTORY = (300.0,)
MINUTE = 60
MOST_AGENTS = 1000
_NOTHING: Any = object()


class RunInProgress(Exception):
    """A run was refused because one is going on (switch ``run_while_running``)."""


@dataclass(frozen=True)
class AgentBehavior:
    """How the agents behave in a round.

    Each part is one value for all agents, or a dict by agent (id or name), by result type, or nested either
    way; what names the agent counts for more than what names the result type.

    :param outcomes: ``"ok"``, or ``"error"`` for a measurement that fails.
    :param condition: what is the matter with the target: ``"slow"``, ``"lossy:5"``, … (see
        :data:`~thousandeyes_provider.simulator.conditions.CONDITIONS`), whatever :attr:`World.targets` says of it;
        ``None``: what that says.
    :param metrics: fields to put into rows; ``None`` leaves a field out. Fields that stand under no result
        type go into the rows that have such a field.
    :param delays: seconds from the start of the round until the rows land (simulated); ``None``: never.
        Without one, an agent takes 2 to 6 s, always the same.
    :param silent: ids of agents that never report, whatever ``delays`` says.
    :param failed_step: number of the step that fails, from 1, in a measurement that fails: the request of an api
        test, the page of a web transaction, the component of a page load. ``None``: the first one that the
        condition affects.
    """

    outcomes: Any = "ok"
    condition: Any = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    delays: Any = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    failed_step: Any = None

    def step(self, agent_id: str, result_type: str) -> int | None:
        """Return the number of the step that fails, if the agent's measurement of this type fails."""
        chosen = _leaf(self.failed_step, agent_id, result_type)
        return None if chosen is _NOTHING else chosen

    def delay(self, agent_id: str, result_type: str, usual: float) -> float | None:
        """Seconds until the agent's rows of this type land; ``None``: never."""
        if agent_id in self.silent:
            return None
        found = _leaf(self.delays, agent_id, result_type)
        return usual if found is _NOTHING else found

    def fails(self, agent_id: str, result_type: str) -> bool:
        """Whether the agent's measurement of this type fails."""
        return bool(_leaf(self.outcomes, agent_id, result_type) == "error")

    def finds(self, agent_id: str, result_type: str) -> conditions.Condition | None:
        """The condition in which the agent's measurements of this type find the target, when the test says so."""
        found = _leaf(self.condition, agent_id, result_type)
        return None if found is _NOTHING or found is None else conditions.condition(found)

    def changes(self, agent_id: str, result_type: str, names: Iterable[str]) -> dict[str, Any]:
        """What ``metrics`` puts into the agent's rows of this type, which as a rule have ``names``."""
        known = frozenset(names)

        def collect(level: Mapping[str, Any], scoped: bool) -> dict[str, Any]:
            found = {
                name: value for name, value in level.items() if name[:1] != ":" and (scoped or name in known)
            }
            for key in (f":type:{result_type}", f":agent:{agent_id}"):
                if key in level:
                    found = rows.merged_changes(
                        found, collect(level[key], scoped or key.startswith(":type:"))
                    )
            return found

        return collect(self.metrics, False)


def _leaf(tree: Any, agent_id: str, result_type: str) -> Any:
    if not isinstance(tree, Mapping):
        return tree
    for key in (f":agent:{agent_id}", f":type:{result_type}"):
        if key in tree:
            found = _leaf(tree[key], agent_id, result_type)
            if found is not _NOTHING:
                return found
    return _NOTHING


@dataclass(frozen=True)
class Round:
    """One run of a test.

    :param number: counted from the first round of the test.
    :param round_id: epoch second of its start by the simulator's clock, as the API gives it.
    :param started: its start in real epoch seconds.
    :param began: the same by the simulator's clock.
    :param by: who started it.
    :param agents: ids of the agents that it runs on.
    :param lands: real epoch seconds at which the rows of an agent and a result type land; ``None``: never.
    :param conduct: how the agents behave in it.
    :param targets: target to its condition, when it began.
    """

    number: int
    round_id: int
    started: float
    began: float
    by: str
    agents: tuple[str, ...]
    lands: Mapping[tuple[str, str], float | None]
    conduct: AgentBehavior
    targets: Mapping[str, Any] = field(default_factory=dict)

    def landed(self, agent_id: str, result_type: str, now: float) -> bool:
        """Whether the rows of this agent and result type can be there at ``now``."""
        when = self.lands.get((agent_id, result_type))
        return when is not None and when <= now

    def measured_at(self, agent_id: str, result_type: str) -> int:
        """Second of the simulator's clock at which this agent measured: halfway until its rows land."""
        landing = self.lands.get((agent_id, result_type))
        return math.floor(self.began + (0.0 if landing is None else (landing - self.started) / 2))

    def begun(self, result_type: str, now: float) -> bool:
        """Whether any row of this type has landed."""
        return any(self.landed(agent_id, result_type, now) for agent_id in self.agents)

    def complete(self, result_type: str, now: float) -> bool:
        """Whether every agent's rows of this type have landed; never so when one stays silent."""
        return all(self.landed(agent_id, result_type, now) for agent_id in self.agents)

    def last_landing(self) -> float:
        """When the last agent that reports at all has reported, in real epoch seconds."""
        return max((when for when in self.lands.values() if when is not None), default=self.started)


@dataclass(frozen=True)
class RoundState:
    """A round as an observer from outside sees it.

    :param round_id: as in the API's rows.
    :param started: real epoch seconds.
    :param by: who started it: ``"api"``, ``"history"``, or what :meth:`World.run` was told.
    :param reported: result type to the ids of the agents whose rows have landed.
    :param missing: result type to the ids of the agents whose rows have not.
    """

    round_id: int
    started: float
    by: str
    reported: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, tuple[str, ...]]

    @property
    def complete(self) -> bool:
        """Whether every agent's rows of every result type have landed."""
        return not any(self.missing.values())


@dataclass
class SimulatedTest:
    """A test.

    :param definition: the fields of its type, as in a test definition.
    :param agents: ids of its agents.
    :param dns_servers: names of the DNS servers of a dns-server test.
    :param scheduled: whether it is a scheduled test, not an instant one.
    :param switches: those that this test has otherwise than the whole API.
    :param conduct: how its agents behave in rounds that are started from now on.
    :param coming: the conduct of the very next rounds, one each, before ``conduct`` counts again.
    """

    __test__ = False  # not a pytest class, whatever the name says

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
    conduct: AgentBehavior = field(default_factory=AgentBehavior)
    coming: list[AgentBehavior] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    @property
    def result_types(self) -> tuple[str, ...]:
        """The result types that it has."""
        return test_templates.result_types(
            self.test_type, bool(self.definition.get("networkMeasurements", True))
        )

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions in which it measures; only agent-to-agent tests have a choice."""
        if self.test_type != "agent-to-agent":
            return ("to-target",)
        direction = self.definition.get("direction", "to-target")
        return ("to-target", "from-target") if direction == "bidirectional" else (direction,)


@dataclass(frozen=True)
class VisibleRow:
    """A row that can be seen: of which round, agent, and (DNS server or direction) key."""

    round: Round
    agent_id: str
    key: str


_ADD_TEST = (
    "test_type",
    "test_id",
    "name",
    "agents",
    "dns_servers",
    "direction",
    "target_agent",
    "network_measurements",
    "account_group_id",
    "scheduled",
    "tags",
    "definition",
    "history",
    "switches",
    "next_runs",
    *CONDUCT,
)
_CHANGE_TEST = (
    "name",
    "agents",
    "dns_servers",
    "direction",
    "network_measurements",
    "definition",
    "switches",
    "next_runs",
    *CONDUCT,
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

    :param now: the real time at which it begins, in epoch seconds.
    :param switches: how the API behaves.
    :param speed: by how much simulated durations are shorter than they say.
    :param seed: what the figures are made from.
    :param default_tests: whether it begins with one test of each type.
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
        self._next_id = 202801
        if default_tests:
            for position, test_type in enumerate(TEST_TYPES):
                self.add_test(now, **_default_test(position, test_type))

    # time

    def clock(self, now: float) -> float:
        """The simulator's clock, in epoch seconds."""
        return now + self.switches.clock_offset

    def real(self, seconds: float) -> float:
        """How many real seconds a simulated duration takes."""
        return seconds / self.speed

    # agents

    def add_agent(self, **spec: Any) -> SimulatedAgent:
        """Add an agent (fields of :class:`SimulatedAgent`; without an id it gets one).

        :raises ValueError: for an unknown field, and when its id or name is taken.
        """
        check_names(spec, tuple(SimulatedAgent.__dataclass_fields__), "field of an agent")
        if "name" not in spec:
            raise ValueError("name: an agent needs one")
        enterprise = spec.get("agent_type") == "enterprise"
        agent = SimulatedAgent(
            **{"agent_id": self._free_agent_id(281474976710803 if enterprise else 15000), **spec}
        )
        if agent.agent_id in self.agents:
            raise ValueError(f"agent_id: {agent.agent_id!r} is taken")
        if agent.name in [other.name for other in self.agents.values()]:
            raise ValueError(f"name: {agent.name!r} is taken")
        self.agents[agent.agent_id] = agent
        return agent

    def change_agent(self, ref: str, state: str) -> SimulatedAgent:
        """Set the state of an agent; it concerns rounds that start from now on.

        :raises ValueError: for another state or agent, naming the choices.
        """
        check_choice("state", state, AGENT_STATES)
        agent_id = self.agent_id(ref)
        self.agents[agent_id] = replace(self.agents[agent_id], state=state)
        return self.agents[agent_id]

    def agent_id(self, ref: str) -> str:
        """The id of the agent with this id or name.

        :raises ValueError: when there is none, naming those that there are.
        """
        found = self._find_agent(ref)
        if found is None:
            known = ", ".join(f"{agent.name!r} ({agent.agent_id})" for agent in self.agents.values())
            raise ValueError(f"no agent {ref!r}; known: {known}")
        return found

    def set_target(self, name: str, condition: Any) -> str:
        """Say what is the matter with a target, in rounds that start from now on.

        :param name: a host, also as a URL or with a port; a domain; a DNS server; an agent (id or name).
        :param condition: for all agents, or a dict by agent (id or name), by result type, or nested.
        :returns: the target as tests are matched with it.
        :raises ValueError: for anything that is not one of the choices, naming them.
        """
        check_text("target", name)
        target = self._find_agent(name) or conditions.host_of(name)
        check_text("target", target)
        found = self._tree("condition", condition, _condition)
        # a new dict each time: rounds keep the one of their start
        self.targets = {**self.targets, target: found}
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
        """The agents that are named, or so many of them; in that case not the one that is the ``target``."""
        if isinstance(wanted, int) and not isinstance(wanted, bool):
            if not 1 <= wanted <= MOST_AGENTS:
                raise ValueError(f"agents: {wanted} is out of range, 1 to {MOST_AGENTS}")
            number = 0
            while len(self.agents) - (target in self.agents) < wanted:
                agent = further_agent(number)
                number += 1
                if self._find_agent(agent.agent_id) is None and self._find_agent(agent.name) is None:
                    self.agents[agent.agent_id] = agent
            return tuple(agent_id for agent_id in self.agents if agent_id != target)[:wanted]
        if isinstance(wanted, str | bool) or not isinstance(wanted, Iterable):
            raise ValueError(f"agents: {wanted!r} is neither a list of ids or names nor a count")
        found = tuple(dict.fromkeys(self.agent_id(ref) for ref in wanted))
        if not found:
            raise ValueError("agents: a test needs one at least")
        return found

    # tests

    def add_test(self, now: float, **spec: Any) -> SimulatedTest:
        """Add a test; an instant one unless it is said to be scheduled.

        Takes, by name: ``test_type`` (required), ``test_id``, ``name``, ``agents`` (ids, names, or a count),
        ``dns_servers`` (names), ``direction`` (agent-to-agent), ``target_agent`` (id or name),
        ``network_measurements`` (true), ``account_group_id``, ``scheduled`` (false), ``tags`` (each
        ``key:value``, of a scheduled test), ``definition`` (further fields of its type),
        ``history`` (a list of ages of earlier rounds in seconds by the clock, or dicts of ``ago`` and a
        conduct), ``switches``, ``next_runs`` (a list of conducts, one for each coming run), and the conduct
        of its agents: ``outcomes``, ``condition``, ``metrics``, ``delays``, ``silent``.

        :raises ValueError: for whatever is not one of the choices, naming them.
        """
        check_names(spec, _ADD_TEST, "field of a test")
        test_type: Any = spec.get("test_type")
        check_choice("test_type", test_type, TEST_TYPES)
        _check_parts(spec)
        test_id = str(spec.get("test_id") or self._free_test_id())
        if test_id in self.tests:
            raise ValueError(f"test_id: {test_id!r} is taken")
        name = spec.get("name") or f"Instant {test_type} test {test_id}"
        if name in [test.name for test in self.tests.values()]:
            raise ValueError(f"name: {name!r} is taken")
        account_group_id = self._known_account_group(spec.get("account_group_id"))
        scheduled = spec.get("scheduled", False)
        check_boolean("scheduled", scheduled)
        tags = _texts("tags", spec["tags"]) if spec.get("tags") is not None else ()
        if tags and not scheduled:
            raise ValueError("tags: instant tests carry none; scheduled=True makes a scheduled test")
        for tag in tags:
            parse_tag(tag)
        definition = {**test_templates.TEMPLATES[test_type]}
        agents: tuple[str, ...] = ()
        if test_templates.has_target_agent(test_type):
            given = spec.get("definition") or {}
            target = self.agent_id(
                spec.get("target_agent") or given.get("targetAgentId") or AGENTS[-1].agent_id
            )
            definition["targetAgentId"] = target
            agents = tuple(agent_id for agent_id in self.agents if agent_id != target)
        elif spec.get("target_agent") is not None:
            raise ValueError(f"target_agent: a {test_type} test has none")
        test = SimulatedTest(
            test_id,
            test_type,
            str(name),
            account_group_id,
            agents or tuple(self.agents),
            definition,
            ("ns1.example.net", "ns2.example.net") if test_type == "dns-server" else (),
            scheduled=scheduled,
            created=now,
        )
        history = _history(DEFAULT_HISTORY if spec.get("history") is None else spec["history"])
        self.change_test(test, **{name: value for name, value in spec.items() if name in _CHANGE_TEST})
        for ago, conduct in sorted(history, key=lambda entry: -entry[0]):
            check_names(conduct, CONDUCT, "field of a round")
            self._start(test, now - ago, "history", self._conducted(test.conduct, conduct), aged=ago)
        self.tests[test_id] = test
        for tag in tags:
            self.add_tag(now, tag, (test_id,), account_group_id=account_group_id)
        return test

    def change_test(self, test: SimulatedTest, **spec: Any) -> None:
        """Change a test, with the names that :meth:`add_test` takes. Rounds that have begun stay as they are.

        :raises ValueError: for whatever is not one of the choices, naming them.
        """
        check_names(spec, _CHANGE_TEST, "field of a test")
        _check_parts(spec)
        definition, agents, servers = dict(test.definition), test.agents, test.dns_servers
        if spec.get("definition") is not None:
            definition.update(test_templates.kept(test.test_type, spec["definition"]))
        if spec.get("direction") is not None:
            if test.test_type != "agent-to-agent":
                raise ValueError(f"direction: a {test.test_type} test has none to choose")
            definition["direction"] = spec["direction"]
        if test.test_type == "agent-to-agent":
            check_choice("direction", definition.get("direction"), test_templates.DIRECTIONS)
        if spec.get("network_measurements") is not None:
            check_boolean("network_measurements", spec["network_measurements"])
            definition["networkMeasurements"] = spec["network_measurements"]
        if spec.get("agents") is not None:
            agents = self._agent_ids(spec["agents"], definition.get("targetAgentId"))
        if spec.get("dns_servers") is not None:
            if test.test_type != "dns-server":
                raise ValueError(f"dns_servers: a {test.test_type} test has none")
            servers = _texts("dns_servers", spec["dns_servers"])
        switches = {**test.switches, **self.switches.checked_for_one_test(spec.get("switches") or {})}
        conduct = self._conducted(test.conduct, {name: spec[name] for name in CONDUCT if name in spec})
        coming = [self._conducted(conduct, each) for each in spec.get("next_runs") or ()]
        test.name = str(spec.get("name") or test.name)
        test.definition, test.agents, test.dns_servers = definition, agents, servers
        test.switches, test.conduct = switches, conduct
        if "next_runs" in spec:
            test.coming = coming

    def switches_of(self, test: SimulatedTest) -> Switches:
        """The switches that are in force for a test."""
        return self.switches.changed(test.switches) if test.switches else self.switches

    def _known_account_group(self, wanted: Any) -> str:
        """Return the id of an account group; the default one for none."""
        groups = [group.aid for group in self.account_groups]
        account_group_id = str(wanted or groups[0])
        if account_group_id not in groups:
            raise ValueError(f"account_group_id: {account_group_id!r} is none of {', '.join(groups)}")
        return account_group_id

    def _known_test(self, test_id: Any) -> SimulatedTest:
        if str(test_id) not in self.tests:
            raise ValueError(f"no test {test_id!r}; known: {', '.join(self.tests)}")
        return self.tests[str(test_id)]

    # tags, alert rules, alerts and events

    def add_tag(
        self, now: float, tag: str, tests: Iterable[Any] = (), *, account_group_id: Any = None
    ) -> SimulatedTag:
        """Add a tag, or assign the one that exists to more tests.

        :param tag: ``key:value``.
        :param tests: ids of scheduled tests of the account group.
        :raises ValueError: for a tag of another form, and a test that cannot have it.
        """
        key, value = parse_tag(tag)
        if isinstance(tests, str):
            raise ValueError(f"tests: {tests!r} is no list of ids")
        made = SimulatedTag(key, value, self._known_account_group(account_group_id), self.clock(now))
        test_ids = []
        for test in map(self._known_test, tests):
            if not test.scheduled or test.account_group_id != made.account_group_id:
                raise ValueError(
                    f"tests: {test.test_id} is no scheduled test of account group {made.account_group_id}"
                )
            test_ids.append(test.test_id)
        kept = self.tags.setdefault(made.tag_id, made)
        kept.test_ids.update(dict.fromkeys(test_ids))
        return kept

    def add_alert_rule(self, expression: str, tests: Iterable[Any], **spec: Any) -> SimulatedAlertRule:
        """Add an alert rule to tests.

        :param expression: such as ``((responseTime >= 500 ms))``.
        :param tests: ids of the tests, one at least.
        :param spec: further fields of :class:`~thousandeyes_provider.simulator.simulated_alerts.SimulatedAlertRule`;
            ``alert_type`` is that of the first test by default.
        :raises ValueError: for an unknown test or field, and a value out of range.
        """
        check_names(spec, _RULE_FIELDS, "field of an alert rule")
        assigned = [] if isinstance(tests, str) else [self._known_test(test_id) for test_id in tests]
        if not assigned:
            raise ValueError(f"tests: {tests!r} is no list of ids of tests, one at least")
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

        :param rule_id: id of its rule.
        :param test_id: id of a test with the rule.
        :param ago: seconds since it started.
        :param lasted: seconds that it lasted; ``None``: it is still active.
        :param spec: ``violation_count``.
        :raises ValueError: for an unknown rule, test or field.
        """
        check_names(spec, ("violation_count",), "field of an alert")
        rule = self.alert_rules.get(str(rule_id))
        if rule is None or str(test_id) not in rule.test_ids:
            known = ", ".join(
                f"{each.rule_id} ({', '.join(each.test_ids)})" for each in self.alert_rules.values()
            )
            raise ValueError(f"no alert rule {rule_id!r} of test {test_id!r}; known: {known}")
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

        :param ago: seconds since it started.
        :param lasted: seconds that it lasted; ``None``: it is still active.
        :param spec: further fields of :class:`~thousandeyes_provider.simulator.simulated_alerts.SimulatedEvent`.
        :raises ValueError: for an unknown field, and a value out of range.
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

    def _conducted(self, conduct: AgentBehavior, spec: Mapping[str, Any]) -> AgentBehavior:
        """``conduct`` with the parts that ``spec`` names replaced."""
        if not isinstance(spec, Mapping):
            raise ValueError(f"{spec!r} is no dict of {', '.join(CONDUCT)}")
        check_names(spec, CONDUCT, "conduct")
        parts: dict[str, Any] = {}
        if "outcomes" in spec:
            parts["outcomes"] = self._tree(
                "outcomes", "ok" if spec["outcomes"] is None else spec["outcomes"], _outcome
            )
        if "condition" in spec:
            given = spec["condition"]
            parts["condition"] = None if given is None else self._tree("condition", given, _condition)
        if "delays" in spec:
            parts["delays"] = self._tree("delays", spec["delays"], _delay)
        if "failed_step" in spec:
            parts["failed_step"] = self._tree("failed_step", spec["failed_step"], _step)
        if "metrics" in spec:
            parts["metrics"] = self._fields(spec["metrics"] or {}, False)
        if "silent" in spec:
            silent = spec["silent"] or ()
            if isinstance(silent, str) or not isinstance(silent, Iterable):
                raise ValueError(f"silent: {silent!r} is no list of agents")
            parts["silent"] = tuple(self.agent_id(ref) for ref in silent)
        return replace(conduct, **parts)

    def _key(self, name: Any) -> str | None:
        """How a conduct names an agent or a result type."""
        if name in RESULT_TYPES:
            return f":type:{name}"
        agent_id = self._find_agent(name)
        return None if agent_id is None else f":agent:{agent_id}"

    def _tree(self, what: str, value: Any, check: Callable[[Any], None]) -> Any:
        if not isinstance(value, Mapping):
            check(value)
            return value
        found = {}
        for name, part in value.items():
            key = self._key(name)
            if key is None:
                known = ", ".join([*RESULT_TYPES, *(agent.name for agent in self.agents.values())])
                raise ValueError(f"{what}: {name!r} is neither a result type nor an agent; known: {known}")
            found[key] = self._tree(what, part, check)
        return found

    def _fields(self, value: Any, scoped: bool) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"metrics: {value!r} is no dict of fields")
        found: dict[str, Any] = {}
        for name, part in value.items():
            key = self._key(name)
            if key is not None:
                found[key] = self._fields(part, scoped or key.startswith(":type:"))
            elif isinstance(part, Mapping) and not scoped and name not in rows.EXPANDED:
                known = ", ".join([*RESULT_TYPES, *(agent.name for agent in self.agents.values())])
                raise ValueError(f"metrics: {name!r} is neither a result type nor an agent; known: {known}")
            else:
                found[str(name)] = part
        return found

    # rounds

    def run(self, test: SimulatedTest, now: float, by: str = "api", **conduct: Any) -> Round | None:
        """Run a test; ``conduct`` is for this round alone.

        :returns: the new round; ``None`` when the run was merged into the one that is going on.
        :raises Busy: when one is going on and the switches say so.
        """
        switches = self.switches_of(test)
        if switches.run_while_running != "new-round" and self.running(test, now):
            if switches.run_while_running == "409":
                raise RunInProgress
            return None
        base = test.coming[0] if test.coming else test.conduct
        started = self._start(test, now, by, self._conducted(base, conduct))
        if test.coming:
            del test.coming[0]
        return started

    def running(self, test: SimulatedTest, now: float) -> bool:
        """Whether a run of this test is going on."""
        if not test.rounds:
            return False
        last, busy = test.rounds[-1], self.switches_of(test).run_busy
        return now < (last.started + self.real(busy) if busy else last.last_landing())

    def _start(
        self, test: SimulatedTest, now: float, by: str, conduct: AgentBehavior, aged: float = 0.0
    ) -> Round:
        began = self.clock(now)
        round_id = math.floor(began)
        if self.switches_of(test).round_ids == "minute":
            round_id -= round_id % MINUTE
        else:
            taken = {earlier.round_id for earlier in test.rounds}
            while round_id in taken:
                round_id += 1
        lands: dict[tuple[str, str], float | None] = {}
        for agent_id in test.agents:
            usual = Random(f"{self.seed}|{test.test_id}|{agent_id}|delay").uniform(2, 6)
            for result_type in TEST_TYPES[test.test_type].result_types:
                delay = conduct.delay(agent_id, result_type, usual)
                if delay is None or self.agents[agent_id].state != "online":
                    lands[agent_id, result_type] = None
                else:
                    # history has happened: its rows are there, however slow the agents are from now on
                    lands[agent_id, result_type] = now + (
                        min(self.real(delay), aged) if aged else self.real(delay)
                    )
        number = len(test.rounds)
        test.rounds.append(Round(number, round_id, now, began, by, test.agents, lands, conduct, self.targets))
        return test.rounds[-1]

    def round_states(self, test: SimulatedTest, now: float) -> list[RoundState]:
        """The rounds of a test, the oldest first."""
        return [
            RoundState(
                each.round_id,
                each.started,
                each.by,
                {
                    name: tuple(agent for agent in each.agents if each.landed(agent, name, now))
                    for name in test.result_types
                },
                {
                    name: tuple(agent for agent in each.agents if not each.landed(agent, name, now))
                    for name in test.result_types
                },
            )
            for each in test.rounds
        ]

    # results

    def seen_rows(
        self,
        test: SimulatedTest,
        result_type: str,
        now: float,
        *,
        between: tuple[float, float] | None = None,
        directions: tuple[str, ...] = ("to-target",),
    ) -> list[VisibleRow]:
        """The rows that can be seen, the oldest round first, its agents in the order of the test.

        :param between: first and last round id; ``None``: only the newest round.
        :param directions: for network and path-vis.
        """
        switches = self.switches_of(test)
        shown = self._shown(test, result_type, now, switches.newest_round)
        if between is None:
            shown = self._newest(shown, result_type, now, switches.newest_round)
        else:
            first, last = between[0] - switches.window_slack, between[1]
            # The id of a second round within one second is ahead of its start.
            shown = [
                each
                for each in shown
                if math.floor(first) <= each.round_id and min(each.round_id, math.floor(each.began)) <= last
            ]
        seen: dict[tuple[int, str, str], VisibleRow] = {}
        for each in shown:
            for agent_id in each.agents:
                if each.landed(agent_id, result_type, now):
                    for key in self._row_keys(test, result_type, directions):
                        # runs that share a round id (minutes): what the later one reported stands
                        seen[each.round_id, agent_id, key] = VisibleRow(each, agent_id, key)
        order = {agent_id: position for position, agent_id in enumerate(self.agents)}
        return sorted(seen.values(), key=lambda row: (row.round.round_id, order[row.agent_id]))

    def ever_seen(self, test: SimulatedTest, result_type: str, now: float) -> bool:
        """Whether the test has any row of this type to show."""
        return bool(self._shown(test, result_type, now, self.switches_of(test).newest_round))

    @staticmethod
    def _shown(test: SimulatedTest, result_type: str, now: float, newest_round: str) -> list[Round]:
        """The rounds with rows to show; "previous" hides an incomplete one until a newer one is complete."""
        begun = [each for each in test.rounds if each.begun(result_type, now)]
        if newest_round != "previous":
            return begun
        whole = [each.number for each in begun if each.complete(result_type, now)]
        return [each for each in begun if whole and each.number <= whole[-1]]

    @staticmethod
    def _newest(shown: list[Round], result_type: str, now: float, newest_round: str) -> list[Round]:
        if not shown:
            return []
        ids = {shown[-1].round_id}
        if newest_round == "both" and not shown[-1].complete(result_type, now):
            ids.update([each.round_id for each in shown if each.round_id not in ids][-1:])
        return [each for each in shown if each.round_id in ids]

    @staticmethod
    def _row_keys(test: SimulatedTest, result_type: str, directions: tuple[str, ...]) -> tuple[str, ...]:
        if result_type == "dns-server":
            return test.dns_servers
        return directions if result_type in ("network", "path-vis") else ("",)

    @staticmethod
    def _condition(test: SimulatedTest, result_type: str, seen: VisibleRow) -> rows.Found | None:
        """The condition in which a row's measurement found its target, and which of its hosts were in it."""
        own = seen.round.conduct.finds(seen.agent_id, result_type)
        if own is not None:
            return rows.Found(own, frozenset())
        told = {}
        for host in conditions.targets_of(test.definition, seen.key):
            leaf = _leaf(seen.round.targets.get(host, _NOTHING), seen.agent_id, result_type)
            if leaf is not _NOTHING:
                told[host] = conditions.condition(leaf)
        worst = _worst(told.values())
        if worst is None:
            return None
        return rows.Found(worst, frozenset(host for host, one in told.items() if one == worst))

    def row(self, test: SimulatedTest, result_type: str, seen: VisibleRow) -> dict[str, Any]:
        """Return the fields of a row that belong to its result type, with all expansions."""
        return self._measured_row(test, result_type, seen)[1].fields

    def details(self, test: SimulatedTest, result_type: str, seen: VisibleRow) -> dict[str, Any]:
        """Return the fields of a row that belong to its result type, with the details of the agent."""
        measured, row = self._measured_row(test, result_type, seen)
        return row.fields | round_details.details_of(result_type, measured, row.fields, row.failed_step)

    def console_logs(self, test: SimulatedTest, seen: VisibleRow) -> list[dict[str, str]]:
        """Return what the agent's browser logged during a web transaction."""
        measured, row = self._measured_row(test, "web-transactions", seen)
        return round_details.console_logs(measured, row.fields, row.failed_step)

    def _measured_row(
        self, test: SimulatedTest, result_type: str, seen: VisibleRow
    ) -> tuple[rows.Measured, rows.MeasuredRow]:
        measured = rows.Measured(
            self.seed,
            test.test_id,
            seen.agent_id,
            seen.round.number,
            seen.round.measured_at(seen.agent_id, result_type),
            seen.key,
            test.definition,
        )
        conduct = seen.round.conduct
        row = rows.measured_row(
            result_type,
            measured,
            failed=conduct.fails(seen.agent_id, result_type),
            spelling=self.switches_of(test).error_type_spelling,
            condition=self._condition(test, result_type, seen),
            failed_step=conduct.step(seen.agent_id, result_type),
        )
        if result_type == "dns-server":
            row.fields["serverId"] = dns_server_id(seen.key)
        changes = conduct.changes(seen.agent_id, result_type, row.names)
        return measured, row._replace(fields=rows.merged(row.fields, changes))


def _worst(found: Iterable[conditions.Condition]) -> conditions.Condition | None:
    return max(found, key=lambda one: one.rank, default=None)


def dns_server_id(name: str) -> str:
    """The id of a DNS server: some number that belongs to its name."""
    return str(1000 + Random(name).randrange(9000))


def _default_test(position: int, test_type: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"test_type": test_type, "test_id": default_test_id(test_type)}
    spec["name"] = f"Demo {test_type}"
    if test_type == "agent-to-agent":
        spec["direction"] = "bidirectional"
    return spec


def default_test_id(test_type: str) -> str:
    """The id of the test of this type with which a simulator begins."""
    return str(202701 + list(TEST_TYPES).index(test_type))


def _history(given: Any) -> list[tuple[float, Mapping[str, Any]]]:
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise ValueError(f"history: {given!r} is no list of ages in seconds")
    found: list[tuple[float, Mapping[str, Any]]] = []
    for entry in given:
        conduct = dict(entry) if isinstance(entry, Mapping) else {"ago": entry}
        ago: Any = conduct.pop("ago", None)
        check_number("history", ago, 0.001)
        found.append((float(ago), conduct))
    return found


def _check_parts(spec: Mapping[str, Any]) -> None:
    """:raises ValueError: when a part of a test is of another kind than it must be."""
    for name in ("test_id", "target_agent", "account_group_id"):
        value = spec.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise ValueError(f"{name}: {value!r} is no text")
    if spec.get("name") is not None:
        check_text("name", spec["name"])
    for name in ("definition", "switches"):
        if spec.get(name) is not None:
            check_dict(name, spec[name])
    if not isinstance(spec.get("next_runs"), list | tuple | None):
        raise ValueError(f"next_runs: {spec['next_runs']!r} is no list of dicts")


def _texts(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{name}: {given!r} is no list of texts")
    found = tuple(given)
    if not found or not all(isinstance(text, str) and text for text in found):
        raise ValueError(f"{name}: {given!r} is no list of texts")
    return found


def _outcome(value: Any) -> None:
    check_choice("outcomes", value, OUTCOMES)


def _condition(value: Any) -> None:
    conditions.condition(value)


def _step(value: Any) -> None:
    if value is not None:
        check_whole("failed_step", value, 1)


def _delay(value: Any) -> None:
    if value is not None:
        check_number("delays", value, 0)
