"""The two ways to start a round: run a test again, or create one. Each is an object beside the session.

Both return the accepted run, or the queued run when a deferrable task has to wait for its turn.
"""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from thousandeyes_provider.api.coerce import join_truncated, short_text
from thousandeyes_provider.api.expected_agents import (
    Agent,
    expected_from_rows,
    expected_from_test,
    known_agents,
    type_implied_by,
)
from thousandeyes_provider.api.flows import PausedCall
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesRequestError,
)
from thousandeyes_provider.hooks.reads import default_account_group
from thousandeyes_provider.hooks.results_reader import plan_of_new
from thousandeyes_provider.links.thousandeyes import ThousandEyesTestLink
from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import CreateOptions, Json, RunOptions, StartOptions
from thousandeyes_provider.operators.run_store import QueuedRun, RunStateStore
from thousandeyes_provider.operators.session import LONG_WAIT, Session

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from thousandeyes_provider.api import definition as definitions
    from thousandeyes_provider.api.retry import Wait
    from thousandeyes_provider.validation import samples
else:
    # Most runs need neither before the run call.
    definitions = LazyModule("thousandeyes_provider.api.definition")
    samples = LazyModule("thousandeyes_provider.validation.samples")


O = TypeVar("O", bound=StartOptions)  # noqa: E741


