"""An auth manager that hides one DAG from all users except administrators.

Airflow's simple auth manager does not support permissions on single DAGs.
"""

from __future__ import annotations

from typing import Any

from browser.report_airflow import HIDDEN

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser


class OneDagHidden(SimpleAuthManager):
    """Hides the DAG :data:`browser.report_airflow.HIDDEN` from readers."""

    def is_authorized_dag(self, *, user: SimpleAuthManagerUser, details: Any = None, **more: Any) -> bool:
        """Return whether a user may use a DAG."""
        if details is not None and details.id == HIDDEN and user.get_id() != "admin":
            return False
        return super().is_authorized_dag(user=user, details=details, **more)
