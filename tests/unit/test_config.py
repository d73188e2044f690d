"""The options of Airflow's configuration section [thousandeyes]."""

from __future__ import annotations

import pytest

from thousandeyes_provider.config import OPTIONS, check_settings, provider_config, setting
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError


@pytest.fixture
def configure(monkeypatch):
    """Return a function that sets an option through its environment variable."""
    return lambda name, value: monkeypatch.setenv(f"AIRFLOW__THOUSANDEYES__{name.upper()}", value)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_unset_option_has_its_default(monkeypatch, name):
    monkeypatch.delenv(f"AIRFLOW__THOUSANDEYES__{name.upper()}", raising=False)
    value = setting(name)
    assert (value, type(value)) == (OPTIONS[name].default, type(OPTIONS[name].default))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_empty_option_has_its_default(configure, name):
    configure(name, "")
    assert setting(name) == OPTIONS[name].default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("settle_time", " 90 ", 90.0),
        ("queue_timeout", "0", 0.0),
        ("durable", "no", False),
        ("shadow", "True", True),
        ("on_inconclusive", "Warn", "warn"),
        ("reserved_quota_share", "0.5", 0.5),
        ("round_clock_tolerance", "2.5", 2.5),
        ("max_runs_per_dag_run", "40", 40),
    ],
)
def test_a_value_is_converted_to_its_type(configure, name, text, value):
    configure(name, text)
    assert setting(name) == value
    assert type(setting(name)) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("settle_time", "fast"),
        ("settle_time", "-1"),
        ("settle_time", "nan"),
        ("queue_timeout", "1e12"),
        ("durable", "maybe"),
        ("on_inconclusive", "retry"),
        ("reserved_quota_share", "1"),
        ("round_clock_tolerance", "61"),
        ("max_runs_per_dag_run", "1.5"),
        ("max_runs_per_dag_run", "-1"),
    ],
)
def test_the_error_of_an_invalid_value_has_option_value_and_expectation(configure, name, text):
    configure(name, text)
    with pytest.raises(ThousandEyesConfigurationError) as failure:
        setting(name)
    assert str(failure.value) == (
        f"Airflow configuration [thousandeyes] {name}: expected {OPTIONS[name].expected}, got {text!r}"
    )


def test_declared_defaults_are_valid_values(configure):
    for name, declared in provider_config()["thousandeyes"]["options"].items():
        configure(name, declared["default"])
        assert setting(name) == OPTIONS[name].default


def test_all_options_are_checked_together(configure):
    check_settings()
    configure("max_runs_per_dag_run", "-1")
    with pytest.raises(ThousandEyesConfigurationError, match="max_runs_per_dag_run: expected a whole number"):
        check_settings()
