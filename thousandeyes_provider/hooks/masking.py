"""Airflow's function for masking a secret in logs, wherever this version of Airflow has it."""

from __future__ import annotations

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 2.11; common-compat has it only since 1.22
    from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[no-redef,import-not-found,unused-ignore]

__all__ = ["mask_secret"]
