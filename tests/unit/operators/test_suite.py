"""Selection of the tests of a suite, and arguments of suites."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest

from airflow.providers.common.compat.sdk import DAG, TaskGroup, task_group
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook
from thousandeyes_provider.operators.options import SuiteOptions, parse_options
from thousandeyes_provider.operators.suite import (
    SelectTestsOperator,
    SuiteVerdictOperator,
    instant_test_suite,
)


def evidence_of(test_id, name, verdict):
    return {
        "verdict": verdict,
        "test_id": test_id,
        "test_name": name,
        "agents": {},
        "checks": [],
        "failed_agents": [],
    }


@pytest.fixture
def select(worker_alone):
    """A function that selects tests and returns the arguments of the runs."""

    def select(**arguments):
        return worker_alone.execute(SelectTestsOperator(task_id="select", **arguments))

    return select


@pytest.fixture
def services(simulator):
    """Scheduled tests with tags, by name."""
    return {
        name: simulator.add_test(test_type, name=name, scheduled=True, tags=tags)
        for name, test_type, tags in [
            ("Checkout", "http-server", ["service:checkout", "tier:1"]),
            ("Checkout page", "page-load", ["service:checkout"]),
            ("Search", "http-server", ["service:search", "tier:1"]),
        ]
    }


class TestSelection:
    def test_selection_by_tag_takes_at_most_three_requests(self, simulator, select):
        for number in range(2000):
            simulator.add_test("http-server", scheduled=True, tags=[f"service:{number % 300}"])
        runs = select(tags="service:7")
        assert len(runs) == 7
        assert len(simulator.requests) <= 3

    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            ({"tags": "service:checkout"}, {"Checkout", "Checkout page"}),
            ({"tags": ["service:checkout", "tier:1"]}, {"Checkout"}),
            (
                {"tags": ["service:checkout", "tier:1"], "match_tags": "any"},
                {"Checkout", "Checkout page", "Search"},
            ),
            ({"tags": "service", "test_type": "http-server"}, {"Checkout", "Search"}),
            ({"tags": "service:checkout", "exclude": "*page"}, {"Checkout"}),
            ({"names": ["checkout*"]}, {"Checkout", "Checkout page"}),
            ({"names": '["Search"]'}, {"Search"}),
            ({"names": ["No such*"]}, set()),
        ],
    )
    def test_tests_are_selected_by_tags_and_names(self, services, select, arguments, names):
        runs = select(**arguments)
        assert {run["from_test"] for run in runs} == {services[name] for name in names}

    @pytest.mark.parametrize("absent", [None, "", "None", " , "])
    def test_an_absent_argument_selects_nothing(self, services, select, absent):
        runs = select(names="Search", tags=absent, from_tests=absent, exclude=absent, test_ids=absent)
        assert [run["from_test"] for run in runs] == [services["Search"]]

    def test_a_text_with_commas_may_have_empty_entries(self, select):
        assert select(test_ids="1,, 2,None,") == [{"test_id": "1"}, {"test_id": "2"}]

    def test_ids_are_added_to_what_a_tag_selects(self, services, select):
        runs = select(from_tests=[services["Search"]], tags="service:checkout")
        assert {run["from_test"] for run in runs} == set(services.values())

    def test_tests_to_rerun_need_no_request(self, simulator, select):
        assert select(test_ids="202703, 202704", exclude=["202704"]) == [{"test_id": "202703"}]
        assert simulator.requests == []

    def test_overrides_apply_to_single_tests_and_the_last_takes_precedence(self, services, select):
        overrides = {"Checkout*": {"min_agents": 2, "blocking": False}, "checkout page": {"min_agents": 3}}
        runs = select(tags="service", overrides=overrides, defaults={"min_agents": 1})
        assert {run["from_test"]: run["min_agents"] for run in runs} == {
            services["Checkout"]: 2,
            services["Checkout page"]: 3,
            services["Search"]: 1,
        }
        assert not any("blocking" in run for run in runs)

    def test_all_tests_to_rerun_can_have_overrides(self, select):
        assert select(test_ids=["1", "2"], overrides={"*": {"grace": 5}, "2": {"grace": 9}}) == [
            {"test_id": "1", "grace": 5},
            {"test_id": "2", "grace": 9},
        ]

    @pytest.mark.parametrize(
        ("arguments", "warning"),
        [
            ({"exclude": "Ads*"}, "exclude: 'Ads*' matches none of the 2 selected tests"),
            (
                {"overrides": {"Search": {"grace": 5}}},
                "overrides: 'Search' matches none of the 2 selected tests",
            ),
        ],
    )
    def test_a_pattern_that_matches_no_selected_test_is_logged(
        self, services, select, log, arguments, warning
    ):
        assert len(select(tags="service:checkout", **arguments)) == 2
        assert warning in log()

    def test_a_type_without_an_instant_form_is_skipped_with_a_warning(self, select, log, monkeypatch):
        tests = [
            {"testId": "1", "testName": "Good", "type": "http-server"},
            {"testId": "2", "testName": "Routes", "type": "bgp"},
        ]
        monkeypatch.setattr(ThousandEyesHook, "list_tests", lambda hook: tests)
        assert [run["from_test"] for run in select(names=["*"])] == ["1"]
        assert "1 tests left out, their types have no instant form: Routes (bgp)" in log()


class TestRefused:
    """No test is run. The error names the argument and similar values."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"tags": "service:chekout"}, r"service:chekout.*service:checkout"),
            ({"names": ["Serch"]}, r"names: no test 'Serch' in GET /tests; did you mean 'Search'\?"),
            ({"from_tests": "1"}, r"from_tests: no test '1' in GET /tests"),
            (
                {"names": "*", "overrides": {"Serch": {"min_agents": 1}}},
                r"overrides: no test 'Serch' in GET /tests; did you mean 'Search'\?",
            ),
            (
                {"names": "*", "overrides": {"999": {}}, "exclude": "Chekout"},
                r"exclude: no test 'Chekout' .*'Checkout'\?; overrides: no test '999' in GET /tests",
            ),
            (
                {"test_ids": "202703", "overrides": {"20270S": {"min_agents": 1}}},
                r"overrides: no id '20270S' in test_ids, whose names are not known; did you mean '202703'\?",
            ),
            (
                {"test_ids": "202703", "overrides": {"Checkout*": {}}, "exclude": ["202704"]},
                r"exclude: no id '202704' in test_ids.*; overrides: no id 'Checkout\*' in test_ids",
            ),
            (
                {"from_tests": "{Checkout page}", "test_type": "http-server"},
                r"from_tests: test \d+ 'Checkout page' is of type page-load, but test_type='http-server'",
            ),
            ({"tags": "service", "max_tests": 2}, r"3 tests selected, max_tests allows 2; nothing was run"),
        ],
    )
    def test_invalid_selections_are_refused(self, services, select, arguments, message):
        if "from_tests" in arguments:
            arguments = {**arguments, "from_tests": arguments["from_tests"].format(**services)}
        with pytest.raises(ThousandEyesConfigurationError, match=message):
            select(**arguments)

    def test_the_limit_of_the_organization_is_enforced(self, services, select, configure):
        configure(max_runs_per_dag_run=2)
        with pytest.raises(ThousandEyesConfigurationError, match="max_runs_per_dag_run allows 2"):
            select(tags="service")

    def test_the_limit_of_airflow_is_enforced(self, services, select, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
        with pytest.raises(ThousandEyesConfigurationError, match="max_map_length allows 2"):
            select(tags="service")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "test_ids, from_tests, names, tags: give at least one of them"),
            ({"test_ids": ["1"], "tags": ["a:b"]}, "use two suites"),
            ({"test_ids": ["1"], "max_tests": 0}, "max_tests=.*1 or more"),
            ({"test_ids": {"a": 1}}, "test_ids=.*expected a list of texts"),
            ({"test_ids": [True]}, "test_ids=.*expected a list of texts"),
            (
                {"test_ids": ["202703", "None"]},
                "test_ids=.*entry 2 is empty; expected an id, a name or a tag",
            ),
            ({"names": "Shop*", "tags": [""]}, "tags=.*entry 1 is empty"),
            ({"from_tests": '["1", null]'}, "from_tests=.*entry 2 is empty"),
            ({"names": "*", "exclude": ["1", " "]}, "exclude=.*entry 2 is empty"),
            ({"tags": ["a:b"], "match_tags": "some"}, "match_tags=.*all, any"),
            (
                {"test_ids": ["1"], "overrides": {"1": {"blocking": "no"}}},
                "overrides: '1': 'blocking' is True or False",
            ),
            (
                {"test_ids": ["1"], "overrides": [1]},
                "overrides: expected a dict of arguments by name, got list",
            ),
            ({"test_ids": ["1"], "overrides": {"1": 7}}, "overrides: '1': expected a dict .*, got int"),
            ({"test_ids": ["1"], "overrides": {1: {}}}, "overrides: expected names as text, got 1"),
        ],
    )
    def test_invalid_arguments_are_refused_when_the_dag_is_parsed(self, arguments, message):
        with pytest.raises(ThousandEyesConfigurationError, match=message):
            SelectTestsOperator(task_id="select", **arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"min_passed": 1.5}, "min_passed"),
            ({"expected": -1}, "expected=-1: expected a number, a list of test ids"),
            ({"expected": [None]}, "expected: expected a number, a list of test ids"),
            ({"expected": "many"}, "expected: expected a number, a list of test ids"),
            ({"expected": "True"}, "expected=.*: expected a number, a list of test ids"),
            ({"on_failed": "retry"}, "on_failed=.*fail, skip, warn"),
            ({"shadow": "maybe"}, "shadow=.*"),
            ({"report_path": "gate.pdf"}, "report_path=.*"),
            ({"blocking": {"1": "no"}}, "blocking=.*expected True or False for each"),
        ],
    )
    def test_invalid_arguments_of_the_verdict_are_refused_when_the_dag_is_parsed(self, arguments, message):
        with pytest.raises(ThousandEyesConfigurationError, match=message):
            SuiteVerdictOperator(task_id="verdict", results=[], **arguments)

    def test_unreadable_results_are_refused(self, worker_alone):
        operator = SuiteVerdictOperator(
            task_id="verdict", results="{{ params.runs }}", on_inconclusive="warn"
        )
        operator.results = "[{'verdict': "
        with pytest.raises(
            ThousandEyesConfigurationError, match=r"results=.*not JSON.*expected the evidence"
        ):
            worker_alone.execute(operator)

    def test_arguments_that_the_suite_sets_are_refused(self):
        with pytest.raises(
            ThousandEyesConfigurationError, match="wait_for_results cannot be set for the runs"
        ):
            instant_test_suite("gate", test_ids=["1"], wait_for_results=False)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"max_agent_error": 1}, r"'max_agent_error'; did you mean 'max_agent_errors'\?"),
            (
                {"account_group_id": "7"},
                "overrides cannot set 'account_group_id'.*; expected some of checks, ",
            ),
            ({"retries": 2}, "overrides cannot set 'retries'"),
            ({"on_failed": "fail", "definition": {}}, "overrides cannot set 'definition', 'on_failed'"),
        ],
    )
    def test_overrides_that_a_run_cannot_have_are_refused(self, arguments, message):
        with DAG("dag", schedule=None), pytest.raises(ThousandEyesConfigurationError, match=message):
            instant_test_suite("gate", from_tests=["1"], overrides={"1": arguments})

    def test_a_mapped_group_is_refused(self):
        def build(test_id):
            instant_test_suite("gate", test_ids=[test_id])

        with DAG("mapped", schedule=None):
            group = task_group(build)
            with pytest.raises(ThousandEyesConfigurationError, match="mapped task group"):
                group.expand(test_id=["1", "2"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), ("", None), ("None", None), (3, 3), ("3", 3), (0.8, 0.8), ("0.8", 0.8), (1.0, 1.0)],
)
def test_min_passed_is_a_count_or_a_fraction(given, expected):
    task = SuiteVerdictOperator(task_id="verdict", results=[], min_passed=given)
    assert parse_options(task, SuiteOptions, {}).min_passed == expected


