"""ThousandEyes' rules as plain data and pure functions: no network, no sleep, no clock, no Airflow."""
