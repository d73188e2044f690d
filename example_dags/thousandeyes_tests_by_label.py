"""All tests with a label, run now, with one verdict at the end.

For a team that has marked what belongs to its service in ThousandEyes and wants no list of ids in a DAG: a test that
gets the label tomorrow is judged tomorrow. Scheduled tests have no run of their own to start, so each of them is run
once as an instant test with its settings (``from_test``). The tests warn, and ``verdict`` alone fails: one red task,
which says which of them are bad.

To make it yours: ``label`` and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator

with DAG(
    "thousandeyes_tests_by_label",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "label": Param("checkout", type="string", description="By name or id"),
        "slowest": Param(1000, type="integer", description="Limit of the response time in ms"),
    },
    doc_md=__doc__,
):

    @task
    def find(params=None):
        """The HTTP server tests with the label, as arguments of the operator."""
        from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

        tests = ThousandEyesHook().list_tests(labels=params["label"], test_type="http-server")
        return [{"from_test": test["testId"], "test_type": test["type"]} for test in tests]

    found = find()
    validate = CreateInstantTestOperator.partial(
        task_id="validate",
        checks={"http-server": {"responseTime": {"p95": {"leq_to": "{{ params.slowest }}"}}}},
        min_agents=0.8,
        on_failed="warn",
        deferrable=True,
    ).expand_kwargs(found)

    @task(trigger_rule="all_done")
    def verdict(found, judged):
        """Fails when a test is bad, when one could not be judged, and when there was none."""
        judged = list(judged)
        bad = [evidence for evidence in judged if evidence["verdict"] != "passed"]
        for evidence in bad:
            print(f"{evidence['test_name']} is {evidence['verdict']}: {evidence['links'].get('round')}")
        if bad or not judged or len(judged) < len(found):
            raise AirflowFailException(f"{len(found)} tests, {len(judged)} judged, {len(bad)} not good")

    verdict(found, validate.output)
