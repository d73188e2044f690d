"""Search for a secret in a deployment: plain, URL-encoded, and in base64 at any offset of a longer text."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psutil
import requests

from harness.deployment import Airflow
from thousandeyes_provider.simulator import Simulator

ENCRYPTED = frozenset({("connection", "password"), ("connection", "extra")})
"""Columns that hold the secret as Fernet tokens."""

_TEXTUAL = (
    "('text', 'character varying', 'character', 'json', 'jsonb', 'xml', 'bytea', 'ARRAY', 'USER-DEFINED')"
)


class Secret:
    """A secret in all forms to search for.

    :param value: ASCII text of at least 8 characters.
    """

    def __init__(self, value: str) -> None:
        assert len(value) >= 8
        self.forms: dict[bytes, str] = {}
        for encoded in (quote(value, safe=""), quote(value), quote_plus(value)):
            for spelled in (encoded, _lower_escapes(encoded)):
                self.forms[spelled.encode()] = "URL-encoded"
        for offset in range(3):
            for core in _base64_cores(value.encode(), offset):
                self.forms[core] = "base64"
        self.forms[value.encode()] = "plain"

    def found_in(self, data: str | bytes) -> set[str]:
        """Return the forms of the secret in a text: ``plain``, ``base64``, ``URL-encoded``."""
        raw = data.encode(errors="replace") if isinstance(data, str) else data
        return {name for form, name in self.forms.items() if form in raw}


def _lower_escapes(text: str) -> str:
    """Return escapes such as ``%2F`` in lower case: both spellings are in use."""
    first, *rest = text.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _base64_cores(value: bytes, offset: int) -> Iterator[bytes]:
    """Return the base64 text of the value at ``offset`` (modulo 3), without characters that depend on neighbors."""
    begin = -offset % 3
    end = len(value) - (len(value) - begin) % 3
    core = value[begin:end]
    yield base64.b64encode(core)
    yield base64.urlsafe_b64encode(core)


@dataclass(frozen=True)
class Leak:
    """A leak of the secret.

    :param place: place of the leak.
    :param form: form of the secret.
    """

    place: str
    form: str


class Search:
    """Searches all data of a deployment for a secret and collects the leaks.

    :param secret: the secret.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self.leaks: set[Leak] = set()
        self.searched_bytes: Counter[str] = Counter()
        """Searched bytes by kind of place."""

    def data(self, kind: str, place: str, data: str | bytes) -> None:
        """Search one piece."""
        self.searched_bytes[kind] += len(data)
        self.leaks |= {Leak(f"{kind}: {place}", form) for form in self._secret.found_in(data)}

    def files(self, folder: Path, *, leaving_out: Iterable[Path] = ()) -> None:
        """Search all files in a folder and its subfolders."""
        left_out = tuple(leaving_out)
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and not any(map(path.is_relative_to, left_out)):
                with contextlib.suppress(FileNotFoundError):
                    self.data("files", str(path.relative_to(folder)), path.read_bytes())

    def database(self, connection: Any, decrypt: Callable[[str], str] | None = None) -> None:
        """Search every database column that can hold text or bytes.

        :param decrypt: decrypts arguments of triggers.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
                " JOIN information_schema.tables USING (table_schema, table_name)"
                " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
                f" AND data_type IN {_TEXTUAL}"
            )
            for schema, table, column, kind in cursor.fetchall():
                if (table, column) in ENCRYPTED:
                    continue
                value = f'"{column}"' if kind == "bytea" else f"convert_to(\"{column}\"::text, 'UTF8')"
                cursor.execute(f'SELECT {value} FROM "{schema}"."{table}" WHERE "{column}" IS NOT NULL')
                for (value,) in cursor.fetchall():
                    self.data(f"table {table}", column, bytes(value))
                    if (table, column) == ("trigger", "kwargs") and decrypt is not None:
                        self.data("decrypted triggers", column, decrypt(bytes(value).decode()))

    def processes(self, processes: Iterable[psutil.Process], *, allowed: Iterable[str] = ()) -> None:
        """Search the arguments and environment variables of processes.

        :param allowed: variables that may hold the secret.
        """
        for process in processes:
            with contextlib.suppress(psutil.Error):
                self.data("arguments", str(process.pid), "\0".join(process.cmdline()))
                for name, value in process.environ().items():
                    if name not in allowed:
                        self.data("environments", f"{process.pid} {name}", value)

    def simulator(self, simulator: Simulator) -> None:
        """Search the simulator's request log and state."""
        request_log = json.dumps([asdict(request) for request in simulator.requests], default=str)
        self.data("simulator", "requests", request_log)
        self.data("simulator", "control", requests.get(f"{simulator.url}/control", timeout=30).content)

    def everywhere(self, airflow: Airflow, simulator: Simulator) -> None:
        """Search the files, database and processes of a deployment, and the simulator."""
        self.files(airflow.folder, leaving_out=[airflow.folder / "postgres" / "data"])
        self.database(airflow.metadata.connection, airflow.decrypt)
        self.processes(airflow.processes.everything(), allowed=airflow.variables)
        self.simulator(simulator)


def kinds_of_places(text: str, airflow: Airflow, simulator: Simulator) -> set[str]:
    """Return the places where a search finds a harmless text, to prove that the search covers them."""
    search = Search(Secret(text))
    search.everywhere(airflow, simulator)
    return {leak.place.split(":")[0] for leak in search.leaks}