@pytest.mark.parametrize("value", [0, -1, 0.0, 1.5, "1.5", True, [], "most"])
def test_other_values_of_min_passed_are_refused(value):
    with pytest.raises(
        ThousandEyesConfigurationError, match=r"expected a count from 1 or a fraction above 0\.0"
    ):
        SuiteVerdictOperator(task_id="verdict", results=[], min_passed=value)


def test_a_suite_is_a_group_of_three_tasks():
    with DAG("dag", schedule=None) as dag:
        gate = instant_test_suite(
            "gate", tags=["service:checkout"], timeout=60, overrides={"1": {"timeout": 90}}
        )
    assert isinstance(gate, TaskGroup)
    assert set(dag.task_ids) == {"gate.select", "gate.run", "gate.verdict"}
    assert dag.get_task("gate.select").defaults == {"timeout": 60}


@pytest.mark.parametrize(
    ("given", "default"), [({}, {"deferrable": True}), ({"deferrable": False}, {"deferrable": False})]
)
def test_single_runs_may_wait_on_the_worker(given, default):
    with DAG("dag", schedule=None) as dag:
        instant_test_suite("gate", from_tests=["1"], overrides={"1": {"deferrable": False}}, **given)
    assert dag.get_task("gate.select").defaults == default
    run = dag.get_task("gate.run").unmap({"from_test": "1", "deferrable": False})
    assert run.deferrable is False


