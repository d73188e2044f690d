"""Alert rules become checks that fail when the alert would fire. Unsupported rules are listed."""

from __future__ import annotations

import pytest
import yaml

from thousandeyes_provider.validation.alert_rules import checks_from_rules
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.verdict import judge


def rule(expression, alert_type="http-server", **more):
    return {
        "ruleName": "Default rule",
        "expression": expression,
        "alertType": alert_type,
        "minimumSources": 2,
        "roundsViolatingRequired": 1,
        "roundsViolatingOutOf": 1,
        **more,
    }


def converted(*rules, test_type="http-server", agents=6):
    return checks_from_rules(rules, test_type, agents)


def only(result, result_type="http-server"):
    """Return metric and comparison of the only check."""
    ((metric, aggregates),) = result.checks[result_type].items()
    (comparison,) = aggregates["every"]
    return metric, {name: value for name, value in comparison.items() if name != "quorum"}


@pytest.mark.parametrize(
    ("expression", "metric", "comparison"),
    [
        ("((responseTime >= 500 ms))", "responseTime", {"less_than": 500}),
        ("((responseTime > 1.5 s))", "responseTime", {"leq_to": 1500}),
        ("((throughput <= 100 kbps))", "throughput", {"greater_than": 12500}),
        ("((wireSize < 1.5 kB))", "wireSize", {"geq_to": 1500}),
        ("((responseCode != 200))", "responseCode", {"equal_to": 200}),
        ("((redirectCount >= 2))", "numRedirects", {"less_than": 2}),
        (r"((responseHeaders !~ /x-app: (1|2)/))", "headers.responseHeaders", {"matches": "x-app: (1|2)"}),
    ],
)
def test_an_alert_condition_is_negated(expression, metric, comparison):
    result = converted(rule(expression))
    assert only(result) == (metric, comparison)
    assert result.unconverted == []
    parse_checks(result.checks)


@pytest.mark.parametrize(
    ("alert_type", "test_type", "expression", "result_type", "metric"),
    [
        ("end-to-end-server", "agent-to-server", "((loss >= 10%))", "network", "loss"),
        ("end-to-end-agent", "agent-to-agent", "((latency >= 100 ms))", "network", "avgLatency"),
        ("page-load", "page-load", "((onLoadTime >= 4000 ms))", "page-load", "pageLoadTime"),
        (
            "web-transactions",
            "web-transactions",
            "((duration >= 9 s))",
            "web-transactions",
            "transactionTime",
        ),
        ("dns-server", "dns-server", "((delay >= 100 ms))", "dns-server", "resolutionTime"),
        ("voice", "voice", "((mos <= 2.75))", "rtp-server", "mos"),
        ("sip-server", "sip-server", "((sipResponseCode >= 400))", "sip-server", "responseCode"),
        ("ftp", "ftp-server", "((ftpReplyCode >= 400))", "ftp-server", "responseCode"),
    ],
)
def test_metrics_of_each_alert_type_are_those_of_its_results(
    alert_type, test_type, expression, result_type, metric
):
    result = converted(rule(expression, alert_type), test_type=test_type)
    assert only(result, result_type)[0] == metric
    assert parse_checks(result.checks).checks


