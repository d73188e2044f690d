"""Instant tests as tasks of a pipeline: rerun a test, or create one, and evaluate the round of this run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from thousandeyes_provider.operators.argument_parsers import parse_definition, plain_definition
from thousandeyes_provider.operators.base import BaseInstantTestOperator
from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import CreateOptions, RunOptions, check_literals, is_literal

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import XComArg
    from thousandeyes_provider.api import definition as definitions
    from thousandeyes_provider.hooks import base_hook
    from thousandeyes_provider.operators.argument_types import SdkModel, StartArguments, TestType
else:
    definitions = LazyModule("thousandeyes_provider.api.definition")
    base_hook = LazyModule("thousandeyes_provider.hooks.base_hook")

SHARED_TEMPLATE_FIELDS = (
    "account_group_id",
    "thousandeyes_conn_id",
    "expected_agents",
    "checks",
    "compare_with",
    "report_path",
)


class RunInstantTestOperator(BaseInstantTestOperator):
    """Rerun a ThousandEyes instant test, wait for the results of its agents, and fail when they miss the criteria.

    Only the round of this run is evaluated: no measurement that was taken before the run was sent. A rate limit (429)
    makes the task wait until its announced reset. After a lost response to the run call (5xx, a lost connection) the
    task polls for the round, and sends the run again only when no round has started.

    The return value is the *evidence*, a JSON object with verdict, agents, checks, metrics and links. It is in XCom
    even when the task fails.

    :param test_id: the instant test to run. Templated.
    :param test_type: its type, such as ``http-server``; by default read from ThousandEyes, which takes further
        requests. Templated.
    :param kwargs: the arguments of :class:`~thousandeyes_provider.operators.base.BaseInstantTestOperator` and of
        every Airflow operator.
    :raises InstantTestFailed: the round does not meet the criteria. No task retry is spent unless
        ``on_failed="retry"``.
    :raises InstantTestIncomplete: agents were missing at the deadline.
    :raises InstantTestNoResults: no new round appeared before the deadline.
    :raises ThousandEyesAuthError: 401 or 403. No task retry is spent; likewise for the next three.
    :raises ThousandEyesNotFoundError: 404, the test does not exist in this account group.
    :raises ThousandEyesRequestError: another 4xx.
    :raises ThousandEyesConfigurationError: an argument or the connection is not valid.
    :raises ThousandEyesRateLimitError: a rate limit lasts longer than ``queue_timeout``.
    :raises ThousandEyesServerError: 5xx on the last attempt.
    :raises ThousandEyesConnectionError: no usable response on the last attempt.
    """

    template_fields: Sequence[str] = ("test_id", "test_type", *SHARED_TEMPLATE_FIELDS)
    default_label = "{{ test_name | default(task.test_id, true) }}"
    options_class = RunOptions

    def __init__(
        self,
        *,
        test_id: str | int | XComArg,
        test_type: TestType | str | XComArg | None = None,
        **kwargs: Unpack[StartArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.test_id = test_id
        self.test_type = test_type
        check_literals(self, RunOptions, self.unknown_arguments)


class MaskedArgument:
    """An argument with secrets. Setting it, which rendering does too, masks them in logs and rendered fields.

    :param mask: masks the secrets of a value, and returns the value that is stored.
    """

    def __init__(self, mask: Callable[[object], object]) -> None:
        self._mask = mask

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, task: object, owner: type) -> object:
        return getattr(task, self._name, None)

    def __set__(self, task: object, value: object) -> None:
        setattr(task, self._name, self._mask(value))


def mask_definition(value: object) -> object:
    """Return a definition as plain data, with its secrets masked in logs and rendered fields from now on."""
    value = plain_definition(value)
    if value is None or hasattr(value, "resolve"):
        return value
    try:
        definition = parse_definition(value)
    except ValueError:
        # The error is raised when the arguments are checked.
        return value
    secrets = [secret for secret in definitions.secrets_in(definition) if is_literal(secret)]
    for secret in secrets:
        base_hook.mask_secret(secret)
    # A text may spell a secret in another way (\n, \u0026, indented lines), which masking would not find.
    return definition if isinstance(value, str) and is_literal(value) else value


class CreateInstantTestOperator(BaseInstantTestOperator):
    """Create and run a ThousandEyes instant test, wait for its results, and fail when they miss the criteria.

    Use it for a new target, such as a preview environment, and with ``from_test`` to run the settings of an existing
    test once against another target. Waiting, evaluation and the return value are those of
    :class:`RunInstantTestOperator`. The created test stays in ThousandEyes.

    After a lost response to the call (5xx, a lost connection) the task looks for the test by its unique name before the
    call is sent again. Secrets in the definition are masked in logs and rendered fields. Take them from a connection or
    a variable (``{{ conn.ftp.password }}``): Airflow stores the literal values of a DAG file in plain text.

    :param test_type: one of ``agent-to-agent``, ``agent-to-server``, ``api``, ``dns-server``, ``dns-trace``,
        ``dnssec``, ``ftp-server``, ``http-server``, ``page-load``, ``sip-server``, ``voice``, ``web-transactions``.
        With ``from_test`` it is read from ThousandEyes by default. Templated.
    :param definition: the body of ``POST /tests/{type}/instant`` as the API documents it: a dict, a ``.json`` or
        ``.yaml`` file, or a model of the official SDK. ``agents`` may be ids or names; numbers may be text. Without
        ``testName`` the name consists of DAG, task, run, map index and, from the second on, try. Templated: write
        ``{% raw %}`` around the API's own ``{{variables}}``.
    :param from_test: in place of ``definition``: the id of a test, scheduled or instant, whose settings are copied,
        without its schedule, alerts, tags and sharing. Templated.
    :param overrides: fields of a definition that replace those of ``from_test``: objects are merged, lists replaced,
        and null removes a field. Credentials belong here, since the API does not return them. Templated.
    :param kwargs: the arguments of :class:`~thousandeyes_provider.operators.base.BaseInstantTestOperator` and of
        every Airflow operator.
    :raises InstantTestFailed: and all other errors of :class:`RunInstantTestOperator`.
    :raises ThousandEyesConfigurationError: also for an invalid definition, naming each field and what is expected; for
        an agent that does not exist; for credentials that ``from_test`` lacks.
    """

    template_fields: Sequence[str] = (
        "test_type",
        "definition",
        "from_test",
        "overrides",
        *SHARED_TEMPLATE_FIELDS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **BaseInstantTestOperator.template_fields_renderers,
        "definition": "json",
        "overrides": "json",
    }
    default_label = "{{ test_name | default(task.from_test or ti.map_index, true) }}"
    options_class = CreateOptions
    definition = MaskedArgument(mask_definition)
    overrides = MaskedArgument(mask_definition)

    def __init__(
        self,
        *,
        test_type: TestType | str | XComArg | None = None,
        definition: Mapping[str, object] | SdkModel | str | XComArg | None = None,
        from_test: str | int | XComArg | None = None,
        overrides: Mapping[str, object] | str | XComArg | None = None,
        **kwargs: Unpack[StartArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.test_type = test_type
        self.definition = definition
        self.from_test = from_test
        self.overrides = overrides
        check_literals(self, CreateOptions, self.unknown_arguments)
