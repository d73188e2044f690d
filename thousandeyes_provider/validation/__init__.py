"""Evaluation of rounds and presentation of the results, without network and Airflow."""
