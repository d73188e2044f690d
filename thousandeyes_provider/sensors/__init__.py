"""The sensor, which waits for a run of another task."""
