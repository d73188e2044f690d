"""Twenty mistakes in the arguments of operators, one a line. Read by type checkers, never run."""

from __future__ import annotations

from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator, RunInstantTestOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

RunInstantTestOperator(task_id="m01", test_id="1", on_failed="ignore")
RunInstantTestOperator(task_id="m02", test_id="1", on_inconclusive="retry")
RunInstantTestOperator(task_id="m03", test_id="1", on_faild="skip")
RunInstantTestOperator(task_id="m04", test_id="1", test_type="http_server")
RunInstantTestOperator(task_id="m05", test_id="1", result_types=["http"])
RunInstantTestOperator(task_id="m06", test_id="1", settle_time=120)
RunInstantTestOperator(task_id="m07", test_id="1", timeout="10m")
RunInstantTestOperator(task_id="m08", test_id="1", grace="soon")
RunInstantTestOperator(task_id="m09", test_id="1", min_agents="most")
RunInstantTestOperator(task_id="m10", test_id="1", confirm_failures="twice")
RunInstantTestOperator(task_id="m11", test_id="1", deferrable="yes")
RunInstantTestOperator(task_id="m12", test_id="1", wait_for_results="maybe")
RunInstantTestOperator(task_id="m13", test_type="http-server")
RunInstantTestOperator(test_id="1")
RunInstantTestOperator(task_id="m15", test_id="1", checks={"http_server": {"responseTime": {"leq_to": 1}}})
RunInstantTestOperator(task_id="m16", test_id="1", report_path=True)
RunInstantTestOperator(task_id="m17", test_id=["1", "2"])
CreateInstantTestOperator(task_id="m18", test_type="bgp", definition={"url": "https://example.com"})
CreateInstantTestOperator(task_id="m19", test_type="api", definition=["https://example.com"])
InstantTestResultsSensor(task_id="m20", run="{{ x }}", mode="defer")
