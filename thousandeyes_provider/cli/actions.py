"""The actions of the commands: functions of the parsed arguments that exit with a status code.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from thousandeyes_provider.api.coerce import inner_value, name_matcher, parse_structure
from thousandeyes_provider.api.expected_agents import Agent, agent_of, type_implied_by
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.api.rounds import app_link, newest_round, round_of
from thousandeyes_provider.api.run import Plan
from thousandeyes_provider.cli.commands import BACKTEST_DAYS, PROPOSE_DAYS, PROPOSE_ONE_IN
from thousandeyes_provider.validation.alert_rules import ConvertedRules, checks_from_rules
from thousandeyes_provider.validation.backtest import Backtest, Gate, Incident, incidents_from, judge_round
from thousandeyes_provider.validation.backtest import backtest as judge_history
from thousandeyes_provider.validation.backtest_report import backtest_report
from thousandeyes_provider.validation.baseline import baseline_from_rows
from thousandeyes_provider.validation.history import History
from thousandeyes_provider.validation.proposal import propose as propose_gate
from thousandeyes_provider.validation.samples import plain
from thousandeyes_provider.validation.summary import text_columns

if TYPE_CHECKING:
    from thousandeyes_provider.cli.history_reader import HistoryReader
    from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
    from thousandeyes_provider.hooks.results_reader import ResultsReader

log = logging.getLogger("thousandeyes_provider.cli")

PASSED, FAILED, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes; an error and a wrong option are inconclusive, too: nothing was judged."""

QUIET_LOGGERS = ("airflow.hooks.base", "airflow.models.connection")
"""Airflow 2.11 logs each connection that it reads, and a traceback when its database has no tables yet."""

MAX_ROWS = 20
"""Rows of a table of a backtest; JSON and the report have more."""

Rows = Sequence[Mapping[str, Any]]


def _command(action: Callable[[Namespace], int]) -> Callable[[Namespace], None]:
    """Turn an action into a command: one line for an error, the exit code, nothing but results on standard output."""

    @functools.wraps(action)
    def command(args: Namespace) -> None:
        try:
            code = _perform(action, args)
        except KeyboardInterrupt:
            cache = getattr(args, "cache", None)
            resume = f"; {cache} keeps what was read, the same call resumes" if cache else ""
            code = _error(f"interrupted{resume}", INTERRUPTED)
        sys.exit(code)

    return command


def _perform(action: Callable[[Namespace], int], args: Namespace) -> int:
    # The import takes long enough to be interrupted.
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

    output = sys.stdout
    try:
        with _logging_to_stderr():
            _check_folders(args)
            code = action(SimpleNamespace(**vars(args), stdout=output))  # type: ignore[arg-type]
        output.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        return PASSED
    except AirflowNotFoundException:
        return _error(
            f"connection {args.conn_id!r} is not defined: set AIRFLOW_CONN_{args.conn_id.upper()}, for example to "
            '\'{"conn_type": "thousandeyes", "password": "<token>"}\', or add it to Airflow',
            INCONCLUSIVE,
        )
    except (AirflowException, ValueError, OSError) as error:
        return _error(" ".join(str(error).split()) or type(error).__name__, INCONCLUSIVE)


def _check_folders(args: Namespace) -> None:
    """Refuse a file that cannot be written before anything is read."""
    for option in ("write", "report", "cache"):
        path = getattr(args, option, None)
        if path and "://" not in path and not os.access(folder := Path(path).absolute().parent, os.W_OK):
            raise ValueError(f"--{option} {path}: cannot write to the folder {folder}")


def _error(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr)
    return code


