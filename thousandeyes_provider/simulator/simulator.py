"""The simulator inside a Python process: a server in a thread of its own, and everything that steers it."""

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
    """A simulated ThousandEyes on a loopback port.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. It can be set up before.
    Every method may be called from any thread, also while requests are answered.

    :param port: 0 for a free one.
    :param tokens: the bearer tokens that are accepted; ``None``: any.
    :param speed: by how much simulated durations (agents' delays, rate limit windows, throttles, busy runs,
        snapshot windows) are shorter than they say. The clock always goes at its real pace.
    :param seed: what the figures are made from: the same seed, the same figures.
    :param default_tests: whether it begins with one test of each type (ids 202701 to 202712).
    :param switches: fields of :class:`~thousandeyes_provider.simulator.switches.Switches`.
    :raises ValueError: for anything that is not one of the choices, naming them.
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
            raise ValueError("tokens: a list of tokens, not a single text")
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

    # life

    def start(self) -> Simulator:
        """Serve, in a daemon thread; returns when requests are answered.

        :raises OSError: when the port is taken.
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
        """Stop serving; what has been recorded stays readable."""
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
        """Back to how it was when it was made: tests, rounds, switches, quota, faults, log."""
        with self._service.lock:
            self._service.reset(self._world())

    # address

    @property
    def port(self) -> int:
        """The port on which it serves.

        :raises RuntimeError: when it does not serve.
        """
        if self._port is None:
            raise RuntimeError("the simulator is not started")
        return self._port

    @property
    def url(self) -> str:
        """Its base URL, without a path; ``/v7`` is possible behind it and not needed."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    @property
    def token(self) -> str:
        """A bearer token that is accepted."""
        return self._tokens[0] if self._tokens else DEFAULT_TOKEN

    def connection(self, **extra: Any) -> dict[str, Any]:
        """The fields of an Airflow connection to it; as JSON the value of an ``AIRFLOW_CONN_…`` variable.

        :param extra: further extras of the connection, as ``retry_limit=2``; ``trust_env`` is false so that
            no proxy of the environment is asked for a loopback address.
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
        """Add a test; an instant one unless it is said to be scheduled.

        :param test_type: a name from ``TEST_TYPES``.
        :param test_id: its id; without one it gets a new one.
        :param spec: what else :meth:`World.add_test` takes: ``name``, ``agents`` (ids, names, or a count),
            ``dns_servers``, ``direction``, ``target_agent``, ``network_measurements``, ``account_group_id``,
            ``scheduled``, ``tags`` (each ``key:value``, of scheduled tests), ``definition``,
            ``history`` (ages in seconds; by itself one round 5 minutes old), ``switches``,
            ``next_runs``, ``outcomes``, ``condition``, ``metrics``, ``delays``, ``silent``, ``failed_step``.
        :returns: its id.
        :raises ValueError: for anything that is not one of the choices, naming them.
        """
        with self._service.lock:
            return self._service.world.add_test(
                time.time(), test_type=test_type, test_id=test_id, **spec
            ).test_id

    def change_test(self, test_id: str, **spec: Any) -> None:
        """Change a test, with the names that :meth:`add_test` takes; for rounds that start from now on.

        ``switches`` adds to those that the test has; anything else that is given replaces what was there.
        """
        with self._service.lock:
            self._service.world.change_test(self._test(test_id), **spec)

    def add_history(self, test_id: str, **traits: Any) -> HistorySummary:
        """Give a test a realistic history of weeks, in place of the rounds with which it began.

        The history has day and night, slow agents, heavy tails, single errors, outages, an agent that stops reporting
        and a release that makes everything slower. It goes on for a day. Rows are made when they are read.

        :param traits: fields of :class:`~thousandeyes_provider.simulator.generated_history.HistoryTraits`, such as
            ``days=28, interval=300, seed=1``.
        :returns: what the history contains, for a comparison with what a client detects in it.
        :raises ValueError: for an unknown test or field, and a value out of range.
        """
        with self._service.lock:
            return self._service.world.add_history(time.time(), self._test(test_id), **traits)

    def set_switches(self, **switches: Any) -> None:
        """Change switches of the whole API, from now on."""
        with self._service.lock:
            world = self._service.world
            world.switches = world.switches.changed(switches)

    @property
    def switches(self) -> Switches:
        """The switches that are in force for the whole API."""
        return self._service.world.switches

    def add_agent(self, name: str, **spec: Any) -> SimulatedAgent:
        """Add an agent: ``agent_id``, ``agent_type``, ``state``, ``location``, ``country_id``, ``latitude``,
        ``longitude``."""
        with self._service.lock:
            return self._service.world.add_agent(name=name, **spec)

    def change_agent(self, agent: str, state: str) -> SimulatedAgent:
        """Set the state of an agent (id or name): ``online``, ``offline`` or ``disabled``.

        An agent that is not online reports nothing in rounds that start from now on.
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
        :raises ValueError: for a tag of another form, and a test that cannot have it.
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
        :raises ValueError: for an unknown test or field, and a value out of range.
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
        :raises ValueError: for an unknown rule or test, and a value out of range.
        """
        with self._service.lock:
            return self._service.world.add_alert(
                time.time(), rule_id, test_id, ago=ago, lasted=lasted, violation_count=violation_count
            ).alert_id

    def add_event(self, title: str, *, ago: float, lasted: float | None = None, **spec: Any) -> str:
        """Add an event.

        :param title: what a person reads.
        :param ago: seconds since the event started.
        :param lasted: seconds that it lasted; ``None``: it is still active.
        :param spec: further fields of :class:`~thousandeyes_provider.simulator.simulated_alerts.SimulatedEvent`.
        :returns: id of the event.
        :raises ValueError: for an unknown field, and a value out of range.
        """
        with self._service.lock:
            return self._service.world.add_event(time.time(), title, ago=ago, lasted=lasted, **spec).event_id

    # rounds

    def run(self, test_id: str, by: str = "somebody else", **conduct: Any) -> int | None:
        """Run a test without the API: no request, no quota.

        :param by: who does.
        :param conduct: ``outcomes``, ``condition``, ``metrics``, ``delays``, ``silent``, ``failed_step``: for this
            round alone.
        :returns: the id of the new round; ``None`` when the run was merged into the one that is going on.
        :raises Busy: when one is going on and the switches answer that with 409.
        """
        with self._service.lock:
            started = self._service.world.run(self._test(test_id), time.time(), by, **conduct)
            return None if started is None else started.round_id

    def rounds(self, test_id: str) -> list[RoundState]:
        """The rounds of a test, the oldest first."""
        with self._service.lock:
            return self._service.world.round_states(self._test(test_id), time.time())

    def _test(self, test_id: str) -> SimulatedTest:
        tests = self._service.world.tests
        if str(test_id) not in tests:
            raise ValueError(f"no test {test_id!r}; known: {', '.join(tests)}")
        return tests[str(test_id)]

    # what goes wrong

    def target(self, name: str, condition: Any) -> None:
        """Let something be the matter with a target, in rounds that start from now on and for all tests of it.

        ``simulator.target("www.example.com", "down")``, ``target("ns1.example.net", "slow:5")``,
        ``target("www.example.com", {"vienna-office-1": "lossy"})``. A single test has it by ``condition=…`` in
        :meth:`add_test`, :meth:`change_test` and :meth:`run`, which counts for more.

        :param name: a host, also as a URL or with a port; a domain; a DNS server; an agent (id or name) that others
            measure towards.
        :param condition: from :data:`~thousandeyes_provider.simulator.conditions.CONDITIONS`; ``"ok"`` resets it. A
            dict by agent (id or name), by result type, or nested, where it is not the same for all.
        :raises ValueError: for anything that is not one of the choices, naming them.
        """
        with self._service.lock:
            self._service.world.set_target(name, condition)

    def fail(self, operation: str, kind: str = "status", **spec: Any) -> InjectedFault:
        """Let something go wrong with the next request of an operation (``*``: any).

        :param kind: a name from :data:`~thousandeyes_provider.simulator.injected_faults.KINDS`.
        :param spec: what else a :class:`~thousandeyes_provider.simulator.injected_faults.InjectedFault` takes:
            ``test_id``, ``result_type``, ``times``, ``skip``, ``status``, ``headers``, ``body``, ``title``, ``detail``,
            ``seconds``, ``started``.
        :raises ValueError: for anything that is not one of the choices, naming them.
        """
        fault = InjectedFault.from_json({"operation": operation, "kind": kind, **spec})
        with self._service.lock:
            self._service.faults.add(fault)
        return fault

    def clear_faults(self, *faults: InjectedFault) -> None:
        """Stop faults that :meth:`fail` injected.

        :param faults: what :meth:`fail` returned; all faults without any.
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
        """Answer the next requests (of an operation) with 429.

        :param times: how many.
        :param seconds: how far ahead the announced reset is, in simulated seconds.
        :param bucket: ``"organization"`` or ``"instant"``; by itself what fits the operation.
        """
        self._service.throttle(times, seconds, operation, bucket)

    # what was seen

    @property
    def requests(self) -> list[LoggedRequest]:
        """The log of all requests to the API (the last 100,000). It has no token and no bodies."""
        with self._service.lock:
            return list(self._service.log)

    def count(self, operation: str | None = None, test_id: str | None = None) -> int:
        """How many requests (of an operation, about a test) came in, whatever was answered."""
        return self._service.count(operation, test_id)

    def run_calls(self, test_id: str) -> int:
        """How often the run of a test was asked for by the API, whatever was answered.

        How many runs began is the length of :meth:`rounds`.
        """
        return self._service.count("run", test_id)
