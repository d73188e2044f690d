"""How Sphinx builds the documentation: `make docs`, offline, any warning an error.

Sphinx rather than MkDocs, since the docstrings are written in its field lists and roles: it resolves what they refer
to, and says what it cannot resolve. The pages are Markdown that reads as well where no one has built them.
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
REPOSITORY = "https://github.com/thousandeyes-airflow/airflow-provider-thousandeyes/blob/main/"

# Airflow makes itself a home when it is imported: not in that of whoever builds this.
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

# Other projects' names are no links, since their lists of names would have to be fetched; what is ours has to resolve.
nitpick_ignore_regex = [
    ("py:.*", r"(?!thousandeyes_provider)[\w.\[\], |]+"),
    # Named in signatures, and nobody's business.
    ("py:class", r"thousandeyes_provider\.(exceptions\._\w+|hooks\.(account|calls|connection)\.\w+)"),
    ("py:class", r"thousandeyes_provider\.(operators\.(base|rounds)|simulator\.service)\.\w+"),
]


def _own_name(app: Sphinx, env: Any, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Resolve a class of ours that a docstring names without its module, as its code does."""
    name = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not re.fullmatch(r"[A-Z]\w+", name):
        return None
    found = [
        (full, entry)
        for full, entry in env.domains.python_domain.objects.items()
        if full.rpartition(".")[2] == name and not entry.aliased
    ]
    if len(found) != 1:
        return None
    full, entry = found[0]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, full)


def _files_of_the_repository(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links to files outside this folder lead to the repository; that the files exist is what the tests check."""
    source[0] = re.sub(r"\]\(\.\./(?!\.\./)([\w./-]+)\)", rf"]({REPOSITORY}\1)", source[0])


def _list_external_links(app: Sphinx, error: Exception | None) -> None:
    """Write down where pages lead that nobody fetched."""
    if error is None and app.builder.format == "html":
        links = {
            node["refuri"]
            for page in app.env.found_docs
            for node in app.env.get_doctree(page).findall(nodes.reference)
            if node.get("refuri", "").startswith("http")
        }
        Path(app.outdir, "external-links.txt").write_text("".join(f"{link}\n" for link in sorted(links)))


def setup(app: Sphinx) -> None:
    """Connect what is above; Sphinx calls it."""
    app.connect("missing-reference", _own_name)
    app.connect("source-read", _files_of_the_repository)
    app.connect("build-finished", _list_external_links)
