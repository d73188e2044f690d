"""Arguments of operators and sensor: errors are reported together, with suggestions and the line of the DAG."""

from __future__ import annotations

import pytest

from airflow.providers.common.compat.sdk import DAG, AirflowFailException
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator, RunInstantTestOperator
from thousandeyes_provider.operators.options import unknown_arguments
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor


def problems(kind, **arguments):
    """Return the lines of the error of a task with these arguments."""
    with pytest.raises(ThousandEyesConfigurationError) as failure:
        kind(task_id="validate", **arguments)
    return str(failure.value).splitlines()


class TestOneError:
    def test_all_problems_are_reported_together(self):
        first, *lines = problems(
            RunInstantTestOperator,
            test_id="",
            test_type="http_server",
            on_failed="ignore",
            on_faild="skip",
            timeout="soon",
            checks={"http-server": {"responseTme": {"leq_to": 1}}},
        )
        assert first.endswith("RunInstantTestOperator 'validate': 6 invalid arguments:")
        assert [line.split(":")[0].split("=")[0].removeprefix("- ") for line in lines] == [
            "on_faild",
            'checks["http-server"]',
            "on_failed",
            "test_type",
            "timeout",
            "test_id",
        ]
        assert "did you mean 'on_failed'?" in lines[0]
        assert "did you mean" in lines[1]
        assert "expected one of fail, retry, skip, warn" in lines[2]
        assert "did you mean 'http-server'?" in lines[3]

    def test_a_single_problem_is_one_line(self):
        (line,) = problems(RunInstantTestOperator, test_id="1", grace=-1)
        assert line.endswith("grace=-1: expected seconds or a timedelta, 0 or more, at most a year")

    def test_the_line_of_the_dag_file_comes_first(self):
        (line,) = problems(RunInstantTestOperator, test_id="1", grace=-1)
        assert line.startswith(f"{__file__}:")
        assert ": RunInstantTestOperator 'validate': " in line

    def test_errors_at_run_time_have_no_line(self, simulator, worker):
        operator = RunInstantTestOperator(task_id="validate", test_id="{{ x }}")
        operator.test_id, operator.test_type = " ", "htp"
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            worker.execute(operator)
        assert str(failure.value).startswith("RunInstantTestOperator 'validate': 2 invalid arguments:")
        assert isinstance(failure.value, AirflowFailException)

    @pytest.mark.parametrize("kind", [CreateInstantTestOperator, InstantTestResultsSensor])
    def test_a_misspelt_argument_of_other_operators(self, kind):
        own = {"run": "{{ x }}"} if kind is InstantTestResultsSensor else {"from_test": "1"}
        (line,) = problems(kind, **own, max_agent_eror=1)
        assert "max_agent_eror: unknown argument; did you mean 'max_agent_errors'?" in line

    def test_positional_arguments_of_airflow_are_known(self):
        # On Airflow 2.11, task_id is positional.
        class Base:
            def __init__(self, task_id, owner="airflow", *, retries=0, **kwargs):
                pass

        arguments = {"task_id": "validate", "owner": "me", "retries": 1, "self": 1, "retires": 1}
        assert unknown_arguments(Base, arguments) == ["self", "retires"]

    def test_a_misspelt_key_of_default_args_is_ignored(self):
        with DAG("defaults", schedule=None, default_args={"pol_interval": 1, "poll_interval": 3}):
            assert RunInstantTestOperator(task_id="validate", test_id="1").poll_interval == 3


def within_itself():
    value = {}
    value["http-server"] = value
    return value


