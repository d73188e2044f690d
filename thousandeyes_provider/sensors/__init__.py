"""What a DAG author imports to wait on a run that another task started."""
