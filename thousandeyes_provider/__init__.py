"""Airflow provider for Cisco ThousandEyes: rerun instant tests as steps of a pipeline."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