class TestConditions:
    def test_each_alternative_is_a_check(self):
        result = converted(rule("((responseTime >= 500 ms) || (dnsTime >= 100 ms))"))
        assert list(result.checks["http-server"]) == ["responseTime", "dnsTime"]

    def test_an_alert_on_any_agent_becomes_a_check_of_all_agents(self):
        (check,) = parse_checks(converted(rule("((responseTime >= 500 ms))", minimumSources=1)).checks).checks
        assert check.quorum == 1

    @pytest.mark.parametrize("slow", range(7))
    @pytest.mark.parametrize(
        "sources", [{"minimumSources": 3}, {"minimumSources": None, "minimumSourcesPct": 50}]
    )
    def test_the_check_fails_exactly_when_enough_agents_meet_the_condition(self, slow, sources):
        checks = parse_checks(converted(rule("((responseTime >= 500 ms))", **sources)).checks)
        rows = [
            {
                "agent": {"agentId": str(agent)},
                "responseTime": 600 if agent < slow else 100,
                "errorType": "None",
            }
            for agent in range(6)
        ]
        assert judge({"http-server": rows}, 0, checks).passed is (slow < 3)

    @pytest.mark.parametrize(
        "expression", ['((errorType != "None"))', '((probDetail != ""))', "((responseCode == 0))"]
    )
    def test_an_error_condition_becomes_max_agent_errors(self, expression):
        result = converted(rule(expression, minimumSources=3))
        assert result.arguments() == {"max_agent_errors": 2}
        assert result.unconverted == []

    def test_the_strictest_error_rule_wins(self):
        result = converted(rule('((probDetail != ""))', minimumSources=3), rule('((errorType != "None"))'))
        assert result.max_agent_errors == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (rule("((Auto(responseTime >= High sensitivity)))"), "cannot be recomputed"),
        (rule("((reachability <= 90%))", "bgp"), "alert type 'bgp'"),
        (rule("((pageLoadTime >= 1 s))", "page-load"), "has no page-load results"),
        (rule("((responseTime >= 500 ms) && (dnsTime >= 100 ms))"), "all conditions at once"),
        (rule("((a >= 1) && (b >= 1) || (c >= 1))"), "&& and || at once"),
        (rule("((hops((hopDelay >= 100 ms))))", "path-trace"), "not a comparison of a metric of a row"),
        (rule("((clientSslAlertCode != 40))"), "have no clientSslAlertCode"),
        (rule("((responseHeaders =~ /error/))"), "does not match"),
        (rule("((responseHeaders !~ /(/))"), "not a regular expression"),
        (rule("((responseTime >= 500 %))"), "unit '%' does not fit"),
        (rule("((responseTime == 500 ms))"), "opposite of =="),
        (rule("((responseTime >= fast))"), "not a number"),
        (rule("((responseTime >= 500 ms)"), "unbalanced"),
        (rule(""), "empty expression"),
        (rule("((responseTime >= 500 ms))", minimumSources=9), "needs 9 agents, the test has 6"),
    ],
)
def test_unsupported_rules_are_listed(given, reason):
    result = converted(given)
    assert result.arguments() == {}
    (left,) = result.unconverted
    assert left.rule == "Default rule"
    assert reason in left.reason
    assert "# Not converted: Default rule: " in result.to_yaml()
    assert yaml.safe_load(result.to_yaml()) == {}


def test_several_violating_rounds_are_listed_next_to_the_check():
    result = converted(rule("((responseTime >= 500 ms))", roundsViolatingRequired=2, roundsViolatingOutOf=3))
    (left,) = result.unconverted
    assert (left.part, "confirm_failures=1" in left.reason) == ("2 of 3 rounds", True)
    assert only(result)[0] == "responseTime"


def test_one_direction_is_listed_next_to_the_check():
    result = converted(
        rule("((loss >= 10%))", "end-to-end-agent", direction="from-target"), test_type="agent-to-agent"
    )
    assert [left.part for left in result.unconverted] == ["direction from-target"]


def test_the_file_is_the_arguments():
    result = converted(rule("((responseTime >= 500 ms))"), rule('((errorType != "None"))'))
    assert yaml.safe_load(result.to_yaml()) == result.arguments()


@pytest.mark.parametrize(
    "expression",
    [
        r"((responseHeaders =~ /a\/b/) && (responseTime >= 1 ms) || (responseTime >= 2 ms))",
        "((responseTime >= 500 ms)",
        '((errorType == "None) )',
    ],
)
def test_an_expression_that_cannot_be_read_is_listed(expression):
    result = converted(rule(expression))
    assert not result.checks
    assert result.unconverted