class TestRenderedText:
    """Airflow renders a template to the text of a Python value, unless the DAG renders native objects."""

    @pytest.mark.parametrize("as_text", [str, json.dumps])
    @pytest.mark.parametrize("expected", ["1", "['11']", '["11"]', "[{'from_test': '11'}]", "None", ""])
    def test_results_and_expected_are_read(self, worker_alone, as_text, expected):
        operator = SuiteVerdictOperator(
            task_id="verdict", results="{{ params.runs }}", expected="{{ params.n }}", on_failed="warn"
        )
        operator.results = as_text([evidence_of("11", "Payment", "failed")])
        operator.expected = expected
        result = worker_alone.execute(operator)
        assert (result["verdict"], result["expected_count"]) == ("failed", 1)

    @pytest.mark.parametrize("results", ["", "None", "[]"])
    def test_absent_results_are_inconclusive(self, worker_alone, results):
        operator = SuiteVerdictOperator(task_id="verdict", results=results, on_inconclusive="warn")
        assert worker_alone.execute(operator)["verdict"] == "no_results"


class TestSecrets:
    """Definitions in overrides and defaults hold credentials."""

    SECRET = "hunter2-S3cret"
    DEFINITION: ClassVar = {"password": SECRET, "customHeaders": {"root": {"X-Key": "k3y-S3cret"}}}

    @pytest.fixture
    def masked(self, monkeypatch):
        """The values that Airflow was asked to mask."""
        from thousandeyes_provider.hooks import base_hook

        outcome = []
        monkeypatch.setattr(base_hook, "mask_secret", outcome.append)
        return outcome

    @pytest.mark.parametrize(
        "arguments",
        [
            {"overrides": {"1": {"overrides": DEFINITION, "blocking": "no"}}},
            {"overrides": {1: {"overrides": DEFINITION}}},
            {"overrides": {"1": [DEFINITION]}},
            {"defaults": [{"overrides": DEFINITION}]},
        ],
    )
    def test_errors_do_not_repeat_them(self, arguments):
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            SelectTestsOperator(task_id="select", test_ids=["1"], **arguments)
        assert self.SECRET not in str(failure.value)

    def test_errors_of_the_verdict_do_not_repeat_them(self):
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            SuiteVerdictOperator(
                task_id="v", results=[], expected=[{"from_test": "1", "overrides": self.DEFINITION}, "2"]
            )
        assert self.SECRET not in str(failure.value)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"overrides": {"*": {"overrides": DEFINITION, "grace": 5}}},
            {"defaults": {"overrides": DEFINITION}},
            {"defaults": {"overrides": json.dumps(DEFINITION)}},
        ],
    )
    def test_selection_masks_them(self, select, masked, arguments):
        (run,) = select(test_ids=["1"], **arguments)
        assert run["overrides"] == self.DEFINITION
        assert self.SECRET in masked

    def test_rendered_overrides_are_masked(self, masked):
        operator = SelectTestsOperator(
            task_id="select", test_ids=["1"], overrides={"1": {"overrides": {"password": "{{ params.p }}"}}}
        )
        assert masked == []
        operator.overrides = {"1": {"overrides": {"password": self.SECRET}}}
        assert masked == [self.SECRET]

    def test_the_verdict_keeps_only_the_ids_of_the_selection(self):
        operator = SuiteVerdictOperator(task_id="verdict", results=[], expected="{{ params.selected }}")
        operator.expected = [{"from_test": "1", "overrides": self.DEFINITION}, {"test_id": "2"}]
        assert operator.expected == ("1", "2")


