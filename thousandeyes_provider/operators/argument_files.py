"""Arguments that name a file: ``checks="checks.yaml"``.

Airflow's ``template_ext`` would also read a file for a text *inside* an argument that ends in ``.json``, such as a URL
in a definition. So the operators leave it empty and read the files of whole arguments themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from jinja2 import TemplateError

from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.operators.options import JudgeOptions, names_file, task_label

if TYPE_CHECKING:
    from jinja2 import Environment

    from airflow.providers.common.compat.sdk import Context


class TemplatedTask(Protocol):
    """What reading files needs of an operator."""

    @property
    def task_id(self) -> str: ...
    def get_template_env(self) -> Environment: ...


def read_argument_files(
    task: TemplatedTask, options: type[JudgeOptions], context: Context
) -> Mapping[str, object]:
    """Return the rendered contents of the arguments that name a file.

    :raises ThousandEyesConfigurationError: when a file cannot be read.
    """
    contents: dict[str, object] = {}
    for option in options.declared:
        value = getattr(task, option.name, None)
        if names_file(option.name, value):
            path = str(value).strip()
            try:
                contents[option.name] = task.get_template_env().get_template(path).render(dict(context))
            except (TemplateError, OSError, TypeError) as error:
                raise ThousandEyesConfigurationError(
                    f"{task_label(task)}: {option.name}={path!r}: cannot read this file in the DAG's folder or its "
                    f"template_searchpath: {type(error).__name__}: {error}"
                ) from None
    return contents