def nested(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


def multiplied():
    value = ["x"] * 10
    for _ in range(10):
        value = [value] * 10
    return {"http-server": value}


class TestStructures:
    """Structures and numbers of excessive size lead to a short error in bounded time."""

    @pytest.mark.parametrize("value", [within_itself(), nested(100_000), multiplied()], ids=lambda _: "")
    @pytest.mark.parametrize("name", ["checks", "compare_with", "expected_agents", "test_type", "grace"])
    def test_too_deep_or_too_large(self, name, value):
        (line,) = problems(RunInstantTestOperator, test_id="1", **{name: value})
        assert (
            f"{name}: nested more than 50 levels deep" in line or f"{name}: more than 100000 values" in line
        )

    @pytest.mark.parametrize("value", [within_itself(), nested(100_000), multiplied()], ids=lambda _: "")
    @pytest.mark.parametrize("name", ["definition", "overrides"])
    def test_too_deep_or_too_large_definition(self, name, value):
        others = {"from_test": "1"} if name == "overrides" else {"test_type": "http-server"}
        (line,) = problems(CreateInstantTestOperator, **others, **{name: value})
        assert (
            f"{name}: nested more than 50 levels deep" in line or f"{name}: more than 100000 values" in line
        )

    @pytest.mark.parametrize(
        "value", [10**5000, [10**5000], "x" * 300_000, ["x" * 300_000]], ids=lambda _: ""
    )
    @pytest.mark.parametrize("name", ["checks", "compare_with", "min_agents", "max_agent_errors", "timeout"])
    def test_long_values_are_shortened(self, name, value):
        assert sum(map(len, problems(RunInstantTestOperator, test_id="1", **{name: value}))) < 2000

    def test_many_problems_are_listed_in_part(self):
        checks = {f"type {number}": {} for number in range(200)}
        lines = problems(RunInstantTestOperator, test_id="1", checks=checks)
        assert lines[0].endswith("200 invalid arguments:")
        assert lines[-1] == "- and 160 more"
        assert len(lines) == 42


class TestUnusableTypes:
    """A value of any type leads to one of our errors, never to a TypeError."""

    VALUES = [
        [],
        {},
        object(),
        b"x",
        1j,
        float("nan"),
        float("inf"),
        -1,
        "\x00",
        [[]],
        {"a": {}},
        lambda: None,
    ]

    @pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
    @pytest.mark.parametrize(
        "argument",
        [
            "test_id",
            "test_type",
            "account_group_id",
            "thousandeyes_conn_id",
            "result_types",
            "min_agents",
            "grace",
            "max_agent_errors",
            "checks",
            "compare_with",
            "confirm_failures",
            "on_failed",
            "on_inconclusive",
            "snapshot_on_failure",
            "report_path",
            "wait_for_results",
            "dry_run",
            "poll_interval",
            "timeout",
            "queue_timeout",
            "deferrable",
        ],
    )
    def test_an_unusable_type_is_an_error_when_the_dag_is_parsed(self, argument, value):
        problem = argument
        try:
            RunInstantTestOperator(**{"task_id": "validate", "test_id": "1", argument: value})
        except ThousandEyesConfigurationError as error:
            problem = str(error)
        assert argument in problem

    @pytest.mark.parametrize(
        ("argument", "value"), [("test_type", []), ("on_failed", {}), ("on_inconclusive", [])]
    )
    def test_an_empty_structure_is_an_error(self, argument, value):
        (line,) = problems(RunInstantTestOperator, **{"test_id": "1", argument: value})
        assert f"{argument}={value!r}: expected one of" in line


class TestChecksBeforeTheRun:
    @pytest.mark.parametrize(
        ("checks", "more", "message"),
        [
            ({"http-server": {"responseTme": {"leq_to": 1}}}, {}, "responseTme"),
            ({"http-server": {"responseTime": {"change_leq_to": 0.2}}}, {}, "needs compare_with"),
            ({"rtp-server": {"mos": {"geq_to": 4}}}, {"test_type": "http-server"}, "no rtp-server results"),
            ({"http-server": {"responseTime": {"equal_to": "fast"}}}, {}, "responseTime"),
        ],
    )
    def test_detectable_errors_are_reported_when_the_dag_is_parsed(self, checks, more, message):
        assert message in "\n".join(problems(RunInstantTestOperator, test_id="1", checks=checks, **more))

    def test_an_unlisted_metric_with_the_flag_is_valid(self):
        checks = {"http-server": {"brandNewField": {"leq_to": 1, "unlisted": True}}}
        assert RunInstantTestOperator(task_id="validate", test_id="1", checks=checks).checks == checks

    def test_a_result_type_that_the_test_type_lacks(self):
        (line,) = problems(RunInstantTestOperator, test_id="1", test_type="dnssec", result_types=["network"])
        assert "a test of type dnssec has no network; expected one of dnssec" in line

    @pytest.mark.parametrize("rules", [{"loss": {"leq_to": 1}}, {"loss": {"leq_to": 1, "severity": "warn"}}])
    def test_result_types_without_one_that_the_checks_name(self, rules):
        checks = {"network": rules, "http-server": {"responseTime": {"leq_to": 1}}}
        (line,) = problems(RunInstantTestOperator, test_id="1", checks=checks, result_types=["http-server"])
        assert "result_types: http-server lacks network, which checks name" in line
        for fit in (None, ["network", "http-server", "path-vis"]):
            RunInstantTestOperator(task_id="validate", test_id="1", checks=checks, result_types=fit)

    def test_result_types_without_one_that_rendered_checks_name(self, simulator, worker_alone):
        test_id = simulator.add_test("http-server")
        checks = '{"network": {"loss": {"leq_to": 1}}}'
        operator = RunInstantTestOperator(
            task_id="validate", test_id=test_id, checks="{{ x }}", result_types="http-server"
        )
        operator.checks = checks
        with pytest.raises(ThousandEyesConfigurationError, match="http-server lacks network"):
            worker_alone.execute(operator)
        assert simulator.requests == []


class TestWithoutWaiting:
    """``wait_for_results=False`` returns the run handle: nothing is judged."""

    def test_confirming_runs_are_refused(self):
        arguments = {"test_id": "1", "wait_for_results": False}
        (line,) = problems(RunInstantTestOperator, **arguments, confirm_failures=3)
        assert "confirm_failures: 3 confirming runs need wait_for_results=True" in line
        RunInstantTestOperator(task_id="start", **arguments, confirm_failures=0)

    def test_arguments_without_effect_are_logged(self, simulator, worker, log, tmp_path):
        report = tmp_path / "report.xml"
        worker.rerun(
            simulator.add_test("http-server"),
            wait_for_results=False,
            on_failed="retry",
            report_path=str(report),
            checks={"http-server": {"responseTime": {"leq_to": 1}}},
        )
        assert "No effect with wait_for_results=False: on_failed, report_path. Give them to" in log()
        assert not report.exists()

    def test_defaults_are_not_logged(self, simulator, worker, log):
        worker.rerun(simulator.add_test("http-server"), wait_for_results=False, on_inconclusive="skip")
        assert "No effect" not in log()


class TestMapping:
    """``partial().expand()`` validates along the hierarchy of classes."""

    def test_arguments_can_be_partial_or_mapped(self):
        with DAG("mapped", schedule=None):
            RunInstantTestOperator.partial(task_id="a", poll_interval=5, on_failed="warn", retries=2).expand(
                test_id=["1", "2"]
            )
            RunInstantTestOperator.partial(task_id="b").expand_kwargs([{"test_id": "1", "min_agents": 2}])
            CreateInstantTestOperator.partial(task_id="c", test_type="http-server", grace=0).expand(
                definition=[{"url": "a", "agents": [1]}]
            )
            InstantTestResultsSensor.partial(task_id="d", on_inconclusive="warn", mode="reschedule").expand(
                run=[{"test_id": "1"}]
            )

    @pytest.mark.parametrize(
        "kind", [RunInstantTestOperator, CreateInstantTestOperator, InstantTestResultsSensor]
    )
    def test_a_misspelt_argument_is_an_error(self, kind):
        with DAG("misspelt", schedule=None), pytest.raises(TypeError, match="on_faild"):
            kind.partial(task_id="a", on_faild="warn")
