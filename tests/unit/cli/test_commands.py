"""Every command against the simulator: output, exit code, and one line per error."""

from __future__ import annotations

import json
import logging
import sys
import time
from types import ModuleType

import pytest
import yaml

from thousandeyes_provider.cli import history_reader
from thousandeyes_provider.cli.main import main
from thousandeyes_provider.simulator import Simulator

AGENTS = ["Frankfurt, Germany", "Ashburn, VA", "Singapore"]
GATE = {
    "checks": {"http-server": {"responseTime": {"leq_to": 1000, "quorum": 0.5}}},
    "min_agents": 2,
    "max_agent_errors": 1,
}


@pytest.fixture(scope="module")
def simulator():
    with Simulator(speed=40, default_tests=False, organization_limit=100_000) as running:
        yield running


@pytest.fixture
def checkout(simulator):
    """A test with a day of rounds every ten minutes. In three rounds the target is down."""
    simulator.reset()
    return simulator.add_test("http-server", agents=AGENTS, name="Checkout", history=down_for_a_while())


def down_for_a_while():
    """Return a day of rounds every ten minutes. In three rounds the target is down."""
    ages = [600 * place + 400 for place in range(144)]
    return [{"ago": ago, "condition": "down"} if 3600 < ago < 5400 else ago for ago in ages]


@pytest.fixture
def command(simulator, monkeypatch, capsys):
    """A function that runs a command and returns exit code, standard output and standard error."""
    monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection(retry_limit=1)))

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def gate(tmp_path):
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump(GATE))
    return path


class TestListing:
    def test_tests_are_listed_by_name(self, simulator, command):
        simulator.add_test("api", name="Orders API", scheduled=True)
        simulator.add_test("api", name="Search API", scheduled=True)
        code, out, _ = command("tests", "--name", "orders*", "--output", "json")
        (listed,) = json.loads(out)
        assert (code, listed["test_name"], listed["test_type"]) == (0, "Orders API", "api")

    def test_an_empty_list_is_not_an_error(self, command):
        assert command("tests", "--name", "nothing like this")[:2] == (0, "no tests\n")

    def test_agents_as_table_and_yaml(self, command):
        code, out, _ = command("agents", "--name", "frank*")
        assert code == 0
        assert [line.split()[0] for line in out.splitlines()] == ["agent_id", "14410"]
        _, out, _ = command("agents", "--output", "yaml")
        assert "Frankfurt, Germany" in [agent["agent_name"] for agent in yaml.safe_load(out)]

    def test_the_quota_has_limit_remainder_and_reserve(self, command):
        code, out, _ = command("quota", "--output", "json")
        assert '"limit": 100000,' in out
        (bucket,) = json.loads(out)
        assert (code, bucket["bucket"], bucket["limit"], bucket["reserved"]) == (
            0,
            "organization",
            100_000,
            20_000,
        )
        assert bucket["remaining"] < 100_000