@contextlib.contextmanager
def _logging_to_stderr() -> Iterator[None]:
    """Send what Airflow and the provider print or log to standard error, one plain line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(lambda record: record.name not in QUIET_LOGGERS)
    root = logging.getLogger()
    before = root.handlers, root.level
    root.handlers, root.level = [handler], logging.WARNING
    log.setLevel(logging.WARNING)
    with _plain_structlog(), contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        finally:
            root.handlers, root.level = before


@contextlib.contextmanager
def _plain_structlog() -> Iterator[None]:
    """Let structlog, through which Airflow 3 logs, hand its lines to the standard logging."""
    try:
        import structlog
    except ImportError:
        yield
        return
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.stdlib.PositionalArgumentsFormatter(), structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


# -- listing -------------------------------------------------------------------------------------------------------


@_command
def tests(args: Namespace) -> int:
    """List the configured tests."""
    listed = _hook(args).list_tests(name=args.name, tags=args.tag or None, test_type=args.test_type)
    rows = [
        {
            "test_id": test.get("testId"),
            "test_name": test.get("testName"),
            "test_type": test.get("type"),
            "interval": test.get("interval"),
        }
        for test in listed
    ]
    _show(args, rows, "no tests")
    return PASSED


@_command
def agents(args: Namespace) -> int:
    """List the agents."""
    matches = name_matcher(args.name or "*")
    rows = [
        {
            "agent_id": agent.get("agentId"),
            "agent_name": agent.get("agentName"),
            "type": agent.get("agentType"),
            "state": agent.get("agentState") or ("online" if agent.get("enabled", True) else "disabled"),
            "country": agent.get("countryId"),
        }
        for agent in _hook(args).list_agents()
        if matches(str(agent.get("agentName", "")))
    ]
    _show(args, rows, "no agents")
    return PASSED


@_command
def quota(args: Namespace) -> int:
    """Show the rate limits as one read reports them."""
    hook = _hook(args)
    hook.list_account_groups()
    rows = [
        {
            "bucket": bucket,
            "limit": plain(limit.limit),
            "remaining": plain(limit.remaining),
            "resets_at": None if limit.reset is None else iso_time(limit.reset),
            "reserved": None if limit.limit is None else round(hook.reserved_share * limit.limit),
        }
        for bucket, limit in hook.quota().items()
    ]
    _show(args, rows, "no rate limits stated by the response")
    return PASSED


# -- judging -------------------------------------------------------------------------------------------------------


@_command
def check(args: Namespace) -> int:
    """Judge the newest round. Nothing is run."""
    arguments = _gate_arguments(args)
    gate = Gate.from_arguments(arguments)
    reader, plan = _plan(args, gate)
    newest = newest_round(chain(*reader.newest.values()))
    if newest is None:
        raise ValueError(f"test {args.test_id} has no {' or '.join(plan.directions)} rounds")
    # A result type that has no rows of this round yet must not be judged by its round before.
    rows = {
        name: [row for row in of_type if round_of(row) == newest] for name, of_type in reader.newest.items()
    }
    _check_names(args, gate, (agent_of(row) for row in chain(*reader.newest.values())))
    baseline = None
    if gate.checks.compares and arguments.get("compare_with"):
        source = arguments["compare_with"]
        before = reader.history(
            plan, str(source["test_id"]), gate.checks.result_types, str(source["window"]), newest - 1
        )
        baseline = baseline_from_rows(before, gate.checks, f"the {source['window']} before")
    judged = judge_round(newest, rows, gate, plan.expected, baseline)
    links = (app_link(row) for of_type in rows.values() for row in of_type)
    summary = {
        "verdict": judged.verdict.value,
        "test_id": plan.test_id,
        "test_name": plan.test_name,
        "round": iso_time(newest),
        "reason": judged.reason,
        "link": judged.link or next(filter(None, links), ""),
    }
    _show(args, [summary], "")
    return _exit_code(judged.verdict.value)


@_command
def run(args: Namespace) -> int:
    """Run an instant test with the operator's own code, and judge its round."""
    from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesError
    from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

    logging.getLogger().setLevel(logging.INFO)
    _find_connection(args.conn_id)
    try:
        operator = RunInstantTestOperator(
            task_id="run",
            test_id=args.test_id,
            test_type=args.test_type,
            thousandeyes_conn_id=args.conn_id,
            account_group_id=args.account_group_id,
            timeout=args.timeout,
            report_path=args.report,
            deferrable=False,
            **_gate_arguments(args),
        )
    except ThousandEyesConfigurationError as error:
        # Without the place of the task in a DAG file.
        raise ValueError(str(error).rpartition("RunInstantTestOperator 'run': ")[2]) from None
    # Airflow's wrapper of `execute` warns outside of a worker.
    execute = getattr(RunInstantTestOperator.execute, "__wrapped__", RunInstantTestOperator.execute)
    try:
        evidence: Any = execute(operator, _task_context())
    except ThousandEyesError as error:
        evidence = getattr(error, "evidence", None)
        if not evidence:
            raise
    rows = [
        {
            "verdict": evidence["verdict"],
            "test_id": evidence["test_id"],
            "test_name": evidence["test_name"],
            "summary": evidence["summary"],
            "link": evidence["links"].get("round"),
        }
    ]
    _show(args, rows if args.output == "table" else evidence, "")
    return _exit_code(evidence["verdict"])


