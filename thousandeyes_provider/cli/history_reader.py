"""Reading the history of a test: in portions, at the pace of the quota, and resumable from a cache file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thousandeyes_provider.api.run import Plan
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesNotFoundError
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.hooks.results_reader import LATE_MEASUREMENTS
from thousandeyes_provider.validation.history import History

PORTION = 6 * 3600
"""Seconds of history in one portion: few enough pages that a pause between portions keeps the pace of the quota."""


@dataclass
class HistoryReader:
    """Read the rounds of a test over days.

    :param plan: known properties of the test: its result types and their directions.
    :param expand: the ``expand`` parameter by result type.
    :param keep: nested fields to keep.
    :param cache: file to keep the portions in; ``None`` for none.
    :param progress: called with the portions done and in all.
    """

    hook: BlockingThousandEyesHook
    plan: Plan
    expand: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keep: Sequence[str] = ()
    cache: Path | None = None
    progress: Callable[[int, int], None] = lambda done, total: None

    def read(self, days: int) -> History:
        """Read the last days.

        :raises ThousandEyesError: if a read fails. Earlier reads stay in the cache file.
        """
        now = int(self.hook.server_now())
        starts = range((now - days * 86400) // PORTION * PORTION, now + 1, PORTION)
        history = History(self.plan.test_id, self.plan.test_type, self.plan.test_name, keep=self.keep)
        wanted = [(name, start) for start in starts for name in self.plan.directions]
        cache = _Cache(self.cache, self._description())
        for done, (result_type, start) in enumerate(wanted):
            self.progress(done, len(wanted))
            rows = cache.portions.pop((result_type, start), None)
            is_new = rows is None
            if rows is None:
                rows = self._portion(result_type, start)
            history.add(result_type, rows, since=start, until=start + PORTION)
            # The portion of now is still growing.
            if is_new and start + PORTION + LATE_MEASUREMENTS < self.hook.server_now():
                cache.write(result_type, start, history.export(result_type, start, start + PORTION))
        self.progress(len(wanted), len(wanted))
        return history

    def _portion(self, result_type: str, start: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for direction in self.plan.directions[result_type]:
            sent_before = self.hook.requests_sent
            try:
                response = self.hook.get_test_results(
                    self.plan.test_id,
                    result_type,
                    start_date=datetime.fromtimestamp(start, UTC),
                    end_date=datetime.fromtimestamp(start + PORTION + LATE_MEASUREMENTS, UTC),
                    direction=direction,
                    expand=self.expand.get(result_type),
                )
            except ThousandEyesNotFoundError:
                continue
            rows += [{"direction": direction, **row} if direction else row for row in response["results"]]
            pause = self.hook.polling_gap() * (self.hook.requests_sent - sent_before)
            self.hook.sleep(pause)
            self.hook.paced_seconds += pause
        return rows

    def _description(self) -> dict[str, Any]:
        return {
            "test_id": self.plan.test_id,
            "account_group_id": self.plan.account_group_id,
            "portion": PORTION,
            "keep": sorted(self.keep),
            "expand": {name: sorted(values) for name, values in sorted(self.expand.items())},
        }


class _Cache:
    """A file with one line of JSON for each portion. A line that was cut short is dropped."""

    def __init__(self, path: Path | None, description: Mapping[str, Any]) -> None:
        self._path = path
        self.portions: dict[tuple[str, int], list[dict[str, Any]]] = {}
        header = {"thousandeyes_history": 1, **description}
        if path is None:
            return
        if not path.exists() or not path.stat().st_size:
            self._append(header)
            return
        whole = 0
        for line, size in self._lines(path):
            if whole:
                self.portions[line["result_type"], line["start"]] = line["rows"]
            elif line != header:
                break
            whole += size
        if not whole:
            raise ThousandEyesConfigurationError(
                f"--cache {path}: not the history of this test with these checks; name another file"
            )
        os.truncate(path, whole)

    @staticmethod
    def _lines(path: Path) -> Iterator[tuple[Any, int]]:
        """The whole lines of the file with their sizes in bytes."""
        with path.open("rb") as file:
            for line in file:
                try:
                    yield json.loads(line) if line.endswith(b"\n") else json.loads("cut"), len(line)
                except ValueError:
                    return

    def write(self, result_type: str, start: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append a portion."""
        self._append({"result_type": result_type, "start": start, "rows": rows})

    def _append(self, content: Mapping[str, Any]) -> None:
        """Append a line as a whole, or not at all."""
        if self._path is None:
            return
        with open(self._path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            size = file.tell()
            try:
                file.write(json.dumps(content).encode() + b"\n")
                file.flush()
            except BaseException:
                file.truncate(size)
                raise
