"""An error that tells everything that is wrong with a declaration at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DeclarationErrors(ValueError):
    """Something that a person declared is wrong.

    :param faults: each fault, with its path in the declaration.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        many = f"{len(self.faults)} faults:\n- "
        super().__init__((many if len(self.faults) > 1 else "") + "\n- ".join(self.faults))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults,)
