"""A cluster policy that shortens the waits of the examples, so that their files stay as they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from thousandeyes_provider.operators.base import BaseInstantTestOperator

WAITS = {"timeout": 40, "grace": 10}
"""Seconds to wait for results."""


def task_policy(task: Any) -> None:
    """Shorten the waits of a task of this provider, and let it wait in a worker.

    On a busy machine, Airflow fails resumed tasks now and then, see the known issues in the documentation.
    """
    if isinstance(task, BaseInstantTestOperator):
        for name, seconds in WAITS.items():
            setattr(task, name, seconds)
        task.deferrable, task.retry_delay = False, timedelta(seconds=5)
    elif issubclass(getattr(task, "operator_class", object), BaseInstantTestOperator):  # mapped
        task.partial_kwargs["deferrable"] = False
