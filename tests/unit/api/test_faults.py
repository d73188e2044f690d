"""Everything that is wrong, at once."""

from __future__ import annotations

from thousandeyes_provider.api.faults import Faults


def test_one_fault_speaks_for_itself_and_several_are_counted():
    assert str(Faults(["a: wrong"])) == "a: wrong"
    assert str(Faults(["a: wrong", "b: wrong"])) == "2 faults:\n- a: wrong\n- b: wrong"
    assert Faults(["a"]).faults == ("a",)
