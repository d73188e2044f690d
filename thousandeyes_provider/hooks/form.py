"""The connection form for Airflow before 3.2, which asks the hook for it.

Both functions translate the declaration in `thousandeyes_provider.get_provider_info`. Airflow 3.2 and later
read that declaration themselves and never call them.
"""

from __future__ import annotations

import json
from typing import Any

from thousandeyes_provider.get_provider_info import CONNECTION_FIELDS, FIELD_BEHAVIOUR


def ui_field_behaviour() -> dict[str, Any]:
    """Return what ``get_ui_field_behaviour`` of a hook returns."""
    return {
        "hidden_fields": list(FIELD_BEHAVIOUR["hidden-fields"]),
        "relabeling": dict(FIELD_BEHAVIOUR["relabeling"]),
        "placeholders": dict(FIELD_BEHAVIOUR["placeholders"]),
    }


def connection_form_widgets() -> dict[str, Any]:
    """Return what ``get_connection_form_widgets`` of a hook returns: one text field for each extra.

    Text for numbers and booleans, too. A checkbox always stores a value, so that an untouched one would switch
    ``trust_env`` off, and it is drawn ticked for the text ``"false"``, so that saving the form would switch
    ``allow_http`` on. An empty text field stores nothing. The hook reads numbers and booleans from text anyway.

    :raises ImportError: without wtforms and Flask-AppBuilder, which Airflow expects and handles
    """
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import StringField

    class TextFieldWidget(BS3TextFieldWidget):  # type: ignore[misc]
        """Shows what is not text as JSON: Python's notation, the default, would be saved as it is shown."""

        def __call__(self, field: Any, **kwargs: Any) -> Any:
            if field.data is not None and not isinstance(field.data, str):
                field.data = json.dumps(field.data)
            return super().__call__(field, **kwargs)

    return {
        name: StringField(field["label"], description=field["description"], widget=TextFieldWidget())
        for name, field in CONNECTION_FIELDS.items()
    }
