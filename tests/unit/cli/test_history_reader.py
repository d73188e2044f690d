"""Reading a history: portions, pace, and a cache file of complete portions."""

from __future__ import annotations

import itertools
import json

import pytest

from thousandeyes_provider.api.expected_agents import ExpectedAgents
from thousandeyes_provider.api.run import Plan
from thousandeyes_provider.cli.history_reader import PORTION, HistoryReader
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesNotFoundError

NOW = 1_790_000_400


def plan(**directions):
    return Plan(
        test_id="7",
        test_type="http-server",
        account_group_id=None,
        directions=directions or {"http-server": (None,)},
        rows_per_agent={},
        expected=ExpectedAgents("unknown"),
        remembered={},
        test_name="Checkout",
    )


class Hook:
    """A hook that returns a round of two agents every 300 s."""

    def __init__(self, gap=0.0, pages=1, fail_at=None, error=KeyboardInterrupt):
        self.gap, self.pages, self.fail_at, self.error = gap, pages, fail_at, error
        self.requests_sent, self.slept, self.paced_seconds, self.reads = 0, [], 0.0, []

    def server_now(self):
        return float(NOW)

    def polling_gap(self):
        return self.gap

    def sleep(self, seconds):
        self.slept.append(seconds)

    def get_test_results(self, test_id, result_type, *, start_date, end_date, direction, expand):
        if len(self.reads) == self.fail_at:
            raise self.error
        self.reads.append((result_type, direction, start_date.timestamp(), end_date.timestamp()))
        self.requests_sent += self.pages
        # The API may include a round that started just before.
        times = range(int(start_date.timestamp()) - 300, min(int(end_date.timestamp()), NOW), 300)
        rows = [
            {"agent": {"agentId": agent, "agentName": agent}, "roundId": at, "responseTime": 1.0}
            for at in times
            for agent in ("a", "b")
        ]
        return {"test": {}, "results": rows}


def read(hook, cache=None, days=2, **directions):
    return HistoryReader(hook, plan(**directions), cache=cache).read(days)


def test_every_round_is_read_once():
    history = read(Hook())
    assert len(history) == (NOW - history.rounds[0] + 299) // 300
    assert {len(rows["http-server"]) for _, rows in history} == {2}
    assert history.gaps == ()


def test_each_read_covers_its_portion_and_the_late_measurements():
    hook = Hook()
    read(hook, days=1)
    starts = [start for _, _, start, _ in hook.reads]
    assert [later - earlier for earlier, later in itertools.pairwise(starts)] == [PORTION] * 4
    assert NOW - 86400 - PORTION < starts[0] <= NOW - 86400
    assert {end - start for _, _, start, end in hook.reads} == {PORTION + 900}
    assert starts[-1] <= NOW < starts[-1] + PORTION


def test_the_pause_after_a_read_fits_the_requests_that_it_took():
    hook = Hook(gap=0.5, pages=4)
    read(hook, days=1)
    assert hook.slept == [2.0] * 5
    assert hook.paced_seconds == 10.0


def test_rows_of_both_directions_have_their_direction():
    hook = Hook()
    history = read(hook, days=1, network=("to-target", "from-target"))
    assert {direction for _, direction, _, _ in hook.reads} == {"to-target", "from-target"}
    (rows,) = history.rows(history.rounds[0]).values()
    assert sorted(row["direction"] for row in rows) == [
        "from-target",
        "from-target",
        "to-target",
        "to-target",
    ]


def test_a_result_type_that_the_test_lacks_is_empty():
    error = ThousandEyesNotFoundError("no such results", status=404)
    assert len(read(Hook(fail_at=0, error=error), days=1)) == 0


class TestCache:
    def test_a_second_call_reads_only_what_is_new(self, tmp_path):
        first, second = Hook(), Hook()
        whole = read(first, tmp_path / "cache")
        again = read(second, tmp_path / "cache")
        assert list(again) == list(whole)
        assert (len(first.reads), len(second.reads)) == (9, 1)

    def test_an_interrupted_call_resumes(self, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            read(Hook(fail_at=5), tmp_path / "cache")
        lines = (tmp_path / "cache").read_text().splitlines()
        assert [set(json.loads(line)) for line in lines[1:]] == [{"result_type", "start", "rows"}] * 5
        resumed = Hook()
        assert list(read(resumed, tmp_path / "cache")) == list(read(Hook()))
        assert len(resumed.reads) == 4

    def test_a_truncated_line_is_read_again(self, tmp_path):
        path = tmp_path / "cache"
        read(Hook(), path)
        content = path.read_bytes()
        path.write_bytes(content[:-10])
        hook = Hook()
        assert list(read(hook, path)) == list(read(Hook()))
        assert len(hook.reads) == 2
        assert path.read_bytes() == content

    def test_an_interrupt_while_writing_leaves_no_half_line(self, tmp_path, monkeypatch):
        path = tmp_path / "cache"
        monkeypatch.setattr("builtins.open", interrupted_open(after=3))
        with pytest.raises(KeyboardInterrupt):
            read(Hook(), path)
        monkeypatch.undo()
        content = path.read_bytes()
        assert content.endswith(b"\n")
        assert len(content.splitlines()) == 3

    def test_without_a_cache_nothing_is_written(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        read(Hook(), None)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("content", ["my notes\n", '{"test_id": "8"}\n', "no end of line"])
    def test_another_file_is_refused_and_unchanged(self, tmp_path, content):
        path = tmp_path / "notes"
        path.write_text(content)
        with pytest.raises(ThousandEyesConfigurationError, match="not the history of this test"):
            read(Hook(), path)
        assert path.read_text() == content


def interrupted_open(after):
    """Return an ``open`` whose files raise KeyboardInterrupt in the middle of a write, after some writes."""
    real, writes = open, []

    def opened(*args, **kwargs):
        file = real(*args, **kwargs)
        write = file.write

        class Interrupted:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, line):
                writes.append(line)
                if len(writes) > after:
                    write(line[: len(line) // 2])
                    file.flush()
                    raise KeyboardInterrupt
                return write(line)

            def __getattr__(self, name):
                return getattr(file, name)

        return Interrupted()

    return opened
