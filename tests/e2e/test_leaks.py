"""The search for the token finds planted tokens, so that an empty result is meaningful."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from urllib.parse import quote

import psutil
import pytest
import requests

from harness.leaks import Leak
from harness.postgres import Postgres
from thousandeyes_provider.simulator import Simulator

pytestmark = pytest.mark.system

TOKEN = "t0ken/that+nobody=may~see"


def in_base64(prefix):
    return base64.b64encode(f"{prefix}{TOKEN}, and more".encode()).decode()


@pytest.mark.parametrize("prefix", ["", "B", "Be", "Bearer "])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_the_token_is_found_in_base64_at_any_offset(prefix, encode, secret):
    assert secret.found_in(encode(f"{prefix}{TOKEN}, and more".encode())) == {"base64"}


@pytest.mark.parametrize("safe", ["", "/"])
@pytest.mark.parametrize("spell", [str, lambda text: re.sub("%..", lambda escape: escape[0].lower(), text)])
def test_the_token_is_found_url_encoded(safe, spell, secret):
    assert secret.found_in(f"https://proxy/?key={spell(quote(TOKEN, safe=safe))}&more") == {"URL-encoded"}


def test_the_token_is_found_without_false_positives(secret):
    assert secret.found_in(f'{{"password": "{TOKEN}"}}') == {"plain"}
    assert not secret.found_in(json.dumps({"password": "***", "host": "t0ken.example"}))
    assert not secret.found_in(base64.b64encode(b"another text that is long enough"))


FORMS = {"plain": TOKEN, "URL-encoded": quote(TOKEN, safe=""), "base64": in_base64("Bearer ")}


@pytest.mark.parametrize(("form", "planted"), FORMS.items(), ids=FORMS)
def test_the_token_is_found_in_a_file(form, planted, search, tmp_path):
    log = tmp_path / "logs" / "dag_id=x" / "attempt=1.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\xff\x00 binary, and then " + planted.encode())
    (tmp_path / "clean.log").write_text("nothing")
    search.files(tmp_path)
    assert search.leaks == {Leak("files: logs/dag_id=x/attempt=1.log", form)}
    search.leaks.clear()
    search.files(tmp_path, leaving_out=[tmp_path / "logs"])
    assert not search.leaks


@pytest.mark.parametrize(("form", "planted"), FORMS.items(), ids=FORMS)
def test_the_token_is_found_in_arguments_and_environment(form, planted, search):
    wait = [sys.executable, "-c", "print('started', flush=True); input()"]
    for command, environment, place in (
        ([*wait, planted], {}, "arguments: {}"),
        (wait, {"SOME_VARIABLE": planted}, "environments: {} SOME_VARIABLE"),
    ):
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            # The arguments of a process are visible only when it runs.
            assert process.stdout.readline() == b"started\n"
            search.processes([psutil.Process(process.pid)])
            search.processes([psutil.Process(process.pid)], allowed=["SOME_VARIABLE"])
            process.communicate(b"\n", timeout=60)
        assert search.leaks == {Leak(place.format(process.pid), form)}
        search.leaks.clear()


@pytest.fixture(scope="module")
def database(database_program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaks", numbered=False)
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(0o755)
    server = Postgres(folder / "postgres")
    try:
        server.start()
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE xcom (value jsonb, plain json, name varchar(99), pickled bytea, tags text[])"
            )
            cursor.execute("CREATE TABLE connection (password text, extra text, description text)")
            cursor.execute("CREATE TABLE trigger (kwargs text)")
        yield server.connect()
    finally:
        server.stop()


@pytest.mark.parametrize(("form", "planted"), FORMS.items(), ids=FORMS)
@pytest.mark.parametrize("column", ["value", "plain", "name", "pickled", "tags"])
def test_the_token_is_found_in_every_type_of_column(column, form, planted, search, database):
    values = {
        "value": json.dumps({"deep": [planted]}),
        "plain": json.dumps({"deep": [planted]}),
        "name": planted,
        "pickled": b"\x80\x04 " + planted.encode(),
        "tags": ["a", planted],
    }
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM xcom")
        cursor.execute(f"INSERT INTO xcom ({column}) VALUES (%s)", [values[column]])
        search.database(database)
        cursor.execute("DELETE FROM xcom")
    assert search.leaks == {Leak(f"table xcom: {column}", form)}


def test_only_encrypted_columns_of_the_connection_are_excluded(search, database):
    with database.cursor() as cursor:
        cursor.execute("INSERT INTO connection VALUES (%s, %s, %s)", [TOKEN, TOKEN, TOKEN])
        search.database(database)
        cursor.execute("DELETE FROM connection")
    assert search.leaks == {Leak("table connection: description", "plain")}


def test_the_token_is_found_in_encrypted_arguments_of_a_trigger(search, database):
    with database.cursor() as cursor:
        cursor.execute("INSERT INTO trigger VALUES ('encrypted')")
        search.database(database)
        assert not search.leaks
        search.database(database, {"encrypted": f'{{"token": "{TOKEN}"}}'}.__getitem__)
        cursor.execute("DELETE FROM trigger")
    assert search.leaks == {Leak("decrypted triggers: kwargs", "plain")}


def test_the_token_is_found_in_the_log_of_the_simulator(search):
    with Simulator(tokens=[TOKEN], default_tests=False) as simulator:
        requests.get(f"{simulator.url}/tests?note={quote(TOKEN, safe='')}", timeout=5)
        search.simulator(simulator)
    assert {leak.form for leak in search.leaks} == {"plain"}
