"""All errors of a declaration are reported together."""

from __future__ import annotations

from thousandeyes_provider.api.declaration_errors import DeclarationErrors


def test_several_errors_are_counted():
    assert str(DeclarationErrors(["a: wrong"])) == "a: wrong"
    assert str(DeclarationErrors(["a: wrong", "b: wrong"])) == "2 errors:\n- a: wrong\n- b: wrong"
    assert DeclarationErrors(["a"]).errors == ("a",)
