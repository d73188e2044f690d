"""The step at which an agent failed: read for few agents after a failed verdict, which it never changes."""

from __future__ import annotations

import time
from collections.abc import Mapping

from thousandeyes_provider.api.run import Plan
from thousandeyes_provider.exceptions import ThousandEyesError, ThousandEyesNotFoundError
from thousandeyes_provider.operators.options import Json
from thousandeyes_provider.operators.session import Session
from thousandeyes_provider.validation.steps import FailedAt, agents_to_detail, failed_step
from thousandeyes_provider.validation.verdict import Judgement

DETAILS_TIMEOUT = 20.0
"""Seconds for all reads of details: the verdict waits for them."""


class StepReader:
    """Read the failed steps of a round."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._log = session.log
        self._ends = 0.0

    def read(self, plan: Plan, judgement: Judgement, rounds: Mapping[str, int]) -> dict[str, Json]:
        """Return the failed step of the worst agents, by agent key.

        Reads keep the reserved share of the quota free, and stop when there is no time left or a read fails.
        """
        self._ends = time.monotonic() + DETAILS_TIMEOUT
        steps: dict[str, Json] = {}
        wanted = [agent for agent in agents_to_detail(judgement) if agent.result_type in rounds]
        try:
            test = self._definition(plan, wanted)
            for agent in wanted:
                if not self._keep_pace():
                    break
                step = self._step(plan, agent, rounds[agent.result_type], test)
                if step is not None:
                    steps[agent.key] = step
        except ThousandEyesError as error:
            self._log.info("Could not read all details of the failed agents: %s", error)
        return steps

    def _definition(self, plan: Plan, wanted: list[FailedAt]) -> Mapping[str, object]:
        """The definition of an API test, which has the text of its assertions; empty where it is not available."""
        if not any(agent.result_type == "api" for agent in wanted) or not self._keep_pace():
            return {}
        try:
            return self._session.hook.get_test(plan.test_id, plan.test_type, time_left=self._time_left)
        except ThousandEyesError as error:
            self._log.info("The definition of test %s is not available: %s", plan.test_id, error)
            return {}

    def _step(self, plan: Plan, agent: FailedAt, round_id: int, test: Mapping[str, object]) -> Json | None:
        try:
            details = self._session.hook.get_test_details(
                plan.test_id, agent.result_type, agent.agent_id, round_id, time_left=self._time_left
            )
        except ThousandEyesNotFoundError:
            return None
        logs = self._console_logs(plan, agent, round_id)
        return failed_step(agent.result_type, details, test=test, console_logs=logs)

    def _console_logs(self, plan: Plan, agent: FailedAt, round_id: int) -> Mapping[str, object]:
        """The browser's console of a failed web transaction; empty where it is not available."""
        if agent.result_type != "web-transactions" or not self._keep_pace():
            return {}
        try:
            return self._session.hook.get_console_logs(
                plan.test_id, agent.agent_id, round_id, time_left=self._time_left
            )
        except ThousandEyesError as error:
            self._log.info("The console of the failed web transaction is not available: %s", error)
            return {}

    def _keep_pace(self) -> bool:
        """Wait as the quota requires. Return ``False`` if there is no time for another read."""
        gap = self._session.hook.polling_gap()
        if gap >= self._time_left():
            return False
        self._session.pace(gap)
        return True

    def _time_left(self) -> float:
        return self._ends - time.monotonic()