class TestJudging:
    def test_check_judges_the_newest_round_without_a_run(self, simulator, command, checkout, gate):
        code, out, _ = command("check", checkout, "--gate", gate, "--output", "json")
        (judged,) = json.loads(out)
        assert (code, judged["verdict"], judged["test_name"]) == (0, "passed", "Checkout")
        assert judged["link"].startswith("https://app.thousandeyes.com/")
        assert simulator.run_calls(checkout) == 0

    def test_check_fails_with_the_reason(self, command, checkout, tmp_path):
        strict = tmp_path / "checks.json"
        strict.write_text(json.dumps({"http-server": {"responseTime": {"leq_to": 1}}}))
        code, out, _ = command("check", checkout, "--gate", strict)
        assert code == 1
        assert "failed" in out
        assert "expected <= 1 ms" in out

    def test_check_with_a_baseline(self, command, checkout, tmp_path):
        changed = {"http-server": {"responseTime": {"median": {"change_leq_to": 1.0}}}}
        path = tmp_path / "gate.yaml"
        path.write_text(
            yaml.safe_dump({"checks": changed, "compare_with": {"test_id": checkout, "window": "6h"}})
        )
        assert command("check", checkout, "--gate", path)[0] == 0

    def test_check_judges_no_result_type_by_an_earlier_round(self, simulator, command, tmp_path):
        test_id = simulator.add_test("page-load", agents=AGENTS, history=[400])
        simulator.run(test_id, delays={"http-server": 0, "page-load": 4000})
        time.sleep(0.1)
        path = tmp_path / "gate.yaml"
        path.write_text(
            "http-server: {responseTime: {leq_to: 9000}}\npage-load: {pageLoadTime: {leq_to: 90000}}\n"
        )
        code, out, _ = command("check", test_id, "--gate", path, "--output", "json")
        (judged,) = json.loads(out)
        assert (code, judged["verdict"]) == (2, "incomplete")
        assert judged["reason"].startswith("0 of 3 agents reported, 3 needed; missing:")

    def test_check_of_a_round_in_progress_needs_the_expected_agents(self, simulator, command, tmp_path):
        test_id = simulator.add_test(
            "http-server", agents=AGENTS, history=[], switches={"typed_lookup": "404"}
        )
        simulator.run(test_id, delays={"Singapore": 4000, "Ashburn, VA": 0, "Frankfurt, Germany": 0})
        time.sleep(0.1)
        code, out, _ = command("check", test_id, "--output", "json")
        (judged,) = json.loads(out)
        assert (code, judged["verdict"]) == (2, "incomplete")
        assert (
            judged["reason"] == "2 agents reported, but the expected agents are unknown; set expected_agents"
        )
        path = tmp_path / "gate.yaml"
        for arguments, expected_code in (
            ("expected_agents: 2", 0),
            ("expected_agents: 3", 2),
            ("expected_agents: ['ashburn, va', 'Frankfurt, Germany']", 0),
            ("expected_agents: ['ashburn, va', Singapore]", 2),
            ("min_agents: 2", 0),
            ("min_agents: 3", 2),
            ("min_agents: 0.5", 2),
        ):
            path.write_text(arguments)
            assert command("check", test_id, "--gate", path)[0] == expected_code, arguments

    @pytest.mark.parametrize("name", ["check", "backtest", "run"])
    def test_a_name_of_several_agents_is_refused(self, simulator, command, tmp_path, name):
        ids = [simulator.add_agent(spelling).agent_id for spelling in (f"Oslo {name}", f"OSLO {name}")]
        test_id = simulator.add_test("http-server", agents=ids, history=[400])
        path = tmp_path / "gate.yaml"
        path.write_text(f"expected_agents: [oslo {name}]")
        code, _, err = command(name, test_id, "--gate", path)
        assert code == 2
        assert (
            f"expected_agents: 2 agents are named 'oslo {name}' (ids {', '.join(ids)}): use their ids" in err
        )
        assert simulator.run_calls(test_id) == 0
        path.write_text(f"expected_agents: {ids}")
        assert command(name, test_id, "--gate", path)[0] == 0

    def test_run_passes_with_the_evidence(self, simulator, command, checkout, gate, tmp_path):
        report = tmp_path / "junit.xml"
        code, out, _ = command(
            "run", checkout, "--gate", gate, "--timeout", 20, "--report", report, "--output", "json"
        )
        evidence = json.loads(out)
        assert (code, evidence["verdict"], simulator.run_calls(checkout)) == (0, "passed", 1)
        assert "<testsuite" in report.read_text()

    def test_run_fails_with_exit_code_1_and_a_log_on_standard_error(self, simulator, command, checkout, gate):
        simulator.change_test(checkout, condition="down")
        code, out, err = command("run", checkout, "--gate", gate, "--timeout", 20)
        assert code == 1
        assert out.splitlines()[1].startswith("failed")
        assert "waiting for http-server" in err
        assert "Traceback" not in err

    def test_run_is_inconclusive_with_exit_code_2(self, simulator, command, checkout):
        simulator.change_test(checkout, silent=AGENTS[:2])
        code, out, _ = command("run", checkout, "--timeout", 1)
        assert code == 2
        assert "incomplete" in out or "no_results" in out


