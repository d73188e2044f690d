"""The operators: modules for DAG authors."""
