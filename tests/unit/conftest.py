"""Property tests: a busy machine must not make one fail for being slow; ``--hypothesis-profile=thorough`` digs deeper."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("usual", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("usual")