class TestBlockingOverrides:
    def verdict(self, **arguments):
        with DAG("dag", schedule=None) as dag:
            instant_test_suite("gate", names="*", **arguments)
        return dag.get_task("gate.verdict")

    @pytest.mark.parametrize(
        ("blocking", "verdict"), [({"Pay*": True}, "failed"), ({"Pay*": True, "payment": False}, "passed")]
    )
    def test_the_last_override_that_fits_takes_precedence(self, worker_alone, blocking, verdict):
        overrides = {"*": {"blocking": False}, "Search": {"blocking": True}}
        overrides |= {pattern: {"blocking": flag} for pattern, flag in blocking.items()}
        operator = self.verdict(overrides=overrides, on_failed="warn")
        tests = {"11": ("Payment", "failed"), "12": ("Search", "passed"), "13": ("Ads", "failed")}
        operator.results = [evidence_of(test_id, name, value) for test_id, (name, value) in tests.items()]
        operator.expected = list(tests)
        assert worker_alone.execute(operator)["verdict"] == verdict

    @pytest.mark.parametrize("non_blocking", ["Pay*", ["Pay*"], '["Pay*"]', "Pay*, Ads"])
    def test_non_blocking_tests_may_be_a_text(self, worker_alone, non_blocking):
        operator = self.verdict(non_blocking=non_blocking)
        operator.results = [evidence_of("11", "Payment", "failed"), evidence_of("12", "Search", "passed")]
        operator.expected = ["11", "12"]
        result = worker_alone.execute(operator)
        assert {row["test_name"]: row["blocking"] for row in result["tests"]} == {
            "Payment": False,
            "Search": True,
        }

    def test_non_blocking_tests_may_be_the_output_of_a_task(self):
        with DAG("dag", schedule=None) as dag:
            flaky = SelectTestsOperator(task_id="flaky", names="Flaky*").output
            instant_test_suite("gate", names="*", non_blocking=flaky, overrides={"1": {"blocking": False}})
        assert "flaky" in dag.get_task("gate.verdict").upstream_task_ids

    def test_invalid_overrides_are_refused(self):
        with pytest.raises(ThousandEyesConfigurationError, match=r"'gate': overrides: .*'blocking' is True"):
            self.verdict(overrides={"1": {"blocking": "no"}})


def test_the_verdict_has_openlineage_facets(worker_alone):
    pytest.importorskip("airflow.providers.openlineage")
    operator = SuiteVerdictOperator(task_id="verdict", results=[], expected=0, on_inconclusive="warn")
    worker_alone.execute(operator)
    assert worker_alone.operator.get_openlineage_facets_on_complete(None).run_facets["test"].tests == []
    assert worker_alone.operator.get_openlineage_facets_on_failure(None).run_facets["test"].tests == []
