from __future__ import annotations

import pytest

from thousandeyes_provider.simulator.switches import PER_TEST, SWITCH_NAMES, Switches


def test_the_error_of_an_invalid_choice_lists_the_choices() -> None:
    with pytest.raises(ValueError, match="newest_round must be one of partial, previous, both, got 'old'"):
        Switches(newest_round="old")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listed_in_tests", "yes"),
        ("listed_in_tests", 1),
        ("page_size", -1),
        ("page_size", 2.5),
        ("page_size", True),
        ("clock_offset", float("nan")),
        ("clock_offset", "60"),
        ("instant_limit", 0),
        ("quota_window", 0),
        ("error_type_spelling", None),
    ],
)
def test_the_error_of_an_invalid_value_names_the_switch(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Switches().changed({name: value})


def test_the_error_of_an_unknown_switch_lists_the_known_switches() -> None:
    with pytest.raises(
        ValueError, match="unknown switch newest_rounds; known: newest_round, before_first_data"
    ):
        Switches().changed({"newest_rounds": "both"})


def test_a_switch_of_the_whole_api_cannot_be_set_on_a_test() -> None:
    assert Switches().checked_for_one_test({"page_size": 2}) == {"page_size": 2}
    for name in sorted(set(SWITCH_NAMES) - set(PER_TEST)):
        with pytest.raises(ValueError, match="unknown switch of a test"):
            Switches().checked_for_one_test({name: getattr(Switches(), name)})


def test_changed_does_not_modify_the_original() -> None:
    switches = Switches()
    assert switches.changed({"round_ids": "second"}).round_ids == "second"
    assert switches == Switches()
