"""Types of the arguments, for type checkers and editors; no behavior.

Use :data:`Checks` to annotate a declaration of checks that is not written in the call::

    from thousandeyes_provider.operators.argument_types import Checks

    CHECKS: Checks = {"http-server": {"responseTime": {"p95": {"leq_to": 800}}}}

A value of another task (``XComArg``) is accepted wherever a template is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol, TypedDict

if TYPE_CHECKING:
    from typing import Required

    from airflow.providers.common.compat.sdk import DAG, XComArg

TestType = Literal[
    "agent-to-agent",
    "agent-to-server",
    "api",
    "dns-server",
    "dns-trace",
    "dnssec",
    "ftp-server",
    "http-server",
    "page-load",
    "sip-server",
    "voice",
    "web-transactions",
]
"""The types of tests with an instant form."""

ResultType = Literal[
    "network",
    "path-vis",
    "http-server",
    "page-load",
    "web-transactions",
    "api",
    "ftp-server",
    "dns-server",
    "dns-trace",
    "dnssec",
    "sip-server",
    "rtp-server",
]
"""The types of results."""

OnFailed = Literal["fail", "retry", "skip", "warn"]
"""The effect of a failed verdict on the task."""

OnInconclusive = Literal["fail", "skip", "warn"]
"""The effect of an inconclusive run on the task."""


class AgentFilter(TypedDict, total=False):
    """The agents that a comparison applies to; each field is one value or several."""

    agentId: str | int | Sequence[str | int]
    agentName: str | Sequence[str]
    countryId: str | Sequence[str]


class Comparison(TypedDict, total=False):
    """One or more comparisons of an aggregate, with their options."""

    equal_to: object
    greater_than: float | str
    geq_to: float | str
    less_than: float | str
    leq_to: float | str
    one_of: Sequence[object] | str
    contains: str
    matches: str
    change_leq_to: float | str
    change_geq_to: float | str
    delta_leq_to: float | str
    delta_geq_to: float | str
    tolerance: float | str
    floor: float | str
    quorum: float | str
    severity: Literal["error", "warn"]
    where: AgentFilter
    unlisted: bool


Comparisons = Comparison | Sequence[Comparison]


class Aggregates(TypedDict, total=False):
    """Comparisons by the aggregate over the agents."""

    every: Comparisons
    any: Comparisons
    min: Comparisons
    max: Comparisons
    mean: Comparisons
    median: Comparisons
    p50: Comparisons
    p90: Comparisons
    p95: Comparisons
    p99: Comparisons
    count: Comparisons


MetricChecks = Mapping[str, Aggregates | Comparisons | Mapping[str, object]]
"""Checks by the name of the metric."""

Checks = TypedDict(
    "Checks",
    {
        "network": MetricChecks,
        "path-vis": MetricChecks,
        "http-server": MetricChecks,
        "page-load": MetricChecks,
        "web-transactions": MetricChecks,
        "api": MetricChecks,
        "ftp-server": MetricChecks,
        "dns-server": MetricChecks,
        "dns-trace": MetricChecks,
        "dnssec": MetricChecks,
        "sip-server": MetricChecks,
        "rtp-server": MetricChecks,
    },
    total=False,
)
"""Checks by result type."""


class HistoryBaseline(TypedDict):
    """The recent history of a test, for ``compare_with``."""

    test_id: str | int
    window: str


Duration = float | timedelta
"""Seconds, or a timedelta."""


class SdkModel(Protocol):
    """A model of the official SDK."""

    def to_dict(self) -> dict[str, object]: ...


class AirflowArguments(TypedDict, total=False):
    """The arguments of every Airflow operator, 2.11 to 3.3."""

    task_id: Required[str]
    allow_nested_operators: bool
    dag: DAG | None
    default_args: dict[str, object] | None
    depends_on_past: bool
    do_xcom_push: bool
    doc: str | None
    doc_json: str | None
    doc_md: str | None
    doc_rst: str | None
    doc_yaml: str | None
    email: str | Sequence[str] | None
    email_on_failure: bool
    email_on_retry: bool
    end_date: datetime | None
    execution_timeout: timedelta | None
    executor: str | None
    executor_config: dict[str, object] | None
    ignore_first_depends_on_past: bool
    inlets: object
    logger_name: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    max_retry_delay: Duration | None
    multiple_outputs: bool
    on_execute_callback: object
    on_failure_callback: object
    on_retry_callback: object
    on_skipped_callback: object
    on_success_callback: object
    outlets: object
    owner: str
    params: Mapping[str, object] | None
    pool: str | None
    pool_slots: int
    post_execute: object
    pre_execute: object
    priority_weight: int
    queue: str
    render_template_as_native_obj: bool | None
    resources: dict[str, object] | None
    retries: int | None
    retry_delay: Duration
    retry_exponential_backoff: bool | float
    retry_policy: object
    run_as_user: str | None
    sla: timedelta | None
    start_date: datetime | None
    task_display_name: str | None
    task_group: object
    trigger_rule: str
    wait_for_downstream: bool
    wait_for_past_depends_before_skipping: bool
    weight_rule: object


class JudgeArguments(AirflowArguments, total=False):
    """The arguments of every task that judges a round."""

    thousandeyes_conn_id: str | XComArg
    min_agents: int | float | None
    grace: Duration
    max_agent_errors: int | float
    checks: Checks | str | XComArg | None
    compare_with: Mapping[str, object] | HistoryBaseline | str | XComArg | None
    on_failed: OnFailed
    on_inconclusive: OnInconclusive | None
    snapshot_on_failure: bool
    report_path: str | XComArg | None
    deferrable: bool


class StartArguments(JudgeArguments, total=False):
    """The arguments of every task that starts a round."""

    account_group_id: str | int | XComArg | None
    result_types: Sequence[ResultType] | ResultType | None
    expected_agents: int | Sequence[str | int] | str | XComArg | None
    confirm_failures: int
    wait_for_results: bool
    dry_run: bool
    poll_interval: Duration | None
    timeout: Duration
    queue_timeout: Duration | None


class SensorOwnArguments(AirflowArguments, total=False):
    """The arguments of every Airflow sensor."""

    poke_interval: Duration
    timeout: Duration
    soft_fail: bool
    mode: Literal["poke", "reschedule"]
    exponential_backoff: bool
    max_wait: Duration | None
    silent_fail: bool
    never_fail: bool