class RoundStarter(ABC, Generic[O]):
    """Start the round of a task in a way that it is recognized."""

    def __init__(self, options: O, session: Session, task: BaseOperator, context: Context) -> None:
        self.options = options
        self.session = session
        self._task_id = task.task_id
        self._label = session.label
        self._log = session.log
        self._context = context

    @cached_property
    def store(self) -> RunStateStore:
        """The state of the run for a later try."""
        return RunStateStore(
            self._context,
            durable=setting("durable") and self.options.wait_for_results,
            fingerprint=self._fingerprint(),
            log=self._log,
        )

    @abstractmethod
    def _fingerprint(self) -> list[str | None]:
        """Return the requested run as plain JSON."""

    @abstractmethod
    def _start_first(self, queued: QueuedRun) -> QueuedRun | RunHandle:
        """Start the first round of the task; see :meth:`start`."""

    @abstractmethod
    def _verify(self) -> tuple[Plan, Json, list[str]]:
        """Verify the requirements of the run without starting it.

        :return: the plan, what else to report, and why the run would fail.
        """

    def start(self, queued: QueuedRun) -> QueuedRun | RunHandle:
        """Start a round; return the accepted run, or the queued one when it has to wait for its turn.

        :param queued: state from before a wait for a turn, or of the run to confirm.
        """
        self.session.reader.time_left = lambda: self._queue_time_left(queued)
        if queued.plan is None or not queued.plan.test_id:
            return self._start_first(queued)
        return self._run(self.session.reader.remember(queued.plan), queued)

    def find_started(self, run: RunHandle) -> RunHandle | None:
        """Return the run that an earlier try may have sent, when its round has started."""
        return run if self.session.has_started(run.plan, run.sent_at, self.options.timeout) else None

    def _run(self, plan: Plan, queued: QueuedRun) -> QueuedRun | RunHandle:
        """Send the run call until it is accepted, or until the task has to wait for its turn."""
        hook = self.session.hook
        attempt = _RunAttempt(self, self.session.wait_for_next_minute(plan))
        self.store.save_before_call(attempt.plan, hook.server_now())
        try:
            call = hook.run_instant_test(
                plan.test_id,
                queue_timeout=self._remaining_queue_time(queued),
                verify=attempt.verify if self.options.wait_for_results else None,
                wait=attempt.wait,
            )
        except ThousandEyesError:
            if not attempt.response_lost:
                self.store.forget()
            raise
        if isinstance(call, PausedCall):
            return self._queued_again(queued, attempt.plan, call)
        return self._accepted(attempt.plan, queued, call.sent_at, call.accepted_at, call.sent)

    def _accepted(
        self, plan: Plan, queued: QueuedRun, sent_at: float, accepted_at: float, sent: int
    ) -> RunHandle:
        """Store and log a run that ThousandEyes accepted.

        :param sent: number of times that this process sent the call.
        """
        handle = RunHandle(
            plan,
            sent_at=sent_at,
            accepted_at=accepted_at,
            deadline=accepted_at + self.options.timeout,
            run_calls=sent + queued.run_calls,
        )
        self.store.save_accepted(handle)
        self._log.info(
            "Test %s: run accepted at %s (call sent %d %s); waiting for results until %s",
            plan.test_id,
            iso_time(accepted_at),
            handle.run_calls,
            "time" if handle.run_calls == 1 else "times",
            iso_time(handle.deadline),
        )
        return handle

    def _queued_again(self, queued: QueuedRun, plan: Plan, call: PausedCall) -> QueuedRun:
        """Return the state for the turn of the task after a rate limit."""
        # The call was refused, so a later try has nothing to resume.
        self.store.forget()
        return replace(
            queued,
            since=queued.since + self.session.minute_waits,
            plan=plan,
            run_calls=queued.run_calls + call.sent,
            limit=self.session.run_limit(),
            not_before=time.time() + call.pause.seconds,
        )

    def wait_out(self, pause: Wait, *, response_lost: bool) -> bool:
        """Sleep out a pause between two calls; ``False`` to wait in the triggerer instead."""
        can_defer = self.options.deferrable and pause.throttled and pause.seconds > LONG_WAIT
        # A call whose response was lost is verified or repeated in this process.
        if can_defer and not response_lost:
            return False
        self.session.hook.sleep(pause.seconds)
        return True

    def _queue_time_left(self, queued: QueuedRun) -> float:
        """Return the seconds until ``queue_timeout`` ends, less than 0 afterwards.

        Waits for the next minute do not count: they depend on the round of another run.
        """
        return queue_timeout_of(self.options) - (time.time() - queued.since - self.session.minute_waits)

    def _remaining_queue_time(self, queued: QueuedRun) -> float:
        """Return the seconds that the call may still spend on rate limits and a busy test."""
        return max(self._queue_time_left(queued), 0.0)

    def _announce(self, plan: Plan) -> None:
        """Log the expected results and check the requirements of the wait, before the run is sent."""
        self.session.required_agents(plan)
        self.session.plan = plan
        self._log.info(
            "Test %s%s (%s): waiting for %s from %s",
            plan.test_id or "(new)",
            f" {plan.test_name!r}" if plan.test_name else "",
            plan.test_type,
            ", ".join(plan.directions),
            _expectation(plan),
        )

    def _verify_expected_agents(
        self, plan: Plan, likely: Collection[Agent], look_up: Callable[[], Collection[Agent]]
    ) -> None:
        """Compare the argument ``expected_agents`` with the agents of the test.

        :param likely: the agents that are known without a request.
        :param look_up: reads all agents of the test, where an expected one is not among these; empty when they are
            unknown.
        :raises ThousandEyesConfigurationError: when the round could never be complete.
        """
        if not self.options.expected_agents or not plan.expected.problems_with(likely):
            return
        agents = look_up()
        if not agents:
            self._log.warning(
                "Test %s: expected_agents not verified, the agents that can report are unknown",
                plan.test_id or "(new)",
            )
        elif problems := plan.expected.problems_with(agents):
            raise ThousandEyesConfigurationError(
                f"{self._label}: expected_agents: {'; '.join(problems)}; "
                f"agents of the test: {join_truncated(sorted({str(agent) for agent in agents}))}"
            )

    def dry_run(self) -> Json:
        """Verify token, account group, test, agents and more, start nothing, and return a report.

        :raises ThousandEyesConfigurationError: when the run would fail.
        """
        queued = QueuedRun(since=time.time())
        self.session.reader.time_left = lambda: self._queue_time_left(queued)
        plan, own, own_problems = self._verify()
        states = self.session.reader.agent_states(plan.expected.agents)
        problems = [f"{agent} is {state}" for agent, state in states.items() if state not in ("online", None)]
        problems += own_problems
        report: Json = {
            "dry_run": True,
            **({"test_id": plan.test_id} if plan.test_id else {}),
            "test_name": plan.test_name,
            "test_type": plan.test_type,
            "account_group_id": self.session.learn_account_group(),
            "result_types": list(plan.directions),
            "agents": [
                {"agent_id": agent.agent_id, "agent_name": agent.agent_name, "state": states.get(agent)}
                for agent in plan.expected.agents
            ],
            **own,
        }
        subject = f"test {plan.test_id}" if plan.test_id else f"a new {plan.test_type} test"
        if problems:
            self.session.xcoms.push_evidence(report)
            raise ThousandEyesConfigurationError(
                f"{self._label}: dry run of {subject}: {'; '.join(problems)}"
            )
        self._log.info("Dry run of %s passed; no test was started", subject)
        return report


