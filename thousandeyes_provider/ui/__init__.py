"""The report pages: in Airflow's web interface, and as one HTML file."""
