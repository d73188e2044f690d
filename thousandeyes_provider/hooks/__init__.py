"""The only place that talks to the network or reads an Airflow connection."""