@dataclass
class _RunAttempt:
    """A run call with its repetitions, and the callbacks of the hook.

    :param plan: the plan, with the rounds that were the newest before the call that counts.
    :param response_lost: whether a response was lost: from then on a newer round may be ours.
    """

    starter: RoundStarter[Any]
    plan: Plan
    response_lost: bool = False

    def verify(self, sent_at: float) -> bool:
        """Return whether the round has started although the response was lost."""
        self.response_lost = True
        return self.starter.session.has_started(self.plan, sent_at, self.starter.options.timeout)

    def wait(self, pause: Wait) -> bool:
        """Sleep out a pause, and remember the newest rounds again; ``False`` to wait in the triggerer instead."""
        refused = pause.throttled or pause.busy
        if not refused and not self.starter.options.wait_for_results:
            # The start of the round is not verified.
            self.response_lost = True
        if not self.starter.wait_out(pause, response_lost=self.response_lost):
            return False
        session = self.starter.session
        if refused and not self.response_lost:
            self.plan = session.remember(self.plan)
            self.starter.store.save_before_call(self.plan, session.hook.server_now())
        return True


class Rerun(RoundStarter[RunOptions]):
    """Run an existing instant test again."""

    def _fingerprint(self) -> list[str | None]:
        return [self.options.test_id, self.session.hook.account_group_id]

    def _start_first(self, queued: QueuedRun) -> QueuedRun | RunHandle:
        return self._run(self._plan(), queued)

    def _verify(self) -> tuple[Plan, Json, list[str]]:
        """Also verify that the newest round has the metric of each check."""
        plan, problems = self._plan(), []
        if plan.expected.count is None and not any(plan.remembered.values()):
            problems.append("ThousandEyes returns neither a definition nor a round of the test")
        checks: list[Json] = []
        for check in self.options.checks.checks:
            newest = self.session.reader.newest.get(check.result_type, [])
            values = samples.read_values(check.result_type, check.metric, newest)
            has_metric = any(value is not None for value in values)
            checks.append(
                {"result_type": check.result_type, "metric": check.metric, "in_newest_round": has_metric}
            )
            if newest and not has_metric:
                problems.append(
                    f"no agent reported {check.metric} of {check.result_type} in the newest round"
                )
        return plan, {"newest_rounds": dict(plan.remembered), "checks": checks}, problems

    def _plan(self) -> Plan:
        """Read what has to be known before the run."""
        options, reader = self.options, self.session.reader
        checked = options.checks.result_types
        implied = None if options.test_type else type_implied_by(checked)
        plan = reader.plan(
            options.test_id,
            test_type=options.test_type or implied,
            result_types=options.result_types or checked or None,
            expected=options.expected_agents,
        )
        if implied and not plan.test_name and not any(plan.remembered.values()):
            self._verify_implied_type(implied)
        reported = expected_from_rows(row for rows in reader.newest.values() for row in rows).agents

        def look_up() -> list[Agent]:
            listed = known_agents(reader.definition(plan.test_id, plan.test_type) or {})
            return [*listed, *reported] if listed else []

        self._verify_expected_agents(plan, reported, look_up)
        self._announce(plan)
        self.session.xcoms.push_link(ThousandEyesTestLink, plan.test_link)
        return plan

    def _verify_implied_type(self, implied: str) -> None:
        """Compare the type that only tests with the checked results have with the type of the test.

        :raises ThousandEyesConfigurationError: when the test is of another type.
        """
        test_id = self.options.test_id
        try:
            test_type, _ = self.session.reader.find_test_type(test_id)
        except ThousandEyesConfigurationError as error:
            # The run call reports a test that does not exist.
            self._log.info("Test %s: type %s (from checks). %s", test_id, implied, error)
            return
        if test_type != implied:
            checked = ", ".join(self.options.checks.result_types)
            raise ThousandEyesConfigurationError(
                f"checks: test {test_id} is of type {test_type}, which has no {checked} results; "
                f"expected {', '.join(TEST_TYPES[test_type].result_types)}"
            )


