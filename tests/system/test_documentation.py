"""The documentation: examples run, links resolve, commands exist, tables match the code."""

from __future__ import annotations

import argparse
import ast
import doctest
import importlib.util
import inspect
import json
import os
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from markdown_it import MarkdownIt

from thousandeyes_provider.config import OPTIONS
from thousandeyes_provider.operators.base import BaseInstantTestOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor
from thousandeyes_provider.simulator import Simulator

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}

TASKS = (BaseInstantTestOperator, InstantTestResultsSensor)
HURRIED = {"poll_interval": 0.07, "grace": 0.2}
PREAMBLE = """\
from airflow.providers.common.compat.sdk import DAG, task
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator, RunInstantTestOperator

with DAG({dag_id!r}, schedule=None, params={{"pr": 17}}):

    @task
    def step(): ...

    deploy, promote = step.override(task_id="deploy")(), step.override(task_id="promote")()
"""
"""Code around a block that has operators but no DAG."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def kind(self) -> str:
        """How the tests run the block."""
        if ">>> " in self.text:
            return "doctest"
        if re.search(r"^def test_", self.text, re.MULTILINE):
            return "pytest"
        return "dag" if re.search(r"\bDAG\(|Operator[.(]|Sensor[.(]", self.text) else "code"


def _blocks() -> Iterator[Block]:
    for page, text in TEXTS.items():
        for token in MarkdownIt().parse(text):
            if token.type == "fence" and token.map:
                yield Block(page, token.map[0] + 1, token.info, token.content)


BLOCKS = list(_blocks())


def of(language: str, *kinds: str) -> pytest.MarkDecorator:
    """Parametrize a test with the blocks of a language and of some kinds."""
    blocks = [block for block in BLOCKS if block.language == language and (not kinds or block.kind in kinds)]
    assert blocks
    return pytest.mark.parametrize("block", blocks, ids=[block.name for block in blocks])


def compatible(source: str) -> str:
    """Return the source with imports that work on every Airflow version."""
    return source.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import")


def test_the_configuration_table_lists_every_option_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", TEXTS["docs/configuration.md"], re.MULTILINE)
    assert dict(rows) == {name: option.default_text for name, option in OPTIONS.items()}


# -- links ---------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and Sphinx create them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS)
def test_links_resolve(page: str) -> None:
    for token in MarkdownIt().parse(TEXTS[page]):
        for part in token.children or []:
            link = str(part.attrs.get("href") or part.attrs.get("src") or "")
            if not link or re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (ROOT / page).parent / path if path else ROOT / page
            assert target.exists(), f"{page}: {link}"
            if anchor:
                assert anchor in anchors(target.read_text()), f"{page}: {link}"


def test_the_indexes_list_every_page() -> None:
    listed = set()
    for index in ("docs/index.md", "docs/api/index.md"):
        folder = Path(index).parent
        (tree,) = (block for block in BLOCKS if block.page == index and block.language == "{toctree}")
        listed |= {f"{folder / name}.md" for name in tree.text.split() if not name.startswith(":")} | {index}
    assert {page for page in TEXTS if page.startswith("docs/")} == listed


# -- commands ------------------------------------------------------------------------------------------------------


@of("bash")
def test_commands_exist(block: Block) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in filter(None, block.text.splitlines()):
        command, *rest = shlex.split(line, comments=True)
        if command == "make":
            assert {word for word in rest if "=" not in word} <= set(targets), line
        elif command == "python":
            assert rest[0] == "-m"
            assert importlib.util.find_spec(rest[1]), line
        elif command == "airflow":
            from airflow.cli.cli_parser import get_parser

            get_parser().parse_args(rest)
        elif command == "pip":
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            assert rest in (["install", project["name"]], ["install", "dist/*.whl"]), line
        elif command == "export":
            name, _, value = rest[0].partition("=")
            assert name.startswith("AIRFLOW_CONN_")
            check_connection(value)
        elif command == "curl":
            check_control_request(rest)
        else:
            pytest.fail(f"{block.name}: no check for the command {command!r}")


def check_control_request(arguments: list[str]) -> None:
    """Send a documented request to the control endpoint of a simulator."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-d", dest="body", default="")
    parser.add_argument("url")
    request = parser.parse_args(arguments)
    with Simulator() as simulator, requests.Session() as session:
        session.trust_env = False  # no proxy for a loopback address
        url = f"http://127.0.0.1:{simulator.port}{urlsplit(request.url).path}"
        assert session.request(request.method, url, data=request.body, timeout=10).ok


