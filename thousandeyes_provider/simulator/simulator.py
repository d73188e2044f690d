"""The simulator inside a Python process: a server in its own thread, and the methods that control it."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from thousandeyes_provider.simulator.control import Control
from thousandeyes_provider.simulator.injected_faults import InjectedFault
from thousandeyes_provider.simulator.model import SimulatedTest, World
from thousandeyes_provider.simulator.service import LoggedRequest, Service
from thousandeyes_provider.simulator.simulated_rounds import RoundState
from thousandeyes_provider.simulator.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from thousandeyes_provider.simulator.agents import SimulatedAgent
    from thousandeyes_provider.simulator.generated_history import HistorySummary

DEFAULT_TOKEN = "simulator-token"


class Simulator:
    """A simulated ThousandEyes API on a loopback port.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. It can be configured before it is started.
    All methods are thread-safe.

    :param port: TCP port; 0 selects a free port.
    :param tokens: accepted bearer tokens; ``None`` accepts any token.
    :param speed: divides simulated durations: agents' delays, rate limit windows, throttles, runs in progress, snapshot
        windows. The clock always runs at real speed.
    :param seed: seed of the generated results. The same seed gives the same results.
    :param default_tests: start with one test of each type (ids 202701 to 202712).
    :param host: address to listen on.
    :param switches: fields of :class:`~thousandeyes_provider.simulator.switches.Switches`.
    :raises ValueError: for an unknown name or an invalid value; the message lists the choices.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tokens: Iterable[str] | None = None,
        speed: float = 1.0,
        seed: int = 7,
        default_tests: bool = True,
        host: str = "127.0.0.1",
        **switches: Any,
    ) -> None:
        if isinstance(tokens, str):
            raise ValueError("tokens must be a list of tokens, got a single string")
        self._wanted_port, self._host = port, host
        self._tokens = None if tokens is None else tuple(tokens)
        self._switches = Switches().changed(switches)
        self._settings: dict[str, Any] = {"speed": speed, "seed": seed, "default_tests": default_tests}
        self._service = Service(self._world(), self._tokens)
        self._control = Control(self._service)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._port: int | None = None

    def _world(self) -> World:
        return World(time.time(), self._switches, **self._settings)

    # start and stop

    def start(self) -> Simulator:
        """Start the server in a daemon thread. Returns when it accepts requests.

        :raises OSError: if the port is in use.
        """
        if self._thread is not None:
            return self
        ready: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="thousandeyes-simulator", daemon=True
        )
        self._thread.start()
        try:
            self._port = ready.result(timeout=30)
        except BaseException:
            self._thread = None
            raise
        return self

    async def _serve(self, ready: Future[int]) -> None:
        try:
            from thousandeyes_provider.simulator.server import serve

            self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
            runner, port = await serve(self._service, self._control, self._host, self._wanted_port)
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(port)
        try:
            await self._stopping.wait()
        finally:
            await runner.cleanup()

    def stop(self) -> None:
        """Stop the server. The log and the state stay readable."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        self._thread = self._loop = self._stopping = self._port = None
        if thread is not None and loop is not None and stopping is not None:
            loop.call_soon_threadsafe(stopping.set)
            thread.join(timeout=10)

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def reset(self) -> None:
        """Restore the initial state: tests, rounds, switches, quota, faults and log."""
        with self._service.lock:
            self._service.reset(self._world())

    # address

    @property
    def port(self) -> int:
        """The port that the server listens on.

        :raises RuntimeError: if the simulator is not running.
        """
        if self._port is None:
            raise RuntimeError("the simulator is not running; call start() first")
        return self._port

    @property
    def url(self) -> str:
        """Base URL without a path. Requests may prefix their paths with ``/v7``."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    @property
    def token(self) -> str:
        """An accepted bearer token."""
        return self._tokens[0] if self._tokens else DEFAULT_TOKEN

    def connection(self, **extra: Any) -> dict[str, Any]:
        """Return the fields of an Airflow connection to the simulator.

        Encoded as JSON they are the value of an ``AIRFLOW_CONN_…`` variable.

        :param extra: further extras of the connection, such as ``retry_limit=2``. ``trust_env`` is false by default,
            so that requests bypass the proxies of the environment.
        """
        return {
            "conn_type": "thousandeyes",
            "host": self._host,
            "port": self.port,
            "schema": "http",
            "password": self.token,
            "extra": {"trust_env": False, **extra},
        }

    # tests and agents

    def add_test(self, test_type: str, test_id: str | None = None, **spec: Any) -> str:
        """Add a test, by default an instant test.

        :param test_type: a name from ``TEST_TYPES``.
        :param test_id: id of the test; by default a new id.
        :param spec: further fields: ``name``, ``agents`` (ids, names, or a number), ``dns_servers``, ``direction``,
            ``target_agent``, ``network_measurements``, ``account_group_id``, ``scheduled``, ``tags`` (each
            ``key:value``; scheduled tests only), ``definition``, ``history`` (ages of earlier rounds in seconds; by
            default one round 300 s old), ``switches``, ``next_runs``, ``outcomes``, ``condition``, ``metrics``,
            ``delays``, ``silent``, ``failed_step``.
        :returns: id of the test.
        :raises ValueError: for an unknown field or an invalid value; the message lists the choices.
        """
        with self._service.lock:
            return self._service.world.add_test(
                time.time(), test_type=test_type, test_id=test_id, **spec
            ).test_id

    def change_test(self, test_id: str, **spec: Any) -> None:
        """Change a test. Rounds that have started stay as they are.

        :param spec: fields as in :meth:`add_test`. ``switches`` are merged into those of the test. Every other field
            replaces the current value.
        """
        with self._service.lock:
            self._service.world.change_test(self._test(test_id), **spec)

    def add_history(self, test_id: str, **traits: Any) -> HistorySummary:
        """Replace the initial rounds of a test with a realistic history of several weeks.

        The history contains a daily cycle, slow agents, heavy tails, single errors, outages, an agent that stops
        reporting, and a release that makes everything slower. It continues for one day. Rows are generated when they
        are read.

        :param traits: fields of :class:`~thousandeyes_provider.simulator.generated_history.HistoryTraits`, such as
            ``days=28, interval=300, seed=1``.
        :returns: contents of the history, to compare with what a client detects.
        :raises ValueError: for an unknown test or field, or a value out of range.
        """
        with self._service.lock:
            return self._service.world.add_history(time.time(), self._test(test_id), **traits)

    def set_switches(self, **switches: Any) -> None:
        """Change switches of the whole API."""
        with self._service.lock:
            world = self._service.world
            world.switches = world.switches.changed(switches)

    @property
    def switches(self) -> Switches:
        """The current switches of the whole API."""
        return self._service.world.switches

    def add_agent(self, name: str, **spec: Any) -> SimulatedAgent:
        """Add an agent.

        :param name: unique name.
        :param spec: further fields: ``agent_id``, ``agent_type``, ``state``, ``location``, ``country_id``,
            ``latitude``, ``longitude``.
        """
        with self._service.lock:
            return self._service.world.add_agent(name=name, **spec)

    def change_agent(self, agent: str, state: str) -> SimulatedAgent:
        """Set the state of an agent. Only online agents report in rounds that start afterwards.

        :param agent: id or name.
        :param state: ``online``, ``offline`` or ``disabled``.
        """
        with self._service.lock:
            return self._service.world.change_agent(agent, state)

    @property
    def agents(self) -> tuple[SimulatedAgent, ...]:
        """All agents."""
        with self._service.lock:
            return tuple(self._service.world.agents.values())

    @property
    def tests(self) -> Mapping[str, str]:
        """All tests: id to test type."""
        with self._service.lock:
            return {test.test_id: test.test_type for test in self._service.world.tests.values()}

    # tags, alert rules, alerts and events

    def add_tag(self, tag: str, tests: Iterable[str] = (), *, account_group_id: str | None = None) -> str:
        """Add a tag, or assign an existing one to more tests.

        :param tag: ``key:value``, such as ``service:checkout``.
        :param tests: ids of scheduled tests of the account group.
        :returns: id of the tag.
        :raises ValueError: for a malformed tag, or a test that cannot have it.
        """
        with self._service.lock:
            world = self._service.world
            return world.add_tag(time.time(), tag, tests, account_group_id=account_group_id).tag_id

    def add_alert_rule(self, expression: str, tests: Iterable[str], **spec: Any) -> str:
        """Add an alert rule to tests.

        :param expression: condition on one row, such as ``((responseTime >= 500 ms))``.
        :param tests: ids of the tests.
        :param spec: further fields of :class:`~thousandeyes_provider.simulator.simulated_alerts.SimulatedAlertRule`.
        :returns: id of the rule.
        :raises ValueError: for an unknown test or field, or a value out of range.
        """
        with self._service.lock:
            return self._service.world.add_alert_rule(expression, tests, **spec).rule_id

    def add_alert(
        self, rule_id: str, test_id: str, *, ago: float, lasted: float | None = None, violation_count: int = 1
    ) -> str:
        """Add an alert of a rule.

        :param rule_id: id of the rule.
        :param test_id: id of a test with the rule.
        :param ago: seconds since the alert started.
        :param lasted: seconds that it lasted; ``None``: it is still active.
        :param violation_count: number of agents that met the condition.
        :returns: id of the alert.
        :raises ValueError: for an unknown rule or test, or a value out of range.
        """
        with self._service.lock:
            return self._service.world.add_alert(
                time.time(), rule_id, test_id, ago=ago, lasted=lasted, violation_count=violation_count
            ).alert_id

    def add_event(self, title: str, *, ago: float, lasted: float | None = None, **spec: Any) -> str:
        """Add an event.

        :param title: title of the event.
        :param ago: seconds since the event started.
        :param lasted: seconds that it lasted; ``None``: it is still active.
        :param spec: further fields of :class:`~thousandeyes_provider.simulator.simulated_alerts.SimulatedEvent`.
        :returns: id of the event.
        :raises ValueError: for an unknown field, or a value out of range.
        """
        with self._service.lock:
            return self._service.world.add_event(time.time(), title, ago=ago, lasted=lasted, **spec).event_id

    # rounds

    def run(self, test_id: str, by: str = "another client", **behavior: Any) -> int | None:
        """Run a test as another client would, without an API request. No quota is used.

        :param by: name of the client, reported in :attr:`RoundState.by`.
        :param behavior: behavior for this round only: ``outcomes``, ``condition``, ``metrics``, ``delays``, ``silent``,
            ``failed_step``.
        :returns: id of the new round; ``None`` if the run was merged into the current round.
        :raises RunInProgress: if a run is in progress and the switch ``run_while_running`` is ``409``.
        """
        with self._service.lock:
            started = self._service.world.run(self._test(test_id), time.time(), by, **behavior)
            return None if started is None else started.round_id

    def rounds(self, test_id: str) -> list[RoundState]:
        """Return the rounds of a test, oldest first."""
        with self._service.lock:
            return self._service.world.round_states(self._test(test_id), time.time())

    def _test(self, test_id: str) -> SimulatedTest:
        tests = self._service.world.tests
        if str(test_id) not in tests:
            raise ValueError(f"unknown test {test_id!r}; known: {', '.join(tests)}")
        return tests[str(test_id)]

    # conditions and faults

    def target(self, name: str, condition: Any) -> None:
        """Set the condition of a target, for all tests of the target and all rounds that start afterwards.

        Examples: ``simulator.target("www.example.com", "down")``, ``target("ns1.example.net", "slow:5")``,
        ``target("www.example.com", {"vienna-office-1": "lossy"})``. ``condition=…`` in :meth:`add_test`,
        :meth:`change_test` and :meth:`run` sets the condition for a single test and takes precedence.

        :param name: a host, a URL, ``host:port``, a domain, a DNS server, or an agent (id or name) that other agents
            measure towards.
        :param condition: a name from :data:`~thousandeyes_provider.simulator.conditions.CONDITIONS`; ``"ok"`` clears
            it. A dict sets it by agent (id or name), by result type, or by both (nested).
        :raises ValueError: for an unknown agent or condition; the message lists the choices.
        """
        with self._service.lock:
            self._service.world.set_target(name, condition)

    def fail(self, operation: str, kind: str = "status", **spec: Any) -> InjectedFault:
        """Inject a fault into the next request of an operation.

        :param operation: a name from :data:`~thousandeyes_provider.simulator.injected_faults.OPERATIONS`, or ``*`` for
            any operation.
        :param kind: a name from :data:`~thousandeyes_provider.simulator.injected_faults.KINDS`.
        :param spec: further fields of :class:`~thousandeyes_provider.simulator.injected_faults.InjectedFault`:
            ``test_id``, ``result_type``, ``times``, ``skip``, ``status``, ``headers``, ``body``, ``title``, ``detail``,
            ``seconds``, ``started``.
        :raises ValueError: for an unknown name or an invalid value; the message lists the choices.
        """
        fault = InjectedFault.from_json({"operation": operation, "kind": kind, **spec})
        with self._service.lock:
            self._service.faults.add(fault)
        return fault

    def clear_faults(self, *faults: InjectedFault) -> None:
        """Remove faults that :meth:`fail` injected.

        :param faults: return values of :meth:`fail`; without arguments all faults are removed.
        """
        with self._service.lock:
            for fault in faults:
                self._service.faults.remove(fault)
            if not faults:
                self._service.faults.clear()

    def throttle(
        self,
        times: int = 1,
        seconds: float = 60.0,
        operation: str | None = None,
        *,
        bucket: str | None = None,
    ) -> None:
        """Refuse the next requests with 429.

        :param times: number of requests.
        :param seconds: simulated seconds until the announced reset.
        :param operation: only requests of this operation; ``None``: of any operation.
        :param bucket: exhausted rate limit, ``"organization"`` or ``"instant"``. By default the one that applies to the
            operation.
        """
        self._service.throttle(times, seconds, operation, bucket)

    # request log

    @property
    def requests(self) -> list[LoggedRequest]:
        """The last 100,000 requests to the API. The log contains no tokens and no bodies."""
        with self._service.lock:
            return list(self._service.log)

    def count(self, operation: str | None = None, test_id: str | None = None) -> int:
        """Return the number of requests received, with any response.

        :param operation: only requests of this operation.
        :param test_id: only requests for this test.
        """
        return self._service.count(operation, test_id)

    def run_calls(self, test_id: str) -> int:
        """Return the number of run requests for a test, with any response.

        The length of :meth:`rounds` is the number of runs that started.
        """
        return self._service.count("run", test_id)