class TestHistory:
    def test_backtest_counts_failures_and_episodes(self, command, checkout, gate):
        code, out, err = command("backtest", checkout, "--gate", gate, "--days", 2)
        assert code == 0
        assert "would have failed 3 of 144 rounds (1 in 48) in 1 episode; 0 inconclusive" in out
        assert "by agent" in out
        assert "Traceback" not in err

    def test_backtest_by_a_gate_of_another_test_adds_a_note(self, command, checkout, tmp_path):
        path = tmp_path / "gate.yaml"
        changed = {"http-server": {"responseTime": {"median": {"change_leq_to": 9.0}}}}
        path.write_text(yaml.safe_dump({"checks": changed, "compare_with": {"test_id": "7", "window": "6h"}}))
        code, out, _ = command("backtest", checkout, "--gate", path, "--days", 2)
        assert (code, out.splitlines()[-1]) == (
            0,
            f"note: compare_with names test 7; here each round is compared with rounds of test {checkout}",
        )

    def test_backtest_as_json(self, command, checkout, gate):
        code, out, _ = command("backtest", checkout, "--gate", gate, "--days", 2, "--output", "json")
        output = json.loads(out)
        assert (code, output["failed"], len(output["episodes"])) == (0, 3, 1)
        assert output["failed_rounds"][0]["link"].startswith("https://")

    def test_backtest_as_html_shows_each_failed_round(self, command, checkout, gate, tmp_path):
        path = tmp_path / "backtest.html"
        code, _, err = command("backtest", checkout, "--gate", gate, "--days", 2, "--report", path)
        page = path.read_text()
        assert (code, f"written: {path}" in err) == (0, True)
        assert "would have failed 3 of 144 rounds" in page
        assert 3 <= page.count('<rect class="failed"') <= 4  # A round at midnight is in two rows.
        assert "<script" not in page
        assert 'href="https://' in page

    def test_only_html_reports_are_accepted(self, command, checkout, gate, tmp_path):
        path = tmp_path / "backtest.pdf"
        code, _, err = command("backtest", checkout, "--gate", gate, "--report", path)
        assert (code, path.exists()) == (2, False)
        assert err == f"error: --report {path}: expected a file name that ends with .html\n"

    def test_a_name_in_the_report_is_escaped(self, simulator, command, gate, tmp_path):
        simulator.reset()
        test_id = simulator.add_test(
            "http-server", agents=AGENTS, name="<b>Checkout</b>", history=down_for_a_while()
        )
        path = tmp_path / "backtest.html"
        assert command("backtest", test_id, "--gate", gate, "--days", 2, "--report", path)[0] == 0
        assert "&lt;b&gt;Checkout" in path.read_text()
        assert "<b>" not in path.read_text()

    def test_a_proposed_file_works_in_backtest_check_and_run(self, command, checkout, tmp_path):
        path = tmp_path / "proposed.yaml"
        code, out, err = command("propose", checkout, "--days", 2, "--one-in", 20, "--write", path)
        assert (code, out) == (0, "")
        assert f"written: {path}" in err
        assert "# Promise: at most 1 false alarm in 20 rounds" in path.read_text()
        assert command("backtest", checkout, "--gate", path, "--days", 2)[0] == 0
        assert command("check", checkout, "--gate", path)[0] == 0
        assert command("run", checkout, "--gate", path, "--timeout", 20)[0] == 0

    def test_propose_prints_the_file_by_default(self, command, checkout):
        code, out, _ = command("propose", checkout, "--days", 2)
        assert code == 0
        assert set(yaml.safe_load(out)["checks"]) == {"http-server"}

    def test_propose_as_json(self, command, checkout):
        _, out, _ = command("propose", checkout, "--days", 2, "--output", "json")
        output = json.loads(out)
        assert output["promised"] is False
        assert set(output["arguments"]) >= {"checks", "min_agents", "max_agent_errors"}


