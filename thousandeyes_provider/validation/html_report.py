"""The evidence as one self-contained HTML file: the report page of Airflow's web interface, without Airflow.

The page is built from ``ui/web`` by ``make ui``; released wheels contain it. The file makes no request: its security
policy allows the script of the page and no other, also when the name of an agent contains one.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[1] / "ui" / "bundle" / "report.js"
"""The page, with everything that it needs."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{title}</title>
</head>
<body style="margin:0">
<div id="report"><p>{summary}</p></div>
<noscript>This report needs JavaScript.</noscript>
<script type="application/json" id="evidence">{evidence}</script>
<script>{script}</script>
</body>
</html>
"""


def html_report(evidence: Mapping[str, Any], script: Path = SCRIPT) -> str:
    """Return the evidence as an HTML page.

    :param script: the built page.
    :raises FileNotFoundError: when the page is not built.
    """
    try:
        code = script.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"HTML reports are not available: {script} is missing. "
            "Install a released wheel, or run `make ui` in the source tree (needs Node.js)"
        ) from None
    code = _script_text(code)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    summary = str(evidence.get("summary") or evidence.get("verdict") or "")
    name = evidence.get("test_name") or evidence.get("test_id") or "suite"
    return _PAGE.format(
        policy=(
            f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
        title=html.escape(f"ThousandEyes: {name}: {evidence.get('verdict')}"),
        summary=html.escape(summary),
        evidence=_json_text(evidence),
        script=code,
    )


def _json_text(value: Mapping[str, Any]) -> str:
    """JSON that no HTML parser takes for anything else: neither the end of the script nor a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script_text(code: str) -> str:
    """Escape character sequences in a script that end it or start a comment in HTML.

    In JavaScript they occur in texts only, where a backslash before ``/`` and ``!`` changes nothing.
    """
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--").strip()
