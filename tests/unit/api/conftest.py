"""What `make mutation` needs: it calls each test many times from one process, and wants the same answer each time."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile(
    "mutation",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.differing_executors, hypothesis.HealthCheck.too_slow],
)
