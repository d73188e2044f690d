"""Everything that is wrong, at once."""

from __future__ import annotations

from thousandeyes_provider.api.declaration_errors import DeclarationErrors


def test_one_fault_speaks_for_itself_and_several_are_counted():
    assert str(DeclarationErrors(["a: wrong"])) == "a: wrong"
    assert str(DeclarationErrors(["a: wrong", "b: wrong"])) == "2 faults:\n- a: wrong\n- b: wrong"
    assert DeclarationErrors(["a"]).faults == ("a",)
