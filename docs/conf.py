"""Sphinx configuration: ``make docs`` builds offline, and a warning is an error.

The docstrings use Sphinx' field lists and roles, which it resolves and checks. The pages are Markdown, which reads
well without a build.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).parent.parent

# Importing Airflow creates AIRFLOW_HOME: keep it out of the user's own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="thousandeyes-docs-")
sys.path.insert(0, str(ROOT))

from thousandeyes_provider import __version__  # noqa: E402

project = "ThousandEyes for Airflow"
author = "the authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["images"]

html_theme = "furo"
html_title = f"{project} {release}"
html_show_copyright = False
html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# Names of other projects are not linked: their inventories would have to be downloaded. Our own names must resolve.
nitpick_ignore_regex = [
    ("py:.*", r"(?!thousandeyes_provider)[\w.\[\], |]+"),
    # Internal classes that signatures name.
    ("py:class", r"thousandeyes_provider\.exceptions\._\w+"),
    ("py:class", r"thousandeyes_provider\.hooks\.(?!(base_hook|thousandeyes|async_thousandeyes)\.)\w+\.\w+"),
    ("py:class", r"thousandeyes_provider\.operators\.(?!(instant_test|suite)\.)\w+\.\w+"),
    ("py:class", r"thousandeyes_provider\.simulator\.service\.\w+"),
]


def _own_name(app: Sphinx, env: Any, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Resolve a class of this package that a docstring names without its module."""
    name = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not re.fullmatch(r"[A-Z]\w+", name):
        return None
    matches = [
        (full, entry)
        for full, entry in env.domains.python_domain.objects.items()
        if full.rpartition(".")[2] == name and not entry.aliased
    ]
    if len(matches) != 1:
        return None
    full, entry = matches[0]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, full)


def _list_external_links(app: Sphinx, error: Exception | None) -> None:
    """Write the external links of all pages to ``external-links.txt``; the build does not fetch them."""
    if error is None and app.builder.format == "html":
        links = {
            node["refuri"]
            for page in app.env.found_docs
            for node in app.env.get_doctree(page).findall(nodes.reference)
            if node.get("refuri", "").startswith("http")
        }
        Path(app.outdir, "external-links.txt").write_text("".join(f"{link}\n" for link in sorted(links)))


def setup(app: Sphinx) -> None:
    """Register the handlers above."""
    app.connect("missing-reference", _own_name)
    app.connect("build-finished", _list_external_links)