class TestAlerts:
    """Alert rules as gates, and alerts and events beside the failures of a backtest."""

    @pytest.fixture
    def scheduled(self, simulator, checkout):
        return simulator.add_test(
            "http-server", agents=AGENTS, name="Search", scheduled=True, history=down_for_a_while()
        )

    def test_failures_are_shown_beside_alerts_and_events(self, simulator, command, scheduled, gate):
        rule = simulator.add_alert_rule("((responseTime >= 500 ms))", [scheduled])
        simulator.add_alert(rule, scheduled, ago=5200, lasted=1500)
        simulator.add_alert(rule, scheduled, ago=40_000, lasted=600)
        simulator.add_event("Affecting destinations in example.com", ago=5000, lasted=1000)
        code, out, _ = command("backtest", scheduled, "--gate", gate, "--days", 2, "--output", "json")
        (episode,) = json.loads(out)["episodes"]
        assert code == 0
        assert episode["incidents"] == ["alert http-server", "event Affecting destinations in example.com"]

    def test_a_backtest_without_permission_for_alerts_adds_a_note(
        self, simulator, command, scheduled, gate, request
    ):
        fault = simulator.fail("alerts", status=403, times=10)
        request.addfinalizer(lambda: simulator.clear_faults(fault))
        code, out, _ = command("backtest", scheduled, "--gate", gate, "--days", 2)
        assert code == 0
        assert "would have failed 3 of 144 rounds" in out
        assert "note: The alerts could not be read" in out
        assert "403" in out

    def test_alert_rules_become_a_gate(self, simulator, command, scheduled, tmp_path):
        simulator.add_alert_rule("((responseTime >= 5 ms))", [scheduled], name="Slow")
        simulator.add_alert_rule("((Auto(responseTime >= High sensitivity)))", [scheduled], name="Automatic")
        code, out, err = command("propose", scheduled, "--from-alert-rules")
        assert code == 0
        assert list(yaml.safe_load(out)["checks"]["http-server"]) == ["responseTime"]
        assert "# Not converted: Automatic: Auto(responseTime >= High sensitivity)" in out
        code, out, err = command("backtest", scheduled, "--from-alert-rules", "--days", 2)
        assert "would have failed 144 of 144 rounds (100 %) in 1 episode" in out
        assert "not converted: Automatic" in err

    @pytest.mark.parametrize("option", ["--days", "--one-in", "--cache"])
    def test_options_of_a_history_are_refused_with_alert_rules(self, command, scheduled, tmp_path, option):
        value = tmp_path / "cache" if option == "--cache" else 28
        code, _, err = command("propose", scheduled, "--from-alert-rules", option, value)
        message = f"error: {option}: not allowed with --from-alert-rules, which reads no history\n"
        assert (code, err) == (2, message)

    @pytest.mark.parametrize("name", ["checks", "max_agent_errors"])
    def test_what_alert_rules_set_is_refused_in_a_gate(self, command, scheduled, tmp_path, name):
        path = tmp_path / "gate.yaml"
        path.write_text(yaml.safe_dump({name: GATE[name]}))
        code, _, err = command("backtest", scheduled, "--from-alert-rules", "--gate", path)
        expected = f"--from-alert-rules: not allowed with {name} in --gate {path}: the rules replace them"
        assert (code, err) == (2, f"error: {expected}\n")

    @pytest.mark.parametrize("name", ["backtest", "propose"])
    def test_a_test_without_alert_rules_is_an_error(self, command, scheduled, name):
        code, _, err = command(name, scheduled, "--from-alert-rules")
        assert (code, err.splitlines()[-1]) == (2, f"error: no alert rule applies to test {scheduled}")


