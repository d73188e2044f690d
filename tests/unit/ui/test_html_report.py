"""The report page as a single file: evidence never becomes markup, and the page loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.validation.html_report import html_report
from thousandeyes_provider.validation.reports import report, report_format

EVIDENCE = {
    "verdict": "failed",
    "summary": "FAILED: Singapore: refused",
    "test_id": "7",
    "test_name": "Checkout",
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "report.js"
    path.write_text('start("</script><!-- <\\u00e9");\n')
    return path


class Elements(HTMLParser):
    """The elements of a page and the text of its scripts, as a browser parses them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        (self.scripts if self.cdata_elem == "script" else self.texts).append(data)


def test_the_page_has_the_evidence_and_the_script(script: Path) -> None:
    page = Elements(html_report(EVIDENCE, script))
    evidence, code = page.scripts
    assert json.loads(evidence) == EVIDENCE
    assert code.startswith("start(")
    assert "FAILED: Singapore: refused" in page.texts


def test_a_browser_runs_that_script_only_and_loads_nothing(script: Path) -> None:
    page = Elements(html_report(EVIDENCE, script))
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert re.findall(r"script-src ([^;]*)", policy) == [f"'sha256-{digest}'"]
    addresses = [
        value
        for _, attributes in page.elements
        for name in ("src", "href")
        if (value := attributes.get(name))
    ]
    assert addresses == ["data:,"]


HOSTILE = st.sampled_from(
    [
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "<img src=x onerror=alert(1)>",
        "{title}",
        "\u2028",
        "&lt;",
    ]
)
TEXTS = st.one_of(st.text(), HOSTILE)
VALUES = st.recursive(
    st.one_of(
        TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=10,
)


@given(name=TEXTS, summary=TEXTS, more=st.dictionaries(TEXTS, VALUES, max_size=4))
def test_nothing_in_the_evidence_becomes_markup(
    script: Path, name: str, summary: str, more: dict[str, Any]
) -> None:
    evidence = more | {"verdict": "failed", "test_name": name, "summary": summary}
    page = Elements(html_report(evidence, script))
    assert [tag for tag, _ in page.elements] == [
        tag for tag, _ in Elements(html_report(EVIDENCE, script)).elements
    ]
    assert json.loads(page.scripts[0]) == evidence


def test_a_page_that_is_not_built_is_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"report\.js is missing.*make ui"):
        html_report(EVIDENCE, tmp_path / "report.js")


def test_the_html_suffix_selects_the_page() -> None:
    assert report_format("s3://bucket/report.HTML") == "html"


def test_the_report_of_the_built_page_is_complete() -> None:
    from thousandeyes_provider.validation.html_report import SCRIPT

    if not SCRIPT.is_file():
        pytest.skip("needs the built pages (make ui)")
    page = Elements(report(EVIDENCE, "html"))
    assert len(page.scripts) == 2
    assert len(page.scripts[1]) > 100_000
