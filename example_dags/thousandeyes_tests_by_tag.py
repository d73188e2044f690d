"""Run all tests with a tag, with one verdict at the end.

A team tags the tests of its service in ThousandEyes and keeps no list of ids in the DAG. A test that gets the tag
tomorrow is judged tomorrow. A scheduled test cannot be run, so each task runs its settings once as an instant test
(``from_test``). The mapped tasks warn, and only ``verdict`` fails. It names the bad tests.

To adapt it, change ``tag`` and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator

with DAG(
    "thousandeyes_tests_by_tag",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "tag": Param("service:checkout", type="string", description="key:value"),
        "slowest": Param(1000, type="integer", description="Limit of the response time in ms"),
    },
    doc_md=__doc__,
):

    @task
    def find(params=None):
        """Return the HTTP server tests with the tag as arguments of the operator."""
        from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

        tests = ThousandEyesHook().list_tests(tags=params["tag"], test_type="http-server")
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
