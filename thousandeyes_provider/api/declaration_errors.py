"""An error that lists everything that is wrong with a declaration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DeclarationErrors(ValueError):
    """A declaration, such as ``checks`` or ``definition``, is invalid.

    :param errors: each error, with its path in the declaration.
    """

    def __init__(self, errors: Sequence[str]) -> None:
        self.errors = tuple(errors)
        count = f"{len(self.errors)} errors:\n- " if len(self.errors) > 1 else ""
        super().__init__(count + "\n- ".join(self.errors))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)