def check_connection(value: str) -> None:
    from airflow.models.connection import Connection
    from thousandeyes_provider.hooks.connection import read_connection

    connection = Connection.from_json(value) if value.startswith("{") else Connection(uri=value)
    assert connection.conn_type == "thousandeyes"
    settings = read_connection(
        "documented",
        host=connection.host,
        schema=connection.schema,
        port=connection.port,
        password=connection.password,
        extra=connection.extra_dejson,
    )
    assert (settings.token, settings.account_group_id, settings.warnings) == ("TOKEN", "1234", ())


# -- Python --------------------------------------------------------------------------------------------------------


@of("python", "doctest")
def test_interactive_examples_run(block: Block) -> None:
    """The sessions of a page share their variables."""
    session = "\n".join(
        other.text for other in BLOCKS if other.page == block.page and other.kind == "doctest"
    )
    test = doctest.DocTestParser().get_doctest(session, {}, block.page, block.page, 0)
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.fixture
def simulator():
    """A simulator with the tests on the pages and with constant metrics."""
    with Simulator(speed=30, listed_in_tests=True, round_ids="unambiguous") as running:
        named = {test_id for block in BLOCKS for test_id in re.findall(r"\d{6,}", block.text)}
        for test_id in named - set(running.tests):
            if len(test_id) > 6:
                running.add_test("http-server", test_id, metrics={"responseTime": 100})
        running.change_test("202703", metrics={"responseTime": 100})
        yield running


@pytest.fixture
def connected(simulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection()))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@of("python", "code")
def test_code_runs(block: Block, connected, airflow) -> None:
    exec(compile(compatible(block.text), block.name, "exec"), {"__name__": "example"})


@pytest.mark.system
@of("python", "dag")
def test_dags_run(block: Block, connected, simulator, airflow) -> None:
    for provider in re.findall(r"airflow\.providers\.(slack|smtp)", block.text):
        pytest.importorskip(f"airflow.providers.{provider}")
    source = compatible(block.text)
    if "DAG(" not in source:
        dag_id = re.sub(r"\W", "_", block.name)
        source = PREAMBLE.format(dag_id=dag_id) + textwrap.indent(source, "    ")
    for dag in dags_of(block, source):
        shorten_waits(dag)
        assert dag.test().state == "success"
    assert simulator.requests


@pytest.mark.system
@of("python", "pytest")
def test_tests_pass(block: Block, request, monkeypatch, airflow) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    names: dict[str, object] = {"__name__": "example"}
    file = file_of(block, compatible(block.text))
    try:
        exec(compile(file.read_text(), str(file), "exec"), names)
        for name, function in list(names.items()):
            if name.startswith("test_") and callable(function):
                function(*map(request.getfixturevalue, inspect.signature(function).parameters))
    finally:
        file.unlink()


def file_of(block: Block, source: str) -> Path:
    """Write a source file into the DAGs folder, from which Airflow 3 loads DAGs."""
    ast.parse(source)
    file = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"], re.sub(r"\W", "_", block.name) + ".py")
    file.write_text(source)
    return file


def dags_of(block: Block, source: str) -> Iterator[object]:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    file = file_of(block, source)
    try:
        bag = DagBag(dag_folder=str(file))
        assert not bag.import_errors
        assert bag.dags
        yield from bag.dags.values()
    finally:
        file.unlink()


def shorten_waits(dag) -> None:
    """Shorten the waits of all tasks."""
    for task in dag.tasks:
        if isinstance(task, TASKS):
            for name, seconds in HURRIED.items():
                if name != "poll_interval" or not hasattr(task, "poke_interval"):
                    setattr(task, name, seconds)
        elif isinstance(getattr(task, "partial_kwargs", None), dict) and issubclass(
            task.operator_class, TASKS
        ):
            task.partial_kwargs.update(HURRIED)


@pytest.mark.system
def test_the_mail_notification_has_headline_and_round(connected, simulator, monkeypatch, airflow) -> None:
    smtp = pytest.importorskip("airflow.providers.smtp.notifications.smtp")
    sent = []
    monkeypatch.setattr(smtp.SmtpNotifier, "notify", lambda mail, context: sent.append(mail))
    simulator.change_test("202703", outcomes={"Singapore": "error"})
    (block,) = (block for block in BLOCKS if "SmtpNotifier(" in block.text)
    for dag in dags_of(block, block.text):
        shorten_waits(dag)
        assert dag.test().state == "failed"
    (mail,) = sent
    assert "Singapore" in mail.subject
    assert "202703" in mail.subject
    assert 'href="https://app.thousandeyes.com/' in mail.html_content
