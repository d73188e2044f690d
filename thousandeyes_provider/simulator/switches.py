"""Switches for API behavior that ThousandEyes does not document.

Each field of :class:`Switches` is one such behavior with its choices and its default (docs/thousandeyes-api.md, "Not
documented"). A client must handle every choice. The command line and the control endpoint are generated from these
fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from thousandeyes_provider.simulator.validators import (
    check_boolean,
    check_choice,
    check_names,
    check_number,
    check_whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def _switch(default: Any, about: str, *choices: str, per_test: bool = True, low: float | None = None) -> Any:
    """Return a switch that a single test can override.

    :param choices: valid values of a text switch.
    :param low: lowest valid value of a number switch.
    """
    return field(
        default=default, metadata={"help": about, "choices": choices, "per_test": per_test, "low": low}
    )


def _everywhere(default: Any, about: str, *choices: str, low: float | None = None) -> Any:
    """Return a switch that applies to the whole API only."""
    return _switch(default, about, *choices, per_test=False, low=low)


@dataclass(frozen=True)
class Switches:
    """Behavior of the simulated API where the real API is not documented.

    Durations are simulated seconds, which the simulator's ``speed`` divides. ``clock_offset`` and ``window_slack`` are
    real seconds, which ``speed`` does not affect.

    :raises ValueError: for an invalid value; the message lists the choices.
    """

    newest_round: str = _switch(
        "partial",
        "results while the newest round is incomplete: its rows so far, the previous round, or both",
        "partial",
        "previous",
        "both",
    )
    before_first_data: str = _switch(
        "empty", "results of a test that has no results yet: 200 with no rows, or 404", "empty", "404"
    )
    round_ids: str = _switch(
        "minute",
        "round id: start of the round, rounded down to the minute (runs in the same minute share a round) or to the"
        " second; unambiguous: to the second, plus one second at a whole minute, so that clients need not wait for"
        " the next minute",
        "minute",
        "second",
        "unambiguous",
    )
    round_start: str = _switch(
        "arrival",
        "start of a round: when the run request arrives, or when its response is sent (see the fault slow-first-byte)",
        "arrival",
        "departure",
    )
    row_times: str = _switch(
        "measurement",
        "date, startTime and endTime of a row: time of the agent's measurement, or start of the round",
        "measurement",
        "round",
    )
    typed_lookup: str = _switch(
        "agents",
        "GET /tests/{type}/{id}?expand=agent: the test with agents, without agents, or 404",
        "agents",
        "no-agents",
        "404",
    )
    listed_in_tests: bool = _switch(False, "GET /tests lists instant tests as well as scheduled tests")
    run_scheduled: str = _switch(
        "404",
        "run request for a scheduled test: 404, 400, or a new round",
        "404",
        "400",
        "new-round",
    )
    sip_credentials: str = _switch(
        "flat",
        "credentials of a sip-server test in responses: flat among its other fields, or nested as in requests",
        "flat",
        "nested",
    )
    run_while_running: str = _switch(
        "new-round",
        "run request while a run is in progress: a new round, merged into the current round, or 409",
        "new-round",
        "merge",
        "409",
    )
    run_busy: float = _switch(
        0.0, "seconds for which a run is in progress; 0: until its last agent has reported", low=0
    )
    missing_result_type: str = _switch(
        "404",
        "results of a type that the test does not have: 404, 400, or 200 with no rows",
        "404",
        "400",
        "empty",
    )
    window_slack: float = _switch(
        0.0, "seconds before the start of a requested window from which rounds are included", low=0
    )
    path_vis_direction: str = _switch(
        "both",
        "path-vis of a bidirectional test without a direction parameter: both directions, or to-target only",
        "both",
        "to-target",
    )
    row_order: str = _switch("sorted", "order of rows: by round and agent, or shuffled", "sorted", "shuffled")
    page_size: int = _switch(1000, "rows per page of results; 0: all on one page", low=0)
    links_carry_aid: bool = _switch(
        True, "the link to the next page repeats the aid parameter of the request"
    )
    foreign_next: bool = _switch(False, "the link to the next page points to another origin")
    endless_next: bool = _switch(False, "every page of results links to a next page")
    error_type_spelling: str = _switch(
        "None",
        "errorType of a row without an error (sip-server always spells it none, not None);"
        " unknown: None, and an undocumented errorType in rows with an error",
        "None",
        "none",
        "null",
        "absent",
        "unknown",
    )
    numbers_as_text: bool = _switch(False, "every number in a row is a string")
    extra_fields: bool = _switch(False, "responses contain undocumented fields")
    quota_headers: str = _everywhere(
        "both", "rate limit header families in responses", "both", "organization", "instant", "none"
    )
    omit_remaining: bool = _everywhere(False, "rate limit headers omit Remaining")
    retry_after: str = _everywhere(
        "none", "Retry-After header of a 429: none, in seconds, or as a date", "none", "seconds", "date"
    )
    reset: str = _everywhere(
        "future", "Reset header: the correct time, or one minute in the past", "future", "past"
    )
    clock_offset: float = _everywhere(0.0, "seconds by which the simulator's clock is ahead of the real one")
    foreign_aid: str = _everywhere(
        "403", "response for an account group that the user does not belong to", "403", "404"
    )
    organization_limit: int = _everywhere(240, "requests per rate limit window", low=1)
    instant_limit: int = _everywhere(24, "runs and creations per rate limit window", low=1)
    quota_window: float = _everywhere(60.0, "length of a rate limit window in seconds", low=0.001)
    quota_windows: str = _everywhere(
        "aligned",
        "start of rate limit windows: aligned to the clock (60 s: the full minute), or with the first request",
        "aligned",
        "first-request",
    )
    date_header: str = _everywhere(
        "departure",
        "Date header: when the response is sent, or when the request arrived",
        "departure",
        "arrival",
    )

    def __post_init__(self) -> None:
        for switch in fields(self):
            self._check(switch.name, getattr(self, switch.name))

    def _check(self, name: str, value: Any) -> None:
        switch = self.__dataclass_fields__[name]
        choices, low = switch.metadata["choices"], switch.metadata["low"]
        if choices:
            check_choice(name, value, choices)
        elif isinstance(switch.default, bool):
            check_boolean(name, value)
        elif isinstance(switch.default, int):
            check_whole(name, value, low)
        else:
            check_number(name, value, low)

    def changed(self, changes: Mapping[str, Any]) -> Switches:
        """Return a copy with some switches changed.

        :raises ValueError: for an unknown switch or an invalid value; the message lists the choices.
        """
        check_names(changes, SWITCH_NAMES, "switch")
        return replace(self, **changes)

    def checked_for_one_test(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``changes`` after checking that a single test can have them.

        :raises ValueError: for an unknown switch, an invalid value, or a switch that applies to the whole API only.
        """
        check_names(changes, PER_TEST, "switch of a test")
        self.changed(changes)
        return dict(changes)


SWITCH_NAMES = tuple(switch.name for switch in fields(Switches))
PER_TEST = tuple(switch.name for switch in fields(Switches) if switch.metadata["per_test"])