class Creation(RoundStarter[CreateOptions]):
    """Create an instant test, which runs it at once."""

    _from_test_name = ""

    def _fingerprint(self) -> list[str | None]:
        options = self.options
        asked = [options.definition, options.from_test, options.overrides, options.test_type]
        text = json.dumps(asked, sort_keys=True, default=str)
        return [hashlib.sha256(text.encode()).hexdigest(), self.session.hook.account_group_id]

    def _start_first(self, queued: QueuedRun) -> QueuedRun | RunHandle:
        """Create the test."""
        hook = self.session.hook
        test_type, body, plan = self._prepare(queued.plan.test_name if queued.plan else "")
        called_at = time.monotonic()
        self._read_clock()
        sent_since = hook.server_now() if queued.sent_since is None else queued.sent_since
        # Kept if the call fails: the test may exist, and a later try searches for its name.
        self.store.save_before_call(plan, sent_since)
        calls_before = hook.run_calls
        created = self._create(test_type, body, queued)
        if isinstance(created, PausedCall):
            return self._queued_again(queued, plan, created)
        # ThousandEyes' clock is known for certain only now. A new test has no other round.
        accepted_at = hook.server_now()
        return self._accepted(
            self._plan(test_type, {**body, **created}),
            queued,
            sent_at=min(sent_since, accepted_at - (time.monotonic() - called_at)),
            accepted_at=accepted_at,
            sent=hook.run_calls - calls_before,
        )

    def find_started(self, run: RunHandle) -> RunHandle | None:
        """Search for the created test by its name; for a confirming run, poll for its round."""
        plan, hook = run.plan, self.session.hook
        if plan.test_id:
            return super().find_started(run)
        created = hook.find_created(plan.test_type, plan.test_name, lambda: hook.server_now() - run.sent_at)
        if created is None:
            return None
        known = self._plan(plan.test_type, created)
        expected = known.expected if known.expected.count is not None else plan.expected
        return replace(run, plan=replace(known, expected=expected, from_test_name=plan.from_test_name))

    def _verify(self) -> tuple[Plan, Json, list[str]]:
        """Also verify that the name is free."""
        test_type, body, plan = self._prepare()
        tests = self.session.hook.list_tests(time_left=self.session.reader.time_left)
        is_taken = any(test.get("testName") == body["testName"] for test in tests)
        problems = [f"a test named {body['testName']!r} exists already; names are unique"] if is_taken else []
        return plan, {"warnings": definitions.definition_warnings(test_type, body)}, problems

    def _prepare(self, name: str = "") -> tuple[str, Json, Plan]:
        """The type, the body and the plan of the test that is to be created.

        :param name: the name when the definition has none; the default name when empty.
        """
        test_type, body = self._body(name)
        plan = self._plan(test_type, body)
        agents = expected_from_test(body).agents

        def look_up() -> Collection[Agent]:
            """Read the names: the definition has the ids alone."""
            ids = {agent.agent_id for agent in agents}
            listed = self.session.hook.list_agents(time_left=self.session.reader.time_left)
            return known_agents({"agents": [agent for agent in listed if agent.get("agentId") in ids]})

        self._verify_expected_agents(plan, agents, look_up)
        self._announce(plan)
        return test_type, body, plan

    def _default_name(self) -> str:
        """The name of a test whose definition has none."""
        instance = self._context["ti"]
        return definitions.default_name(
            instance.dag_id,
            self._task_id,
            instance.run_id,
            cast("int", instance.map_index),
            instance.try_number,
        )

    def _body(self, name: str) -> tuple[str, Json]:
        """The type of the test, and the body that creates it."""
        options, hook = self.options, self.session.hook
        test_type, definition = options.test_type, options.definition
        if options.from_test is not None:
            test_type, definition = self._settings_of(options.from_test)
        assert test_type is not None, "checked when the arguments were parsed"
        body = hook.complete_definition(test_type, definition or {}, time_left=self.session.reader.time_left)
        if not body.get("testName"):
            body["testName"] = name or self._default_name()
        return test_type, body

    def _settings_of(self, source: str) -> tuple[str, Json]:
        """The type and the settings of the test ``source``, with the overrides."""
        reader, test_type = self.session.reader, self.options.test_type
        if test_type is None:
            test_type, _ = reader.find_test_type(source)
        test = reader.definition(source, test_type)
        if test is None:
            raise ThousandEyesConfigurationError(
                f"{self._label}: from_test={source!r}: ThousandEyes does not return the definition of this {test_type} "
                "test; give definition= instead"
            )
        self._from_test_name = short_text(test.get("testName"))
        settings, left_out = definitions.settings_of(test_type, test)
        if left_out:
            self._log.info("Test %s: settings not taken over: %s", source, ", ".join(left_out))
        definition = definitions.overridden(settings, self.options.overrides or {})
        absent = definitions.missing_credentials(test_type, definition)
        if absent:
            raise ThousandEyesConfigurationError(
                f"{self._label}: from_test={source!r}: the API does not return the credentials of this test; give them "
                f"in overrides=: {', '.join(absent)}"
            )
        return test_type, definition

    def _plan(self, test_type: str, test: Mapping[str, object]) -> Plan:
        """The plan of a test that has no rounds yet.

        :param test: its definition; with its id once it is created.
        """
        options = self.options
        plan = plan_of_new(
            str(test.get("testId") or ""),
            test_type,
            self.session.hook.account_group_id,
            test,
            result_types=options.result_types or options.checks.result_types or None,
            expected=options.expected_agents,
        )
        return replace(plan, from_test=options.from_test or "", from_test_name=self._from_test_name)

    def _read_clock(self) -> None:
        """Send any read, so that the stored time is by ThousandEyes' clock, however wrong this machine's clock is."""
        hook = self.session.hook
        if self.store.is_active and not hook.server_clock.is_known:
            # The creation raises the same error.
            with suppress(ThousandEyesError):
                groups = hook.list_account_groups()
                self.session.take_default_account_group(default_account_group(groups))

    def _create(self, test_type: str, body: Json, queued: QueuedRun) -> Json | PausedCall:
        """The test, created now or by an earlier call whose response was lost."""
        hook, response_lost = self.session.hook, False

        def wait(pause: Wait) -> bool:
            nonlocal response_lost
            response_lost = response_lost or not pause.throttled
            return self.wait_out(pause, response_lost=response_lost)

        try:
            return hook.create_instant_test(
                test_type, body, queue_timeout=self._remaining_queue_time(queued), wait=wait
            )
        except ThousandEyesRequestError:
            # The name may be taken by the very test that an earlier try created.
            since, created = queued.sent_since, None
            if since is not None:
                created = hook.find_created(test_type, body["testName"], lambda: hook.server_now() - since)
            if created is None:
                raise
            return created


def starter_of(
    options: StartOptions, session: Session, task: BaseOperator, context: Context
) -> RoundStarter[Any]:
    """Return what starts the round of a task with these options."""
    if isinstance(options, CreateOptions):
        return Creation(options, session, task, context)
    return Rerun(cast("RunOptions", options), session, task, context)


def queue_timeout_of(options: StartOptions) -> float:
    """Return ``queue_timeout``: the argument, else the configured value."""
    return setting("queue_timeout") if options.queue_timeout is None else options.queue_timeout


def _expectation(plan: Plan) -> str:
    """The expected agents, for the log."""
    count, source = plan.expected.count, plan.expected.source
    if count is None:
        return "an unknown number of agents (complete after 60 s without a new row)"
    names = (
        f": {join_truncated([str(agent) for agent in plan.expected.agents])}" if plan.expected.agents else ""
    )
    return f"{count} agents (source: {source}){names}"
