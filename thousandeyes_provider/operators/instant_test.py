"""Instant tests as steps of a pipeline: rerun one, or create one; wait for the round of this run, and judge it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import conf
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesRequestError,
)
from thousandeyes_provider.links.thousandeyes import ThousandEyesTestLink
from thousandeyes_provider.operators import arguments
from thousandeyes_provider.operators.base import BaseInstantTestOperator

# DAG files are parsed all the time: what only a worker needs is imported where it is used.
if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from thousandeyes_provider.api.retry import Wait
    from thousandeyes_provider.api.run import Plan, RunHandle
    from thousandeyes_provider.operators.queued_run import QueuedRun


class RunInstantTestOperator(BaseInstantTestOperator):
    """Rerun a ThousandEyes instant test, wait for what its agents see, and fail when that is bad.

    The round of this run is told from older ones by what was there before it, so that an old result is never judged.
    A rate limit (429) is waited out until its announced reset. When the answer to the run call is lost (5xx, a cut
    connection) the operator first looks whether the round has begun, and runs the test again only when it has not.

    The return value is the *evidence*, a JSON object with the verdict, the agents, metrics and links. It is in XCom
    also when the task fails.

    :param test_id: the instant test to rerun. Templated.
    :param test_type: its type, such as ``http-server``; learned from ThousandEyes when left out, which takes one to a
        few requests more. Templated.
    :param account_group_id: account group (``aid``); the connection's, else the token's default, when left out.
        Templated.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``. Templated.
    :param wait_for_results: ``False``: return once the run is accepted, with the *run handle* for a sensor to wait on.
        The run is then sent at least once: after a lost answer it is sent again.
    :param result_types: what to wait for and judge; by default what the type of the test is about.
    :param expected_agents: who should report: ids and names, or a number of agents. By default the agents of the
        test's definition, else those of its newest round; when nobody knows, a round is complete when nothing new has
        come for 60 seconds. Templated.
    :param min_agents: how many agents are enough: a count (``4``), or a fraction of the expected (``0.8``). All when
        left out.
    :param grace: seconds, or a timedelta, to wait for the others when ``min_agents`` have reported.
    :param max_agent_errors: how many agents may report an error: a count, or a fraction (``0.2``) of those that
        reported.
    :param checks: what must hold as well, see the reference of checks: result type, metric, aggregate over the agents,
        comparison. Templated; a ``.json`` or ``.yaml`` file may be named.
    :param compare_with: what ``change_*`` and ``delta_*`` compare with: the evidence of an earlier run, or
        ``{"test_id": …, "window": "24h"}`` for the recent history of a test. One that is missing or incomplete
        fails the checks that need it. Templated.
    :param on_failed_checks: what a failed verdict means: ``fail``; ``skip``, the task ends skipped; ``warn``, it
        succeeds and the evidence says failed. It does not cover missing agents.
    :param retry_on_failed_checks: whether Airflow's task retries are spent on a failed verdict.
    :param confirm_failures: how many further runs have to confirm a failed verdict: it stands when the same check, or
        an error, fails again.
    :param snapshot_on_failure: whether to share a bad round privately in ThousandEyes: a snapshot that lasts 30 days,
        whose link is in the evidence, the error and among the links of the task.
    :param report_path: where to write a report, any place that Airflow's ``ObjectStoragePath`` reaches: JUnit for
        ``.xml``, Markdown for ``.md``. Templated.
    :param dry_run: verify token, account group, test, agents and their states, and that the newest round has each
        metric of the checks, and run nothing. The return value says what was found; the task fails when something is
        amiss.
    :param poll_interval: seconds, or a timedelta, between two looks at the results; more when the organization's
        quota runs short, of which a fifth is left to others.
    :param timeout: seconds, or a timedelta, from the moment the run was accepted until its results must be there.
    :param queue_timeout: seconds, or a timedelta, that may be spent before the run is accepted on rate limits and a
        busy test.
    :param deferrable: wait in the triggerer instead of a worker, by default as Airflow's ``default_deferrable`` says.
        The run is sent, and its round judged, by a worker all the same.
        So is a long wait for a rate limit; and each of many mapped tasks asks for its turn before it sends its run.
    :raises InstantTestFailed: the round is bad. No task retry is spent.
    :raises InstantTestIncomplete: at the deadline, agents were missing.
    :raises InstantTestNoResults: at the deadline, there was no fresh round.
    :raises ThousandEyesAuthError: 401 or 403. No task retry is spent; likewise for the next two.
    :raises ThousandEyesNotFoundError: 404, there is no such test.
    :raises ThousandEyesRequestError: another 4xx.
    :raises ThousandEyesConfigurationError: an argument or the connection is not what it should be.
    :raises ThousandEyesRateLimitError: a rate limit lasts longer than ``queue_timeout``.
    :raises ThousandEyesServerError: 5xx, also on the last attempt.
    :raises ThousandEyesConnectionError: no answer, also on the last attempt.
    """

    template_fields: Sequence[str] = (
        "test_id",
        "test_type",
        "account_group_id",
        "thousandeyes_conn_id",
        "expected_agents",
        "checks",
        "compare_with",
        "report_path",
    )

    def __init__(
        self,
        *,
        test_id: str | int,
        test_type: str | None = None,
        account_group_id: str | int | None = None,
        thousandeyes_conn_id: str = "thousandeyes_default",
        wait_for_results: bool = True,
        result_types: Sequence[str] | None = None,
        expected_agents: int | Sequence[str | int] | str | None = None,
        min_agents: int | float | None = None,
        grace: float | timedelta = 60,
        max_agent_errors: int | float = 0,
        checks: Mapping[str, Any] | str | None = None,
        compare_with: Mapping[str, Any] | str | None = None,
        confirm_failures: int = 0,
        on_failed_checks: str = "fail",
        retry_on_failed_checks: bool = False,
        snapshot_on_failure: bool = False,
        report_path: str | None = None,
        dry_run: bool = False,
        poll_interval: float | timedelta = 10,
        timeout: float | timedelta = 600,
        queue_timeout: float | timedelta = 3600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            account_group_id=account_group_id,
            thousandeyes_conn_id=thousandeyes_conn_id,
            wait_for_results=wait_for_results,
            result_types=result_types,
            expected_agents=expected_agents,
            min_agents=min_agents,
            grace=grace,
            max_agent_errors=max_agent_errors,
            checks=checks,
            compare_with=compare_with,
            confirm_failures=confirm_failures,
            on_failed_checks=on_failed_checks,
            retry_on_failed_checks=retry_on_failed_checks,
            snapshot_on_failure=snapshot_on_failure,
            report_path=report_path,
            dry_run=dry_run,
            poll_interval=poll_interval,
            timeout=timeout,
            queue_timeout=queue_timeout,
            deferrable=deferrable,
            **kwargs,
        )
        self.test_id = test_id
        self.test_type = test_type
        self._check_arguments(literals_only=True)

    def _test(self) -> str:
        return str(self._read("test_id"))

    def _asked_for(self) -> list[str | None]:
        return [self._test(), self.hook.account_group_id]

    def _begin(self, context: Context, queued: QueuedRun) -> RunHandle:
        plan = self._plan(context) if queued.plan is None else self._reader.remember(queued.plan)
        return self._run(context, plan, queued)

    def _find_begun(self, run: RunHandle) -> RunHandle | None:
        return run if self._has_begun(run.plan, run.sent_at) else None

    def _plan(self, context: Context) -> Plan:
        """What has to be known before the run."""
        from thousandeyes_provider.api.expected_agents import type_implied_by

        checked = self._read("checks").result_types
        plan = self._reader.plan(
            self._test(),
            test_type=self._read("test_type") or type_implied_by(checked),
            result_types=self._read("result_types") or checked or None,
            expected=self._read("expected_agents"),
        )
        self._announce(plan)
        self._push_link(context, ThousandEyesTestLink, plan.test_link)
        return plan

    def _verify(self, context: Context) -> dict[str, Any]:
        """What a run would find, without the run.

        :raises ThousandEyesConfigurationError: naming everything that is amiss.
        """
        from thousandeyes_provider.validation.samples import values_of

        checks = self._read("checks")
        plan = self._plan(context)
        states = self._reader.agent_states(plan.expected.agents)
        amiss = [f"{agent} is {state}" for agent, state in states.items() if state not in ("online", None)]
        if plan.expected.count is None and not any(plan.remembered.values()):
            amiss.append("ThousandEyes knows neither a definition nor a round of it")
        found = []
        for check in checks.checks:
            rows = self._reader.newest.get(check.result_type, [])
            has = any(value is not None for value in values_of(check.result_type, check.metric, rows))
            found.append({"result_type": check.result_type, "metric": check.metric, "in_newest_round": has})
            if rows and not has:
                amiss.append(f"no agent reported {check.metric} of {check.result_type} in the newest round")
        told = {
            "dry_run": True,
            "test_id": plan.test_id,
            "test_name": plan.test_name,
            "test_type": plan.test_type,
            "account_group_id": plan.account_group_id,
            "result_types": list(plan.directions),
            "newest_rounds": dict(plan.remembered),
            "agents": [
                {"agent_id": agent.agent_id, "agent_name": agent.agent_name, "state": states.get(agent)}
                for agent in plan.expected.agents
            ],
            "checks": found,
        }
        return self._verified(context, f"test {plan.test_id}", told, amiss)

    _READERS: Mapping[str, Callable[[Any], Any]] = {
        "test_id": arguments.an_id,
        "test_type": arguments.a_test_type,
        **BaseInstantTestOperator._READERS,
    }


class CreateInstantTestOperator(BaseInstantTestOperator):
    """Create a ThousandEyes instant test, which runs it at once, wait for what its agents see, and fail when it is bad.

    For what did not exist before, such as a preview environment; and, with ``from_test``, for running an existing test
    once, now, against something else. Waiting, judging and everything that is returned are those of
    :class:`RunInstantTestOperator`. The created test stays in ThousandEyes.

    The answer to the call may be lost (5xx, a cut connection): then the test is looked for by its name, which is
    unique, before the call is sent again. Secrets in the definition are masked in logs and rendered fields; take them
    from a connection or a variable (``{{ conn.ftp.password }}``), since what a DAG file says is stored as it is.

    :param test_type: one of ``agent-to-agent``, ``agent-to-server``, ``api``, ``dns-server``, ``dns-trace``,
        ``dnssec``, ``ftp-server``, ``http-server``, ``page-load``, ``sip-server``, ``voice``, ``web-transactions``.
        With ``from_test`` it is learned from ThousandEyes when left out. Templated.
    :param definition: the body of ``POST /tests/{type}/instant`` as the API has it: a dict, a ``.json`` or ``.yaml``
        file, or a model of the official SDK. ``agents`` may be ids or names; numbers may be text. Without ``testName``
        the name is made of DAG, task, run and map index. Templated: where the API's own ``{{variables}}`` are meant,
        write ``{% raw %}``.
    :param from_test: in place of ``definition``: the id of a test, scheduled or instant, whose settings are taken over.
        Its schedule, alerts, labels and sharing are not. Templated.
    :param overrides: what is other than in ``from_test``: fields of a definition; objects are merged, lists replaced,
        and null removes a field. Credentials have to be given here, since the API does not tell them. Templated.
    :param account_group_id: account group (``aid``); the connection's, else the token's default, when left out.
        Templated.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``. Templated.
    :param wait_for_results: ``False``: return once the test is created, with the *run handle* for a sensor to wait on.
    :param result_types: what to wait for and judge; by default what the type of the test is about.
    :param expected_agents: who should report: ids and names, or a number of agents. By default the agents of the
        definition. Templated.
    :param min_agents: how many agents are enough: a count (``4``), or a fraction of the expected (``0.8``). All when
        left out.
    :param grace: seconds, or a timedelta, to wait for the others when ``min_agents`` have reported.
    :param max_agent_errors: how many agents may report an error: a count, or a fraction (``0.2``) of those that
        reported.
    :param checks: what must hold as well, see the reference of checks: result type, metric, aggregate over the agents,
        comparison. Templated; a ``.json`` or ``.yaml`` file may be named.
    :param compare_with: what ``change_*`` and ``delta_*`` compare with: the evidence of an earlier run, or
        ``{"test_id": …, "window": "24h"}`` for the recent history of a test. One that is missing or incomplete
        fails the checks that need it. Templated.
    :param on_failed_checks: what a failed verdict means: ``fail``; ``skip``, the task ends skipped; ``warn``, it
        succeeds and the evidence says failed. It does not cover missing agents.
    :param retry_on_failed_checks: whether Airflow's task retries are spent on a failed verdict.
    :param confirm_failures: how many further runs of the created test have to confirm a failed verdict: it stands when
        the same check, or an error, fails again.
    :param snapshot_on_failure: whether to share a bad round privately in ThousandEyes: a snapshot that lasts 30 days,
        whose link is in the evidence, the error and among the links of the task.
    :param report_path: where to write a report, any place that Airflow's ``ObjectStoragePath`` reaches: JUnit for
        ``.xml``, Markdown for ``.md``. Templated.
    :param dry_run: verify token, account group, definition, and the agents and their states, and create nothing. The
        return value says what was found; the task fails when something is amiss.
    :param poll_interval: seconds, or a timedelta, between two looks at the results; more when the organization's
        quota runs short, of which a fifth is left to others.
    :param timeout: seconds, or a timedelta, from the moment the test was created until its results must be there.
    :param queue_timeout: seconds, or a timedelta, that may be spent on rate limits before the test is created.
    :param deferrable: wait in the triggerer instead of a worker, by default as Airflow's ``default_deferrable`` says.
        The run is sent, and its round judged, by a worker all the same.
        So is a long wait for a rate limit; and each of many mapped tasks asks for its turn before it sends its run.
    :raises InstantTestFailed: and all the others of :class:`RunInstantTestOperator`.
    :raises ThousandEyesConfigurationError: also for a wrong definition, naming each field, what is wrong with it and
        what would be right; for an agent that is not there; for credentials that ``from_test`` lacks.
    """

    template_fields: Sequence[str] = (
        "test_type",
        "definition",
        "from_test",
        "overrides",
        "account_group_id",
        "thousandeyes_conn_id",
        "expected_agents",
        "checks",
        "compare_with",
        "report_path",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **BaseInstantTestOperator.template_fields_renderers,
        "definition": "json",
        "overrides": "json",
    }
    _definition: Any = None
    _overrides: Any = None

    def __init__(
        self,
        *,
        test_type: str | None = None,
        definition: Mapping[str, Any] | str | Any | None = None,
        from_test: str | int | None = None,
        overrides: Mapping[str, Any] | str | None = None,
        account_group_id: str | int | None = None,
        thousandeyes_conn_id: str = "thousandeyes_default",
        wait_for_results: bool = True,
        result_types: Sequence[str] | None = None,
        expected_agents: int | Sequence[str | int] | str | None = None,
        min_agents: int | float | None = None,
        grace: float | timedelta = 60,
        max_agent_errors: int | float = 0,
        checks: Mapping[str, Any] | str | None = None,
        compare_with: Mapping[str, Any] | str | None = None,
        confirm_failures: int = 0,
        on_failed_checks: str = "fail",
        retry_on_failed_checks: bool = False,
        snapshot_on_failure: bool = False,
        report_path: str | None = None,
        dry_run: bool = False,
        poll_interval: float | timedelta = 10,
        timeout: float | timedelta = 600,
        queue_timeout: float | timedelta = 3600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            account_group_id=account_group_id,
            thousandeyes_conn_id=thousandeyes_conn_id,
            wait_for_results=wait_for_results,
            result_types=result_types,
            expected_agents=expected_agents,
            min_agents=min_agents,
            grace=grace,
            max_agent_errors=max_agent_errors,
            checks=checks,
            compare_with=compare_with,
            confirm_failures=confirm_failures,
            on_failed_checks=on_failed_checks,
            retry_on_failed_checks=retry_on_failed_checks,
            snapshot_on_failure=snapshot_on_failure,
            report_path=report_path,
            dry_run=dry_run,
            poll_interval=poll_interval,
            timeout=timeout,
            queue_timeout=queue_timeout,
            deferrable=deferrable,
            **kwargs,
        )
        self.test_type = test_type
        self.definition = definition
        self.from_test = from_test
        self.overrides = overrides
        self._check_arguments(literals_only=True)

    @property
    def definition(self) -> Any:
        """The definition; whatever is set masks its secrets, before anything shows them."""
        return self._definition

    @definition.setter
    def definition(self, value: Any) -> None:
        self._definition = _masked(value)

    @property
    def overrides(self) -> Any:
        """The changes to ``from_test``; whatever is set masks its secrets."""
        return self._overrides

    @overrides.setter
    def overrides(self, value: Any) -> None:
        self._overrides = _masked(value)

    # -- before the test is created ------------------------------------------------------------------------------

    def _asked_for(self) -> list[str | None]:
        import hashlib

        asked = [self.definition, self._read("from_test"), self.overrides, self._read("test_type")]
        told = json.dumps(asked, sort_keys=True, default=str)
        return [hashlib.sha256(told.encode()).hexdigest(), self.hook.account_group_id]

    def _body(self, context: Context, name: str = "") -> tuple[str, dict[str, Any]]:
        """The type of the test, and the body that creates it.

        :param name: what it is called when the definition does not say; made up when empty.
        """
        from thousandeyes_provider.api import definition as definitions

        test_type, source = self._read("test_type"), self._read("from_test")
        definition = self._read("definition")
        if source is not None:
            if test_type is None:
                test_type, _ = self._reader.find_test_type(source)
            found = self._reader.definition(source, test_type)
            if found is None:
                raise ThousandEyesConfigurationError(
                    f"{self._owner}: from_test={source!r}: ThousandEyes does not give the definition of that "
                    f"{test_type} test; give definition= instead"
                )
            settings, left_out = definitions.settings_of(test_type, found)
            if left_out:
                self.log.info("Not taken over from test %s: %s", source, ", ".join(left_out))
            definition = definitions.overridden(settings, self._read("overrides") or {})
            lacking = definitions.lacking_credentials(test_type, definition)
            if lacking:
                raise ThousandEyesConfigurationError(
                    f"{self._owner}: from_test={source!r}: the test logs in with credentials that ThousandEyes does "
                    f"not give back; give them in overrides=: {', '.join(lacking)}"
                )
        body = self.hook.complete_definition(test_type, definition or {}, time_left=self._reader.time_left)
        if not body.get("testName"):
            instance = context["ti"]
            body["testName"] = name or definitions.default_name(
                instance.dag_id,
                self.task_id,
                instance.run_id,
                cast("int", instance.map_index),
                instance.try_number,
            )
        return test_type, body

    def _plan(self, test_type: str, test: Mapping[str, Any]) -> Plan:
        """The plan for a test that has no rounds yet.

        :param test: its definition; with its id when it is created.
        """
        from thousandeyes_provider.hooks.results_reader import plan_of_new

        return plan_of_new(
            str(test.get("testId") or ""),
            test_type,
            self.hook.account_group_id,
            test,
            result_types=self._read("result_types") or self._read("checks").result_types or None,
            expected=self._read("expected_agents"),
        )

    def _verify(self, context: Context) -> dict[str, Any]:
        from thousandeyes_provider.api.definition import unknown_fields

        test_type, body = self._body(context)
        plan = self._plan(test_type, body)
        self._announce(plan)
        states = self._reader.agent_states(plan.expected.agents)
        amiss = [f"{agent} is {state}" for agent, state in states.items() if state not in ("online", None)]
        tests = self.hook.list_tests(time_left=self._reader.time_left)
        if any(test.get("testName") == body["testName"] for test in tests):
            amiss.append(f"there is a test called {body['testName']!r} already, and names are unique")
        told = {
            "dry_run": True,
            "test_name": body["testName"],
            "test_type": test_type,
            "account_group_id": plan.account_group_id,
            "result_types": list(plan.directions),
            "agents": [
                {"agent_id": agent.agent_id, "agent_name": agent.agent_name, "state": states.get(agent)}
                for agent in plan.expected.agents
            ],
            "warnings": unknown_fields(test_type, body),
        }
        return self._verified(context, f"a new {test_type} test", told, amiss)

    # -- creating ------------------------------------------------------------------------------------------------

    def _begin(self, context: Context, queued: QueuedRun) -> RunHandle:
        if queued.plan is not None and queued.plan.test_id:
            # A further run of the test that was created.
            return self._run(context, self._reader.remember(queued.plan), queued)
        test_type, body = self._body(context, queued.plan.test_name if queued.plan else "")
        plan = self._plan(test_type, body)
        self._announce(plan)
        begun, lost = self._monotonic(), [False]

        def wait(pause: Wait) -> bool:
            lost[0] = lost[0] or not pause.throttled
            self._sit_out(context, queued, plan, pause, lost=lost[0])
            return True

        self._learn_the_time(context)
        sent_since = self.hook.server_now() if queued.sent_since is None else queued.sent_since
        # Stays when this fails: the test may exist all the same, and a further try looks for it by its name.
        self._memory(context).sending(plan, sent_since)
        sent_before = self.hook.run_calls
        created = self._created(test_type, body, queued, wait)
        # What time it is for ThousandEyes is known for sure only now. A new test has no other round to be told from.
        accepted_at = self.hook.server_now()
        sent_at = min(sent_since, accepted_at - (self._monotonic() - begun))
        sent = self.hook.run_calls - sent_before
        return self._accepted(
            context, self._plan(test_type, {**body, **created}), queued, sent_at, accepted_at, sent
        )

    def _learn_the_time(self, context: Context) -> None:
        """Ask for anything, so that times are stored by ThousandEyes' clock, however wrong that of this machine is."""
        if self._memory(context).stores and not self.hook.knows_the_time:
            # The creation itself will say what is wrong.
            with suppress(ThousandEyesError):
                self.hook.list_account_groups()

    def _created(
        self, test_type: str, body: Mapping[str, Any], queued: QueuedRun, wait: Callable[[Wait], bool]
    ) -> Mapping[str, Any]:
        """The test, created now, or by an earlier send whose answer nobody heard."""
        try:
            created = self.hook.create_instant_test(
                test_type, body, queue_timeout=self._patience(queued), wait=wait
            )
            assert isinstance(created, Mapping)
            return created
        except ThousandEyesRequestError:
            # The name may be taken by the very test that an earlier try created.
            since, found = queued.sent_since, None
            if since is not None:
                found = self.hook.find_created(
                    test_type, body["testName"], lambda: self.hook.server_now() - since
                )
            if found is None:
                raise
            return found

    def _find_begun(self, run: RunHandle) -> RunHandle | None:
        plan = run.plan
        if plan.test_id:
            # A further run of a test that had been created.
            return run if self._has_begun(plan, run.sent_at) else None
        found = self.hook.find_created(
            plan.test_type, plan.test_name, lambda: self.hook.server_now() - run.sent_at
        )
        if found is None:
            return None
        known = self._plan(plan.test_type, found)
        expected = known.expected if known.expected.count is not None else plan.expected
        return replace(run, plan=replace(known, expected=expected))

    # -- arguments -----------------------------------------------------------------------------------------------

    def _check_arguments(self, *, literals_only: bool) -> None:
        super()._check_arguments(literals_only=literals_only)
        with self._raising():
            self._check_together(literals_only)
            given = {"definition": self.definition, "overrides": self.overrides}
            for name, value in given.items():
                if isinstance(value, Mapping) and literals_only and arguments.is_literal(self.test_type):
                    self._check_fields(name, value)

    def _check_together(self, literals_only: bool) -> None:
        """Arguments that need, or exclude, each other.

        :raises ThousandEyesConfigurationError: naming them.
        """
        given = {
            name: value is not None and (literals_only or self._read(name) is not None)
            for name, value in (
                ("definition", self.definition),
                ("from_test", self.from_test),
                ("overrides", self.overrides),
            )
        }
        if given["definition"] == given["from_test"]:
            which = "not both" if given["definition"] else "neither is given"
            raise ThousandEyesConfigurationError(
                f"{self._owner}: give either definition=, for a new test, or from_test=, the id of one whose settings "
                f"are taken over; {which}"
            )
        if given["overrides"] and not given["from_test"]:
            raise ThousandEyesConfigurationError(
                f"{self._owner}: overrides= changes what from_test= says; put it into definition="
            )
        if given["definition"] and (
            self.test_type is None if literals_only else self._read("test_type") is None
        ):
            from thousandeyes_provider.api.result_types import TEST_TYPES

            raise ThousandEyesConfigurationError(
                f"{self._owner}: definition= needs test_type=, one of {', '.join(TEST_TYPES)}"
            )

    def _check_fields(self, name: str, value: Mapping[str, Any]) -> None:
        """The part of a definition that is known when the DAG is parsed."""
        from thousandeyes_provider.api.definition import read_definition

        test_type = self._read("test_type")
        if test_type is None:
            return

        def read(told: Any) -> dict[str, Any]:
            return read_definition(
                test_type, told, name=name, partial=name == "overrides", known=arguments.is_literal
            )

        arguments.read(self._owner, name, value, read)

    _READERS: Mapping[str, Callable[[Any], Any]] = {
        "test_type": arguments.a_test_type,
        "definition": arguments.definition,
        "from_test": arguments.an_optional_test,
        "overrides": arguments.definition,
        **BaseInstantTestOperator._READERS,
    }


def _masked(value: Any) -> Any:
    """A definition whose secrets are masked in logs and rendered fields from now on, as plain data."""
    value = arguments.plain(value)
    if value is None or hasattr(value, "resolve"):
        return value
    from thousandeyes_provider.api.definition import secrets_in

    try:
        read = arguments.definition(value)
    except ValueError:
        # What is wrong with it is told when it is used.
        return value
    secrets = [secret for secret in secrets_in(read) if arguments.is_literal(secret)]
    if secrets:
        from thousandeyes_provider.hooks.base import mask_secret

        for secret in secrets:
            mask_secret(secret)
    # As a text, it may spell a secret in another way (\n, \u0026, indented lines), which no masking would find.
    return read if isinstance(value, str) and arguments.is_literal(value) else value
