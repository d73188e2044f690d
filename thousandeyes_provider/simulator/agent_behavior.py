"""Behavior of agents in a round: when they report and what they measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.simulator import conditions, rows
from thousandeyes_provider.simulator.validators import check_choice, check_names, check_number, check_whole

OUTCOMES = ("ok", "error")
BEHAVIOR_FIELDS = ("outcomes", "condition", "metrics", "delays", "silent", "failed_step")

_ABSENT: Any = object()


@dataclass(frozen=True)
class AgentBehavior:
    """How the agents of a test behave in a round.

    Each field is one value for all agents, or a dict by agent and by result type, nested in either order. The value of
    an agent takes precedence over that of a result type.

    :param outcomes: ``"ok"``, or ``"error"`` for a measurement that fails.
    :param condition: condition of the target, such as ``"slow"`` or ``"lossy:5"`` (see
        :data:`~thousandeyes_provider.simulator.conditions.CONDITIONS`). It takes precedence over the condition of the
        target for all tests, which applies if it is ``None``.
    :param metrics: fields to set in rows; ``None`` removes a field. Fields outside a result type apply to the rows
        that have such a field.
    :param delays: simulated seconds from the start of the round until the rows land; ``None``: never. By default an
        agent takes 2 to 6 s, the same in every round.
    :param silent: ids of agents that never report; overrides ``delays``.
    :param failed_step: number of the step that fails, from 1, if the measurement fails: the request of an api test, the
        page of a web transaction, the component of a page load. ``None``: the first that the condition affects.
    """

    outcomes: Any = "ok"
    condition: Any = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    delays: Any = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    failed_step: Any = None

    def delay(self, agent_id: str, result_type: str, usual: float) -> float | None:
        """Return the simulated seconds until the agent's rows of this type land; ``None``: never.

        :param usual: default delay of the agent.
        """
        if agent_id in self.silent:
            return None
        chosen = leaf(self.delays, agent_id, result_type)
        return usual if chosen is _ABSENT else chosen

    def fails(self, agent_id: str, result_type: str) -> bool:
        """Return whether the agent's measurement of this type fails."""
        return bool(leaf(self.outcomes, agent_id, result_type) == "error")

    def condition_of(self, agent_id: str, result_type: str) -> conditions.Condition | None:
        """Return the condition of the target, if the behavior sets one."""
        chosen = leaf(self.condition, agent_id, result_type)
        return None if chosen is _ABSENT or chosen is None else conditions.condition(chosen)

    def step(self, agent_id: str, result_type: str) -> int | None:
        """Return the number of the step that fails, if the agent's measurement of this type fails."""
        chosen = leaf(self.failed_step, agent_id, result_type)
        return None if chosen is _ABSENT else chosen

    def changes(self, agent_id: str, result_type: str, names: Iterable[str]) -> dict[str, Any]:
        """Return the fields that ``metrics`` sets in the agent's rows of this type.

        :param names: fields that such a row has.
        """
        if not self.metrics:
            return {}
        known = frozenset(names)

        def collect(level: Mapping[str, Any], of_type: bool) -> dict[str, Any]:
            changes = {
                name: value for name, value in level.items() if name[:1] != ":" and (of_type or name in known)
            }
            for key in (_type_key(result_type), _agent_key(agent_id)):
                if key in level:
                    inner = collect(level[key], of_type or key.startswith(":type:"))
                    changes = rows.merged_changes(changes, inner)
            return changes

        return collect(self.metrics, False)


def leaf(tree: Any, agent_id: str, result_type: str, default: Any = _ABSENT) -> Any:
    """Return the value of an agent and a result type in a tree; ``default`` if it has none."""
    if not isinstance(tree, Mapping):
        return tree
    for key in (_agent_key(agent_id), _type_key(result_type)):
        if key in tree:
            chosen = leaf(tree[key], agent_id, result_type)
            if chosen is not _ABSENT:
                return chosen
    return default


def readable(tree: Any) -> Any:
    """Return a tree with agents' ids and result types as keys."""
    if not isinstance(tree, Mapping):
        return tree
    return {key.split(":", 2)[2]: readable(part) for key, part in tree.items()}


def _agent_key(agent_id: str) -> str:
    return f":agent:{agent_id}"


def _type_key(result_type: str) -> str:
    return f":type:{result_type}"


