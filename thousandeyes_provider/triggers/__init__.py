"""The same waiting, without a worker. Triggers only read."""
