"""The commands ``airflow thousandeyes …`` and ``python -m thousandeyes_provider …``."""
