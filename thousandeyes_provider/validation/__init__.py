"""Judging a round and saying what was found. Pure: no network, no Airflow."""