class BehaviorParser:
    """Parses behavior in which agents are given by id or name.

    :param find_agent: returns the id of the agent with an id or a name; ``None`` for an unknown agent.
    :param agent_names: returns the names of all agents, for errors.
    """

    def __init__(
        self, find_agent: Callable[[Any], str | None], agent_names: Callable[[], Iterable[str]]
    ) -> None:
        self._find_agent = find_agent
        self._agent_names = agent_names

    def changed(self, behavior: AgentBehavior, spec: Mapping[str, Any]) -> AgentBehavior:
        """Return ``behavior`` with the parts that ``spec`` names replaced.

        :raises ValueError: for an unknown field or agent, or an invalid value; the message lists the choices.
        """
        if not isinstance(spec, Mapping):
            raise ValueError(f"behavior must be a dict of {', '.join(BEHAVIOR_FIELDS)}, got {spec!r}")
        check_names(spec, BEHAVIOR_FIELDS, "behavior")
        parts: dict[str, Any] = {}
        if "outcomes" in spec:
            outcomes = "ok" if spec["outcomes"] is None else spec["outcomes"]
            parts["outcomes"] = self.tree("outcomes", outcomes, _check_outcome)
        if "condition" in spec:
            parts["condition"] = self.condition_tree(spec["condition"])
        if "delays" in spec:
            parts["delays"] = self.tree("delays", spec["delays"], _check_delay)
        if "failed_step" in spec:
            parts["failed_step"] = self.tree("failed_step", spec["failed_step"], _check_step)
        if "metrics" in spec:
            parts["metrics"] = self._fields(spec["metrics"] or {}, False)
        if "silent" in spec:
            parts["silent"] = self._agents("silent", spec["silent"] or ())
        return replace(behavior, **parts)

    def condition_tree(self, value: Any) -> Any:
        """Return a condition, or a tree of conditions.

        :raises ValueError: for an unknown agent or condition; the message lists the choices.
        """
        return None if value is None else self.tree("condition", value, conditions.condition)

    def tree(self, name: str, value: Any, check: Callable[[Any], object]) -> Any:
        """Return ``value`` with its keys as :func:`leaf` reads them.

        :param name: name of the field, for errors.
        :param check: raises ``ValueError`` for an invalid leaf.
        :raises ValueError: for a key that is neither an agent nor a result type, or an invalid leaf.
        """
        if not isinstance(value, Mapping):
            check(value)
            return value
        parsed = {}
        for ref, part in value.items():
            key = self._key(ref)
            if key is None:
                raise self._unknown(name, ref)
            parsed[key] = self.tree(name, part, check)
        return parsed

    def _fields(self, value: Any, of_type: bool) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"metrics must be a dict of fields, got {value!r}")
        parsed: dict[str, Any] = {}
        for name, part in value.items():
            key = self._key(name)
            if key is not None:
                parsed[key] = self._fields(part, of_type or key.startswith(":type:"))
            elif isinstance(part, Mapping) and not of_type and name not in rows.EXPANDED:
                raise self._unknown("metrics", name)
            else:
                parsed[str(name)] = part
        return parsed

    def _agents(self, name: str, refs: Any) -> tuple[str, ...]:
        if isinstance(refs, str) or not isinstance(refs, Iterable):
            raise ValueError(f"{name} must be a list of agents, got {refs!r}")
        agent_ids = []
        for ref in refs:
            agent_id = self._find_agent(ref)
            if agent_id is None:
                raise ValueError(f"{name}: unknown agent {ref!r}; known: {'; '.join(self._agent_names())}")
            agent_ids.append(agent_id)
        return tuple(agent_ids)

    def _key(self, ref: Any) -> str | None:
        """Return the key of a result type or an agent."""
        if ref in RESULT_TYPES:
            return _type_key(ref)
        agent_id = self._find_agent(ref)
        return None if agent_id is None else _agent_key(agent_id)

    def _unknown(self, name: str, ref: Any) -> ValueError:
        known = "; ".join([*RESULT_TYPES, *self._agent_names()])
        return ValueError(f"{name}: {ref!r} is neither a result type nor an agent; known: {known}")


def _check_outcome(value: Any) -> None:
    check_choice("outcomes", value, OUTCOMES)


def _check_step(value: Any) -> None:
    if value is not None:
        check_whole("failed_step", value, 1)


def _check_delay(value: Any) -> None:
    if value is not None:
        check_number("delays", value, 0)