def _task_context() -> Any:
    """The context of a task for an operator that runs outside of a DAG: XComs are kept while it runs."""
    xcoms: dict[str, Any] = {}
    instance = SimpleNamespace(
        xcom_push=lambda key, value: xcoms.__setitem__(key, value),
        xcom_pull=lambda task_ids=None, key="return_value", map_indexes=None: xcoms.get(key),
        dag_id="command_line",
        task_id="run",
        run_id="command_line",
        map_index=-1,
        try_number=1,
        max_tries=0,
    )
    return {"ti": instance}


def _exit_code(verdict: str) -> int:
    return {"passed": PASSED, "failed": FAILED}.get(verdict, INCONCLUSIVE)


# -- history -------------------------------------------------------------------------------------------------------


@_command
def backtest(args: Namespace) -> int:
    """Judge the rounds of the last days by a gate."""
    if args.report and not args.report.endswith(".html"):
        raise ValueError(f"--report {args.report}: expected a file name that ends with .html")
    arguments = _gate_arguments(args)
    if args.from_alert_rules and (
        given := [name for name in ("checks", "max_agent_errors") if name in arguments]
    ):
        raise ValueError(
            f"--from-alert-rules: not allowed with {' and '.join(given)} in --gate {args.gate}: the rules replace them"
        )
    reader, plan = _plan(args, Gate.from_arguments(arguments))
    if args.from_alert_rules:
        converted = _alert_rule_checks(reader.hook, plan)
        for part in converted.unconverted:
            print(f"not converted: {part}", file=sys.stderr)
        arguments = {**arguments, **converted.arguments()}
        reader, plan = _plan(args, Gate.from_arguments(arguments))
    gate = Gate.from_arguments(arguments)
    history = _read_history(args, reader, plan, BACKTEST_DAYS)
    _check_names(args, gate, (presence.agent for presence in history.agents.values()))
    incidents, notes = _incidents(reader.hook, plan, history)
    source = str((arguments.get("compare_with") or {}).get("test_id", plan.test_id))
    if source != plan.test_id:
        notes.append(
            f"compare_with names test {source}; here each round is compared with rounds of test {plan.test_id}"
        )
    outcome = judge_history(history, gate, incidents=incidents, notes=notes)
    if args.report:
        _write(Path(args.report), backtest_report(outcome))
        print(f"written: {args.report}", file=sys.stderr)
    if args.output == "table":
        _print(args, "\n".join(_backtest_lines(outcome, reader.hook.requests_sent)))
    else:
        _show(args, outcome.to_json(), "")
    return PASSED


@_command
def propose(args: Namespace) -> int:
    """Propose a gate from the rounds of the last days."""
    if args.from_alert_rules:
        history_options = {"--days": args.days, "--cache": args.cache, "--one-in": args.one_in}
        if given := [option for option, value in history_options.items() if value is not None]:
            raise ValueError(f"{given[0]}: not allowed with --from-alert-rules, which reads no history")
    one_in = PROPOSE_ONE_IN if args.one_in is None else args.one_in
    if one_in < 2:
        raise ValueError(f"--one-in {one_in}: expected a whole number from 2")
    reader, plan = _plan(args, Gate())
    if args.from_alert_rules:
        converted = _alert_rule_checks(reader.hook, plan)
        text, summary = converted.to_yaml(), [f"not converted: {part}" for part in converted.unconverted]
        result = {
            "arguments": converted.arguments(),
            "unconverted": [str(part) for part in converted.unconverted],
        }
    else:
        proposal = propose_gate(_read_history(args, reader, plan, PROPOSE_DAYS), rate=1 / one_in)
        text, summary = proposal.to_yaml(), proposal.summary()
        result = proposal.to_json()
    if args.write:
        _write(Path(args.write), text)
        for line in summary:
            print(line, file=sys.stderr)
        print(f"written: {args.write}", file=sys.stderr)
    if args.output != "table":
        _show(args, result, "")
    elif not args.write:
        _print(args, text.rstrip("\n"))
    return PASSED


