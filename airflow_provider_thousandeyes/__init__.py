"""Where Airflow looks for this provider's example DAGs; the code is in ``thousandeyes_provider``.

With ``load_examples`` on, Airflow 3.3 imports every provider by the name of its distribution, and lists
the ``example_dags`` folder that it finds there. A built wheel carries the repository's ``example_dags/`` in
this package. In a checkout there is none, and Airflow finds nothing to list.
"""
