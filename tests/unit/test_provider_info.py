"""The provider metadata that Airflow reads at discovery, and the connection form derived from it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import jsonschema
import pytest

from thousandeyes_provider.get_provider_info import CONNECTION_FIELDS, FIELD_BEHAVIOUR, get_provider_info
from thousandeyes_provider.hooks.connection import ConnectionSettings, read_connection
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

STANDARD_FIELDS = {"description", "host", "schema", "login", "password", "port", "extra"}

# For every field a value other than the default, as JSON and as a text field stores it.
TYPED = {
    "account_group_id": ("1234", "1234"),
    "timeout": (12.5, "12.5"),
    "retry_limit": (2, "2"),
    "queue_timeout": (0, "0"),
    "proxies": ({"https": "http://proxy.example.com:3128"}, '{"https": "http://proxy.example.com:3128"}'),
    "verify": (False, "false"),
    "cert": (["client.pem", "client.key"], '["client.pem", "client.key"]'),
    "trust_env": (False, "false"),
    "allow_http": (True, "true"),
}


def settings(extra: dict[str, Any]) -> ConnectionSettings:
    return read_connection("te", host=None, schema=None, port=None, password="token", extra=extra)


def test_provider_info_imports_only_the_standard_library() -> None:
    script = (
        "import sys; from thousandeyes_provider.get_provider_info import get_provider_info; get_provider_info();"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    # -S excludes imports that site-packages makes at start, so the package is added to the path.
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": package_root()},
    )
    assert done.stdout.strip() in ("['__main__', 'thousandeyes_provider']", "['thousandeyes_provider']")


def package_root() -> str:
    return importlib.import_module("thousandeyes_provider").__path__[0].rpartition("/")[0]


def test_airflow_accepts_the_provider_info() -> None:
    from airflow import providers_manager

    schema = providers_manager._read_schema_from_resources_or_local_file("provider_info.schema.json")
    jsonschema.validate(get_provider_info(), schema)


def test_the_provider_info_is_plain_json() -> None:
    assert json.loads(json.dumps(get_provider_info())) == get_provider_info()


def test_every_named_class_exists() -> None:
    info = get_provider_info()
    modules = [
        name for kind in ("hooks", "operators") for entry in info[kind] for name in entry["python-modules"]
    ]
    classes = [entry["hook-class-name"] for entry in info["connection-types"]] + info["extra-links"]
    classes += info["cli"]
    for name in modules:
        importlib.import_module(name)
    for name in classes:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("name", CONNECTION_FIELDS)
def test_every_field_is_optional(name: str) -> None:
    assert "null" in CONNECTION_FIELDS[name]["schema"]["type"]


@pytest.mark.parametrize("name", CONNECTION_FIELDS)
def test_only_switches_store_a_default(name: str) -> None:
    schema = CONNECTION_FIELDS[name]["schema"]
    assert ("default" in schema) == ("boolean" in schema["type"])


def test_the_form_has_exactly_the_extras_that_the_hook_reads() -> None:
    assert set(TYPED) == set(CONNECTION_FIELDS)
    assert settings({name: typed for name, (typed, _) in TYPED.items()}).warnings == ()


def test_an_unchanged_form_is_a_connection_without_extras() -> None:
    stored = {name: field["schema"].get("default") for name, field in CONNECTION_FIELDS.items()}
    assert settings(stored) == settings({})


@pytest.mark.parametrize("name", TYPED)
def test_text_fields_are_read_like_json(name: str) -> None:
    typed, text = TYPED[name]
    assert settings({name: text}) == settings({name: typed})


@pytest.mark.parametrize("name", ["timeout", "retry_limit", "queue_timeout"])
def test_the_form_shows_the_default_of_each_field(name: str) -> None:
    default = getattr(settings({}), name)
    assert float(FIELD_BEHAVIOUR["placeholders"][name]) == default
    assert CONNECTION_FIELDS[name]["description"].endswith(f"Empty: {default:g}.")


def test_the_standard_fields_are_relabeled_and_the_login_is_hidden() -> None:
    behaviour = ThousandEyesHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == ["login"]
    assert "token" in behaviour["relabeling"]["password"].lower()
    assert set(behaviour["relabeling"]) <= STANDARD_FIELDS
    assert set(behaviour["placeholders"]) <= STANDARD_FIELDS | set(CONNECTION_FIELDS)


class FakeTextWidget:
    def __call__(self, field: Any, **kwargs: Any) -> str:
        return str(field.data)


class FakeStringField:
    """A form field with the arguments of Airflow 3.0 and 3.1, which support fewer than wtforms."""

    def __init__(self, label: str | None = None, *, description: str = "", widget: Any = None) -> None:
        self.label, self.description, self.widget = label, description, widget


@pytest.fixture
def old_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form libraries of Airflow 2.11, which are not part of Airflow 3."""
    for name, contents in {
        "wtforms": {"StringField": FakeStringField},
        "flask_appbuilder": {},
        "flask_appbuilder.fieldwidgets": {"BS3TextFieldWidget": FakeTextWidget},
    }.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("old_airflow")
def test_old_airflow_shows_the_same_fields() -> None:
    widgets = ThousandEyesHook.get_connection_form_widgets()
    assert {name: (widget.label, widget.description) for name, widget in widgets.items()} == {
        name: (field["label"], field["description"]) for name, field in CONNECTION_FIELDS.items()
    }


@pytest.mark.usefixtures("old_airflow")
@pytest.mark.parametrize("name", TYPED)
def test_old_airflow_shows_values_that_it_can_read_back(name: str) -> None:
    typed, text = TYPED[name]
    shown = ThousandEyesHook.get_connection_form_widgets()[name].widget(SimpleNamespace(data=typed))
    assert shown == text


@pytest.mark.usefixtures("old_airflow")
def test_old_airflow_shows_text_and_empty_values_unchanged() -> None:
    widget = ThousandEyesHook.get_connection_form_widgets()["verify"].widget
    assert widget(SimpleNamespace(data="/etc/ssl/ca.pem")) == "/etc/ssl/ca.pem"
    assert widget(SimpleNamespace(data=None)) == "None"