def _read_history(args: Namespace, reader: ResultsReader, plan: Plan, default_days: int) -> History:
    from thousandeyes_provider.cli.history_reader import HistoryReader

    days = default_days if args.days is None else args.days
    if days < 1:
        raise ValueError(f"--days {days}: expected a whole number from 1")
    nested = {"header": "headers", "certificate": "sslCertificates"}
    history_reader = HistoryReader(
        reader.hook,
        plan,
        reader.expand,
        keep=sorted({nested[word] for words in reader.expand.values() for word in words}),
        cache=Path(args.cache) if args.cache else None,
    )
    with _progress(history_reader, f"Test {plan.test_id}"):
        history = history_reader.read(days)
    if not len(history):
        period = "day" if days == 1 else f"{days} days"
        raise ValueError(
            f"test {plan.test_id} has no {' or '.join(plan.directions)} rounds in the last {period}"
        )
    return history


@contextlib.contextmanager
def _progress(reader: HistoryReader, title: str) -> Iterator[None]:
    """A progress bar while a history is read, when standard error is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(title, total=None)
        reader.progress = lambda done, total: bar.update(task, completed=done, total=total)
        yield


def _incidents(
    hook: BlockingThousandEyesHook, plan: Plan, history: History
) -> tuple[list[Incident], list[str]]:
    """The alerts of the test and the events of the period, and what could not be read."""
    from thousandeyes_provider.exceptions import ThousandEyesApiError

    since, until = (datetime.fromtimestamp(at, UTC) for at in (history.rounds[0], history.rounds[-1]))
    incidents: list[Incident] = []
    notes = []
    reads: tuple[tuple[str, Callable[[], Rows]], ...] = (
        (
            "alert",
            lambda: [
                alert
                for state in ("trigger", "clear")
                for alert in hook.list_alerts(start_date=since, end_date=until, state=state)
                if _is_about(alert, plan.test_id)
            ],
        ),
        ("event", lambda: hook.list_events(start_date=since, end_date=until)),
    )
    for kind, read in reads:
        try:
            incidents += incidents_from(kind, read(), hook.server_now())
        except ThousandEyesApiError as error:
            notes.append(f"The {kind}s could not be read: {error}")
    return incidents, notes


def _is_about(alert: Mapping[str, Any], test_id: str) -> bool:
    """Whether an alert is of a test. Alerts name their test in a link only."""
    href = str(inner_value(alert, "_links", "test", "href"))
    return href.split("?")[0].rstrip("/").endswith(f"/{test_id}")


def _backtest_lines(outcome: Backtest, requests: int) -> Iterator[str]:
    history = outcome.history
    name = f" {history.test_name!r}" if history.test_name else ""
    yield f"Test {history.test_id}{name} ({history.test_type}): {outcome.summary()}"
    yield (
        f"{iso_time(history.rounds[0])} to {iso_time(history.rounds[-1])}, a round every {history.interval:g} s, "
        f"{len(history.gaps)} gaps, {len(history.agents)} agents; read with {requests} requests"
    )
    for title, rows in outcome.tables().items():
        yield f"\n{title}"
        yield from _table(rows[:MAX_ROWS])
        if len(rows) > MAX_ROWS:
            yield f"and {len(rows) - MAX_ROWS} more, see --output json"
    yield from (f"note: {note}" for note in outcome.notes)


# -- shared --------------------------------------------------------------------------------------------------------


@_command
def simulator(args: Namespace) -> int:
    """Serve the simulator until interrupted."""
    from thousandeyes_provider.simulator.__main__ import main

    with contextlib.redirect_stdout(args.stdout):
        return main(["--host", args.host, "--port", str(args.port), "--speed", str(args.speed)])


def _hook(args: Namespace) -> BlockingThousandEyesHook:
    from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

    _find_connection(args.conn_id)
    return ThousandEyesHook(args.conn_id, account_group_id=args.account_group_id)


def _find_connection(conn_id: str) -> None:
    """Let this process find a connection of Airflow's database, which Airflow 3 looks up in its servers only."""
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    if name in os.environ:
        return
    from airflow.models.connection import Connection

    # Without a database or connection, the hook reports the missing connection.
    with contextlib.suppress(Exception):
        os.environ[name] = Connection.get_connection_from_secrets(conn_id).as_json()


