"""Tags of scheduled tests: pairs of key and value. docs/thousandeyes-api.md, "Tags"."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.simulator.responses import iso
from thousandeyes_provider.simulator.validators import check_text


@dataclass
class SimulatedTag:
    """A tag, such as ``service:checkout``.

    :param key: part before the colon.
    :param value: part after the colon.
    :param account_group_id: account group that owns the tag.
    :param created: creation date, epoch seconds by the simulator's clock.
    :param test_ids: tests with the tag; the values have no meaning.
    """

    key: str
    value: str
    account_group_id: str
    created: float
    test_ids: dict[str, None] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The tag in the form ``key:value``."""
        return f"{self.key}:{self.value}"

    @property
    def tag_id(self) -> str:
        """UUID derived from account group, key and value."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.account_group_id}|{self.text}"))

    def as_listed(self, *, assignments: bool) -> dict[str, Any]:
        """Return the tag as ``GET /tags`` reports it.

        :param assignments: whether to include the tests with the tag.
        """
        body: dict[str, Any] = {
            "id": self.tag_id,
            "aid": int(self.account_group_id),
            "key": self.key,
            "value": self.value,
            "description": "",
            "color": "#1D6EB0",
            "icon": None,
            "accessType": "all",
            "builtIn": False,
            "objectType": "test",
            "type": "static",
            "legacyId": None,
            "createDate": iso(self.created),
            "modifiedDate": None,
        }
        if assignments:
            body["assignments"] = [{"id": test_id, "type": "test"} for test_id in self.test_ids]
        return body

    def as_expanded(self) -> dict[str, Any]:
        """Return the tag as a test reports it with ``expand=tag``."""
        return {"id": self.tag_id, "key": self.key, "value": self.value}


def parse_tag(text: Any) -> tuple[str, str]:
    """Split ``key:value``.

    :raises ValueError: for text without a key, a colon or a value.
    """
    check_text("tag", text)
    key, colon, value = (part.strip() for part in text.partition(":"))
    if not (key and colon and value):
        raise ValueError(f"tag must have the form 'key:value', got {text!r}")
    return key, value
