"""The options of the section ``[thousandeyes]`` in Airflow's configuration.

One table feeds :func:`~thousandeyes_provider.get_provider_info.get_provider_info` and :func:`setting`. Airflow 2.11
loads the configuration of providers in some of its processes only, so every read names the default as its fallback.
The module imports only the standard library at the top: Airflow reads the table in every process that lists providers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, overload

SECTION = "thousandeyes"

_YEAR = 366 * 86400.0


@dataclass(frozen=True)
class ConfigOption:
    """One option of the section.

    :param type: type of the value as Airflow names it: ``float``, ``integer``, ``boolean`` or ``string``.
    :param description: purpose of the option, with its unit.
    :param expected: description of valid values, for errors.
    """

    type: Literal["float", "integer", "boolean", "string"]
    default: float | int | bool | str
    description: str
    expected: str
    is_valid: Callable[[Any], bool] = lambda value: True

    @property
    def default_text(self) -> str:
        """The default as Airflow writes it into a configuration file."""
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


def _is_duration(value: float) -> bool:
    return 0 <= value <= _YEAR


OPTIONS: Mapping[str, ConfigOption] = {
    "settle_time": ConfigOption(
        "float",
        120.0,
        "Seconds to poll for a fresh round after the response to a run call was lost, before the call is sent again.",
        "a number of seconds from 0 to a year",
        _is_duration,
    ),
    "durable": ConfigOption(
        "boolean",
        True,
        "Whether a retry resumes the run that a lost worker had started (Airflow 3.3 and later).",
        "true or false",
    ),
    "queue_timeout": ConfigOption(
        "float",
        3600.0,
        "Seconds that a task may wait for rate limits and a busy test before its run is accepted. "
        "Default of the operators' argument of this name.",
        "a number of seconds from 0 to a year",
        _is_duration,
    ),
    "on_inconclusive": ConfigOption(
        "string",
        "fail",
        "How an inconclusive run ends the task: fail, skip or warn. "
        "Default of the operators' argument of this name.",
        "one of fail, skip, warn",
        lambda value: value in ("fail", "skip", "warn"),
    ),
    "reserved_quota_share": ConfigOption(
        "float",
        0.2,
        "Share of the organization's request quota that polling leaves to other clients.",
        "a number from 0 to 0.9",
        lambda value: 0 <= value <= 0.9,
    ),
    "round_clock_tolerance": ConfigOption(
        "float",
        1.0,
        "Seconds by which the id of a round may precede the run call that started it.",
        "a number of seconds from 0 to 60",
        lambda value: 0 <= value <= 60,
    ),
    "shadow": ConfigOption(
        "boolean",
        False,
        "Whether runs report their verdict without acting on it: tasks succeed and suites never block.",
        "true or false",
    ),
    "max_runs_per_dag_run": ConfigOption(
        "integer",
        0,
        "Largest number of runs that one suite may start; 0 for no limit.",
        "a whole number, 0 or more",
        lambda value: value >= 0,
    ),
}
"""Every option, by name."""


def provider_config() -> dict[str, Any]:
    """Return the entry ``config`` of the provider's declaration."""
    return {
        SECTION: {
            "description": "Settings of the ThousandEyes provider for a whole deployment.",
            "options": {
                name: {
                    "description": option.description,
                    "version_added": "0.1.0",
                    "type": option.type,
                    "example": None,
                    "default": option.default_text,
                }
                for name, option in OPTIONS.items()
            },
        }
    }


FloatOption = Literal["settle_time", "queue_timeout", "reserved_quota_share", "round_clock_tolerance"]


@overload
def setting(name: FloatOption) -> float: ...
@overload
def setting(name: Literal["durable", "shadow"]) -> bool: ...
@overload
def setting(name: Literal["max_runs_per_dag_run"]) -> int: ...
@overload
def setting(name: Literal["on_inconclusive"]) -> str: ...
def setting(name: str) -> float | int | bool | str:
    """Return the value of an option in the configuration of this process.

    :return: the value in the option's type; the default when the option is not set.
    :raises ThousandEyesConfigurationError: when the value is not valid.
    """
    return _read(name)


def check_settings() -> None:
    """Check every option of the section before a task sends anything.

    :raises ThousandEyesConfigurationError: when a value is not valid.
    """
    for name in OPTIONS:
        _read(name)


def _read(name: str) -> float | int | bool | str:
    from airflow.providers.common.compat.sdk import conf
    from thousandeyes_provider.exceptions import ThousandEyesConfigurationError

    option = OPTIONS[name]
    text = str(conf.get(SECTION, name, fallback=option.default_text)).strip()
    value = _parse(option, text)
    if value is None or not option.is_valid(value):
        raise ThousandEyesConfigurationError(
            f"Airflow configuration [{SECTION}] {name}: expected {option.expected}, got {text!r}"
        )
    return value


def _parse(option: ConfigOption, text: str) -> float | int | bool | str | None:
    """The value that ``text`` spells in the option's type; ``None`` when it spells none."""
    from thousandeyes_provider.api import coerce

    if not text:
        return option.default
    if option.type == "boolean":
        return coerce.boolean(text)
    if option.type == "integer":
        return coerce.whole_number(text)
    if option.type == "float":
        value = coerce.number(text)
        return value if value is not None and math.isfinite(value) else None
    return text.lower()