class TestErrors:
    """An error is one line on standard error with exit code 2, without traceback and standard output."""

    @pytest.fixture
    def refused(self, command):
        def run(*arguments):
            code, out, err = command(*arguments)
            errors = [line for line in err.splitlines() if line.startswith("error: ")]
            assert (code, out, len(errors)) == (2, "", 1)
            assert "Traceback" not in err
            return errors[0]

        return run

    @pytest.mark.parametrize("name", ["check", "run", "backtest", "propose"])
    def test_an_unknown_test(self, refused, name):
        assert "test 999999" in refused(name, "999999")

    @pytest.mark.parametrize("name", ["tests", "agents", "quota", "check", "run", "backtest", "propose"])
    def test_no_permission(self, simulator, refused, name, request):
        fault = simulator.fail("*", status=403, times=1000)
        request.addfinalizer(lambda: simulator.clear_faults(fault))
        assert "403" in refused(name, *(["7"] if name in ("check", "run", "backtest", "propose") else []))

    @pytest.mark.parametrize("name", ["check", "backtest", "propose"])
    def test_an_empty_history(self, simulator, refused, name):
        empty = simulator.add_test("api", agents=AGENTS, history=[])
        assert "has no api rounds" in refused(name, empty, "--test-type", "api")

    def test_a_day_without_rounds(self, simulator, refused):
        old = simulator.add_test("api", agents=AGENTS, history=[3 * 86400])
        message = refused("backtest", old, "--test-type", "api", "--days", 1)
        assert message == f"error: test {old} has no api rounds in the last day"

    def test_a_connection_that_does_not_exist(self, refused):
        message = refused("tests", "--conn-id", "nowhere")
        assert message.startswith(
            "error: connection 'nowhere' is not defined: set AIRFLOW_CONN_NOWHERE, for example"
        )

    @pytest.mark.parametrize(
        ("name", "option"),
        [("propose", "--write"), ("propose", "--cache"), ("backtest", "--report"), ("run", "--report")],
    )
    def test_a_file_in_a_folder_that_does_not_exist(self, simulator, refused, checkout, name, option):
        before = len(simulator.requests)
        message = refused(name, checkout, option, "/no/such/folder/file.html")
        assert message == (
            f"error: {option} /no/such/folder/file.html: cannot write to the folder /no/such/folder"
        )
        assert len(simulator.requests) == before

    def test_a_wrong_test_type(self, refused, checkout):
        assert "has no api rounds" in refused("check", checkout, "--test-type", "api")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("checks: [", "neither JSON nor YAML"),
            (
                "checks:\n  http-server:\n    totalTime: {leq_to: 1}\n    totalTime: {leq_to: 9}\n",
                'gate.yaml: duplicate key "totalTime" in one object, line 4',
            ),
            ("- 1", "expected operator arguments or checks"),
            ("retries: 3", "unknown argument retries"),
            ("checks: {http-server: {responseTime: {leq_to: fast}}}", "expected a number"),
            ("max_agent_errors: -1", "max_agent_errors"),
            ("expected_agents: 0", "expected_agents: must be at least 1 agent, got 0"),
            ("checks: {http-server: {responseTime: {change_leq_to: 0.2}}}", "needs compare_with"),
            ("compare_with: {window: 2h}", "compare_with: expected {'test_id': …, 'window': '24h'}"),
        ],
    )
    def test_an_invalid_gate(self, refused, tmp_path, content, message):
        path = tmp_path / "gate.yaml"
        path.write_text(content)
        assert message in refused("backtest", "7", "--gate", path)

    def test_a_gate_that_does_not_exist(self, refused):
        expected = "error: --gate no-such-file.yaml: No such file or directory"
        assert refused("check", "7", "--gate", "no-such-file.yaml") == expected

    def test_an_invalid_operator_argument(self, refused, checkout):
        message = refused("run", checkout, "--timeout", "-3")
        assert message.startswith("error: timeout=-3.0: expected seconds")

    @pytest.mark.parametrize("arguments", [("--days", "0"), ("--one-in", "1")])
    def test_numbers_out_of_range(self, refused, checkout, arguments):
        assert "expected a whole number" in refused("propose", checkout, *arguments)

    def test_an_invalid_option_is_a_usage_error(self, command):
        code, _, err = command("backtest")
        assert code == 2
        assert "TEST_ID" in err
        code, _, err = command("simulator", "--port", "nowhere")
        assert (code, "--port: invalid int value: 'nowhere'" in err, "--row-order" in err) == (2, True, False)

    def test_an_interrupted_read_writes_no_file(self, command, checkout, tmp_path, monkeypatch):
        path = tmp_path / "gate.yaml"

        def interrupted(self, result_type, start):
            raise KeyboardInterrupt

        monkeypatch.setattr(history_reader.HistoryReader, "_portion", interrupted)
        code, out, err = command("propose", checkout, "--write", path)
        assert (code, out, err.splitlines()[-1]) == (130, "", "error: interrupted")
        assert list(tmp_path.iterdir()) == []
        cache = tmp_path / "cache"
        _, _, err = command("propose", checkout, "--cache", cache)
        assert (
            err.splitlines()[-1] == f"error: interrupted; {cache} keeps what was read, the same call resumes"
        )

    def test_an_interrupted_import_is_no_traceback(self, command, monkeypatch):
        class Interrupting(ModuleType):
            def __getattr__(self, name):
                raise KeyboardInterrupt

        sdk = "airflow.providers.common.compat.sdk"
        monkeypatch.setitem(sys.modules, sdk, Interrupting(sdk))
        assert command("tests") == (130, "", "error: interrupted\n")

    def test_logging_is_restored(self, command):
        before = logging.getLogger().handlers[:], logging.getLogger().level
        command("tests")
        assert (logging.getLogger().handlers, logging.getLogger().level) == before