def _plan(args: Namespace, gate: Gate) -> tuple[ResultsReader, Plan]:
    """Return a reader for the test, and the known properties of the test."""
    from thousandeyes_provider.hooks.results_reader import ResultsReader

    wanted = gate.checks.result_types
    expand = {name: fields for name in wanted if (fields := gate.checks.expand_for(name))}
    reader = ResultsReader(_hook(args), log, expand=expand)
    test_type = args.test_type or type_implied_by(wanted)
    return reader, reader.plan(
        args.test_id, test_type=test_type, result_types=wanted or None, expected=gate.expected_agents
    )


def _check_names(args: Namespace, gate: Gate, agents: Iterable[Agent]) -> None:
    """Refuse names in ``expected_agents`` that several agents of the test have."""
    if gate.expected_agents and (problems := gate.expected_agents.ambiguous_names(agents)):
        raise ValueError(f"--gate {args.gate}: expected_agents: {'; '.join(problems)}")


def _gate_arguments(args: Namespace) -> dict[str, Any]:
    """The operator arguments of ``--gate``; a file of checks alone is taken as ``checks``."""
    if not args.gate:
        return {}
    try:
        content = parse_structure(Path(args.gate).read_text(), yaml=True)
    except OSError as error:
        raise ValueError(f"--gate {args.gate}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"--gate {args.gate}: {error}") from None
    if not isinstance(content, Mapping):
        raise ValueError(
            f"--gate {args.gate}: expected operator arguments or checks, got {type(content).__name__}"
        )
    if content and set(content) <= set(RESULT_TYPES):
        content = {"checks": dict(content)}
    known = (
        "checks",
        "compare_with",
        "confirm_failures",
        "min_agents",
        "max_agent_errors",
        "expected_agents",
        "grace",
    )
    if unknown := [str(name) for name in content if name not in known]:
        raise ValueError(
            f"--gate {args.gate}: unknown argument {'; '.join(unknown)}; known: {'; '.join(known)}"
        )
    return dict(content)


def _alert_rule_checks(hook: BlockingThousandEyesHook, plan: Plan) -> ConvertedRules:
    rules = hook.list_alert_rules(plan.test_id)
    if not rules:
        raise ValueError(f"no alert rule applies to test {plan.test_id}")
    return checks_from_rules(rules, plan.test_type, plan.expected.count or 1)


def _write(path: Path, text: str) -> None:
    """Write a file as a whole: it is there with all of its content, or as before."""
    with tempfile.NamedTemporaryFile("w", dir=path.absolute().parent, delete=False) as file:
        try:
            file.write(text)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _show(args: Namespace, result: Any, empty: str) -> None:
    """Print a result in the requested format."""
    if args.output == "json":
        _print(args, json.dumps(result, indent=2))
    elif args.output == "yaml":
        _print(args, yaml.safe_dump(result, sort_keys=False).rstrip("\n"))
    else:
        _print(args, "\n".join(_table(result)) if result else empty)


def _print(args: Namespace, text: str) -> None:
    print(text, file=args.stdout)


def _table(rows: Rows) -> list[str]:
    """Rows with aligned columns, not shortened: a terminal wraps, a file keeps."""
    cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
    return text_columns([list(rows[0]), *cells])
