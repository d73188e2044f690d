"""The switches: what the API does not document and a client must survive either way.

Each field of :class:`Switches` is one behavior that ThousandEyes does not document (docs/thousandeyes-api.md, "Not
documented"), with its choices and its default. The command line, the control endpoint and the Python class are all
generated from this table.
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
    """One switch. ``choices`` for words, ``low`` for the smallest number that makes sense."""
    return field(
        default=default, metadata={"help": about, "choices": choices, "per_test": per_test, "low": low}
    )


def _everywhere(default: Any, about: str, *choices: str, low: float | None = None) -> Any:
    """A switch about the whole API, which no single test can have otherwise."""
    return _switch(default, about, *choices, per_test=False, low=low)


@dataclass(frozen=True)
class Switches:
    """How the simulated API behaves where the real one's behaviour is not documented.

    All durations are simulated seconds: the simulator's ``speed`` divides them. ``clock_offset`` and
    ``window_slack`` are seconds of the clock, which ``speed`` leaves alone.

    :raises ValueError: for a value that is none of the choices, naming them.
    """

    newest_round: str = _switch(
        "partial",
        "what is shown while the newest round is incomplete: its rows so far, the round before, or both",
        "partial",
        "previous",
        "both",
    )
    before_first_data: str = _switch(
        "empty", "results of a test that has none yet: 200 with no rows, or 404", "empty", "404"
    )
    round_ids: str = _switch(
        "minute",
        "round id: start of the round floored to the minute (runs in one minute share a round), or to the second;"
        " unambiguous is the second, and one more where that is a whole minute, so that no client waits for the next"
        " minute",
        "minute",
        "second",
        "unambiguous",
    )
    round_start: str = _switch(
        "arrival",
        "a round starts when the run request arrives, or when its response leaves (see the fault slow-first-byte)",
        "arrival",
        "departure",
    )
    row_times: str = _switch(
        "measurement",
        "date, startTime and endTime of a row: time of that agent's measurement, or start of the round",
        "measurement",
        "round",
    )
    typed_lookup: str = _switch(
        "agents",
        "GET /tests/{type}/{id}?expand=agent: with agents, without them, or 404",
        "agents",
        "no-agents",
        "404",
    )
    listed_in_tests: bool = _switch(False, "GET /tests lists instant tests beside the scheduled ones")
    run_scheduled: str = _switch(
        "404",
        "a run of a scheduled test, not of an instant one: 404, 400, or a new round",
        "404",
        "400",
        "new-round",
    )
    sip_credentials: str = _switch(
        "flat",
        "credentials of a sip-server test in answers: side by side with its other fields, or nested as in requests",
        "flat",
        "nested",
    )
    run_while_running: str = _switch(
        "new-round",
        "a run while one is going on: a new round, merged into the one going on, or 409",
        "new-round",
        "merge",
        "409",
    )
    run_busy: float = _switch(
        0.0, "seconds for which a run counts as going on; 0: until its last agent has reported", low=0
    )
    missing_result_type: str = _switch(
        "404",
        "a result type that the test does not have: 404, 400, or 200 with no rows",
        "404",
        "400",
        "empty",
    )
    window_slack: float = _switch(
        0.0, "how many seconds before a window a round may have begun and be included", low=0
    )
    path_vis_direction: str = _switch(
        "both",
        "path-vis of a bidirectional test when no direction is asked for: both, or to-target alone",
        "both",
        "to-target",
    )
    row_order: str = _switch("sorted", "rows by round and agent, or shuffled", "sorted", "shuffled")
    page_size: int = _switch(1000, "rows on one page of results; 0: all on one page", low=0)
    links_carry_aid: bool = _switch(
        True, "whether the link to the next page repeats the aid that was asked for"
    )
    foreign_next: bool = _switch(False, "the link to the next page points to another origin")
    endless_next: bool = _switch(False, "every page of results has a link to a next one")
    error_type_spelling: str = _switch(
        "None",
        "errorType where nothing failed (sip-server always says none instead of None);"
        " unknown: None, and a word that nobody knows where something did",
        "None",
        "none",
        "null",
        "absent",
        "unknown",
    )
    numbers_as_text: bool = _switch(False, "every number in a row is text")
    extra_fields: bool = _switch(False, "answers have fields that no description knows")
    quota_headers: str = _everywhere(
        "both", "which families of rate limit headers are sent", "both", "organization", "instant", "none"
    )
    omit_remaining: bool = _everywhere(False, "the rate limit headers come without Remaining")
    retry_after: str = _everywhere(
        "none", "Retry-After on 429: none, in seconds, or as a date", "none", "seconds", "date"
    )
    reset: str = _everywhere("future", "the announced Reset, true or a minute in the past", "future", "past")
    clock_offset: float = _everywhere(0.0, "seconds by which the simulator's clock is ahead of the real one")
    foreign_aid: str = _everywhere(
        "403", "the answer to an account group that the user has not", "403", "404"
    )
    organization_limit: int = _everywhere(240, "requests in one rate limit window", low=1)
    instant_limit: int = _everywhere(24, "runs and creations in one rate limit window", low=1)
    quota_window: float = _everywhere(60.0, "length of a rate limit window in seconds", low=0.001)
    quota_windows: str = _everywhere(
        "aligned",
        "rate limit windows are aligned to the clock (at 60 s: to its minute), or open with their first request",
        "aligned",
        "first-request",
    )
    date_header: str = _everywhere(
        "departure",
        "Date of a response: when it leaves, or when its request arrived",
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
        """These switches with some of them set otherwise.

        :raises ValueError: for an unknown switch or value, naming those that there are.
        """
        check_names(changes, SWITCH_NAMES, "switch")
        return replace(self, **changes)

    def checked_for_one_test(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """``changes``, when they are ones that a single test can have.

        :raises ValueError: for an unknown switch or value, and for one that concerns the whole API.
        """
        check_names(changes, PER_TEST, "switch of a test")
        self.changed(changes)
        return dict(changes)


SWITCH_NAMES = tuple(switch.name for switch in fields(Switches))
PER_TEST = tuple(switch.name for switch in fields(Switches) if switch.metadata["per_test"])
