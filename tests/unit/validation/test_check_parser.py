"""Declarations of checks: parsing, and the error of each problem."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.validation.check_model import (
    AGGREGATES,
    COMPARISONS,
    NO_CHECKS,
    OPTIONS,
    Severity,
    Where,
)
from thousandeyes_provider.validation.check_parser import (
    check_conflicts,
    is_simple,
    parse_checks,
)

CHECKS = {
    "http-server": {
        "responseCode": {"equal_to": 200},
        "responseTime": {"p95": {"leq_to": 800}, "every": {"less_than": 2000, "quorum": 0.8}},
        "headers.responseHeaders": {"contains": "x-app-version: 1.0"},
        "certificateDaysLeft": {"min": {"geq_to": 14, "severity": "warn"}},
    },
    "network": {
        "loss": {"mean": [{"leq_to": 1, "severity": "warn"}, {"leq_to": 5}]},
        "avgLatency": {
            "p95": {"leq_to": 40, "where": {"countryId": ["DE", "AT"]}},
            "median": {"change_leq_to": 0.2, "floor": 10},
        },
    },
}
NAMES = (
    "equal_to, greater_than, geq_to, less_than, leq_to, one_of, contains, matches, change_leq_to, change_geq_to, "
    "delta_leq_to, delta_geq_to"
)
COMPARISON = f"one of {NAMES} (options: {', '.join(OPTIONS)})"
TYPES = (
    "network, path-vis, http-server, page-load, web-transactions, api, ftp-server, dns-server, dns-trace, dnssec, "
    "sip-server, rtp-server"
)
TIME = 'checks["http-server"]["responseTime"]'


class _Output:
    """A stand-in for the output of another task."""


def http(rules, metric="responseTime"):
    return {"http-server": {metric: rules}}


def only(rules, metric="responseTime", **options):
    (check,) = parse_checks(http(rules, metric), **options).checks
    return check


def errors(declaration, **options):
    with pytest.raises(DeclarationErrors) as caught:
        parse_checks(declaration, **options)
    return caught.value.errors


class TestReading:
    def test_the_whole_grammar(self):
        checks = parse_checks(CHECKS)
        parsed = [
            (check.result_type, check.metric, check.aggregate, check.to_json()) for check in checks.checks
        ]
        assert parsed == [
            ("http-server", "responseCode", "every", {"equal_to": 200}),
            ("http-server", "responseTime", "p95", {"leq_to": 800}),
            ("http-server", "responseTime", "every", {"less_than": 2000, "quorum": 0.8}),
            ("http-server", "headers.responseHeaders", "every", {"contains": "x-app-version: 1.0"}),
            ("http-server", "certificateDaysLeft", "min", {"geq_to": 14}),
            ("network", "loss", "mean", {"leq_to": 1}),
            ("network", "loss", "mean", {"leq_to": 5}),
            ("network", "avgLatency", "p95", {"leq_to": 40, "where": {"countryId": ["DE", "AT"]}}),
            ("network", "avgLatency", "median", {"change_leq_to": 0.2, "floor": 10}),
        ]
        warn, error = Severity.WARN, Severity.ERROR
        assert [check.severity for check in checks.checks] == [*[error] * 4, warn, warn, error, error, error]
        assert checks.compares

    def test_paths_lead_to_the_check(self):
        paths = [check.path for check in parse_checks(CHECKS).checks]
        assert paths[1] == f'{TIME}["p95"]'
        assert paths[0] == 'checks["http-server"]["responseCode"]'
        assert paths[6] == 'checks["network"]["loss"]["mean"][1]'

    @pytest.mark.parametrize(
        "text", [json.dumps(CHECKS), repr(CHECKS), f"\n {json.dumps(CHECKS, indent=2)}\n"]
    )
    def test_a_declaration_as_text_is_read(self, text):
        assert parse_checks(text) == parse_checks(CHECKS)

    def test_any_part_as_text_is_read(self):
        declaration = {
            "http-server": json.dumps(CHECKS["http-server"]),
            "network": {"loss": json.dumps({"leq_to": 1})},
        }
        assert len(parse_checks(declaration).checks) == 6

    @pytest.mark.parametrize("nothing", [None, "", " ", "None", "null", {}, "{}"])
    def test_no_checks(self, nothing):
        assert parse_checks(nothing) == NO_CHECKS
        assert parse_checks(nothing).result_types == ()

    @pytest.mark.parametrize("text", ["800", " 800.0 ", "8e2"])
    def test_rendered_numbers_are_text(self, text):
        assert only({"leq_to": text}) == only({"leq_to": 800})

    def test_rendered_options_are_text(self):
        rules = {"every": {"leq_to": "8", "quorum": "0.8", "tolerance": "0.1", "severity": " WARN "}}
        assert only(rules) == only(
            {"every": {"leq_to": 8, "quorum": 0.8, "tolerance": 0.1, "severity": "warn"}}
        )

    def test_a_list_directly_below_a_metric_means_every(self):
        checks = parse_checks(http([{"leq_to": 1}, {"geq_to": 0}])).checks
        assert [(check.aggregate, check.path) for check in checks] == [
            ("every", f"{TIME}[0]"),
            ("every", f"{TIME}[1]"),
        ]

    @pytest.mark.parametrize(
        ("given_where", "where"),
        [
            ({"agentId": 7}, Where(agent_ids=("7",))),
            ({"agentId": ["7", 8]}, Where(agent_ids=("7", "8"))),
            ({"agentName": "Oslo*", "countryId": ["NO"]}, Where((), ("Oslo*",), ("NO",))),
            ('{"countryId": ["NO"]}', Where(country_ids=("NO",))),
            ({"countryId": '["NO", "SE"]'}, Where(country_ids=("NO", "SE"))),
        ],
    )
    def test_where_takes_a_value_or_a_list(self, given_where, where):
        assert only({"leq_to": 1, "where": given_where}).where == where

    def test_result_types_and_expand_values(self):
        checks = parse_checks(CHECKS)
        assert checks.result_types == ("http-server", "network")
        assert checks.expand_for("http-server") == ("certificate", "header")
        assert checks.expand_for("network") == ()
        assert parse_checks(http({"leq_to": 1})).expand_for("http-server") == ()

    @pytest.mark.parametrize("name", ["change_leq_to", "change_geq_to", "delta_leq_to", "delta_geq_to"])
    def test_comparisons_that_need_a_baseline(self, name):
        assert parse_checks(http({name: 1})).compares
        assert not parse_checks(http({"leq_to": 1})).compares

    def test_a_declaration_can_be_pickled_and_compared(self):
        checks = parse_checks(CHECKS)
        assert pickle.loads(pickle.dumps(checks)) == checks
        assert len({*checks.checks, *parse_checks(CHECKS).checks}) == len(checks.checks)


WAY_OUT = 'For a field that is not listed, add "unlisted": True beside the comparison'


class TestUnknownMetrics:
    @pytest.mark.parametrize(
        ("metric", "error"),
        [
            ("responsTime", 'unknown metric "responsTime"; did you mean "responseTime"?'),
            ("responseHeaders", 'unknown metric "responseHeaders"; did you mean "headers.responseHeaders"?'),
            ("zzz", 'unknown metric "zzz"; docs/checks.md lists the metrics.'),
        ],
    )
    def test_an_unknown_metric_is_an_error(self, metric, error):
        assert errors(http({"leq_to": 1}, metric)) == (f'checks["http-server"]: {error} {WAY_OUT}',)

    @pytest.mark.parametrize(
        "rules",
        [
            {"leq_to": 1, "unlisted": True},
            {"every": {"leq_to": 1, "unlisted": "true"}},
            {"p95": [{"leq_to": 1}, {"geq_to": 0, "unlisted": True}]},
            json.dumps({"leq_to": 1, "unlisted": True}),
        ],
    )
    def test_unlisted_permits_a_field_that_is_not_listed(self, rules):
        checks = parse_checks(http(rules, "quicTime")).checks
        assert {check.metric for check in checks} == {"quicTime"}
        assert checks[-1].to_json()["unlisted"] is True

    @pytest.mark.parametrize("rules", ["{{ params.rules }}", {"p95": "{{ x }}"}, [_Output()]])
    def test_templates_may_have_unlisted(self, rules):
        assert parse_checks(http(rules, "quicTime"), literals_only=True) == NO_CHECKS

    def test_an_unknown_metric_beside_other_errors_is_reported_as_well(self):
        parsed = errors(http({"lt": 1}, "zzz"))
        assert [error.partition(": ")[2][:14] for error in parsed] == ["unknown compar", "unknown metric"]
        assert len(errors(http("[", "zzz"))) == 2
        assert errors(http({"leq_to": 1, "unlisted": "maybe"}, "quicTime")) == (
            'checks["http-server"]["quicTime"]["unlisted"]: expected True or False, got "maybe"',
        )


class TestKindsOfMetrics:
    @pytest.mark.parametrize(
        ("rules", "metric", "error"),
        [
            ({"equal_to": "fast"}, "responseTime", '"fast" is compared with responseTime, which is a number'),
            ({"one_of": ["5", "x"]}, "responseCode", '"x" is compared with responseCode, which is a number'),
            ({"equal_to": True}, "responseTime", "true is compared with responseTime, which is a number"),
            ({"contains": "5"}, "responseTime", "compares text, but responseTime is a number"),
            ({"matches": "5"}, "wireSize", "compares text, but wireSize is a number"),
            ({"geq_to": 1.2}, "sslVersion", "compares numbers, but sslVersion is a text"),
            ({"geq_to": 1}, "certificateValid", "compares numbers, but certificateValid is a boolean"),
            ({"equal_to": 1}, "certificateValid", "1 is compared with certificateValid, which is a boolean"),
            (
                {"equal_to": "y"},
                "certificateValid",
                '"y" is compared with certificateValid, which is a boolean',
            ),
        ],
    )
    def test_a_comparison_that_no_value_can_pass_is_an_error(self, rules, metric, error):
        (comparison,) = rules
        assert errors(http(rules, metric)) == (f'checks["http-server"]["{metric}"]["{comparison}"]: {error}',)

    @pytest.mark.parametrize(
        ("rules", "metric"),
        [
            ({"equal_to": "200"}, "responseCode"),
            ({"matches": "^2"}, "responseCode"),
            ({"one_of": [200, "204"]}, "responseCode"),
            ({"count": {"geq_to": 2}}, "sslVersion"),
            ({"matches": "1.[23]"}, "sslVersion"),
            ({"equal_to": 14410}, "agent.agentId"),
            ({"equal_to": "true"}, "certificateValid"),
            ({"equal_to": False}, "certificateValid"),
        ],
    )
    def test_a_comparison_that_a_value_can_pass_is_valid(self, rules, metric):
        assert only(rules, metric).metric == metric


class TestConflicts:
    def test_change_needs_compare_with(self):
        checks = parse_checks(
            http({"median": {"change_leq_to": 0.2, "delta_leq_to": 5}, "max": {"leq_to": 9}})
        )
        assert check_conflicts(checks, has_compare_with=False) == [
            f'{TIME}["median"]["change_leq_to"]: needs compare_with',
            f'{TIME}["median"]["delta_leq_to"]: needs compare_with',
        ]
        assert check_conflicts(checks, has_compare_with=True) == []
        assert check_conflicts(checks, has_compare_with=None) == []

    def test_a_result_type_that_the_test_type_lacks(self):
        checks = parse_checks(CHECKS)
        assert check_conflicts(checks, test_type="dns-server") == [
            'checks["http-server"]: dns-server tests have no http-server results; '
            "expected one of dns-server, network, path-vis"
        ]
        assert check_conflicts(checks, test_type="page-load", has_compare_with=True) == []
        assert check_conflicts(checks, test_type=None) == []


class TestSimpleChecks:
    """Simple checks are not parsed when the DAG is parsed."""

    NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=3), st.none())
    COMPARISON = st.dictionaries(
        st.sampled_from((*COMPARISONS, *OPTIONS, "lt")),
        st.one_of(NUMBERS, st.sampled_from(["warn", "error", 0.5]), st.lists(NUMBERS, max_size=1)),
        max_size=3,
    )
    RULES = st.one_of(
        COMPARISON, NUMBERS, st.dictionaries(st.sampled_from((*AGGREGATES, "sum")), COMPARISON, max_size=2)
    )
    METRIC = st.sampled_from(["responseTime", "responseCode", "headers.responseHeaders", "respTime"])

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.dictionaries(
            st.sampled_from(["http-server", "network", "http"]),
            st.one_of(st.dictionaries(METRIC, RULES, max_size=2), NUMBERS),
            max_size=2,
        ),
        st.sampled_from([None, "http-server", "dns-server", "http", "{{ type }}"]),
    )
    def test_simple_checks_have_no_errors(self, declaration, test_type):
        if is_simple(declaration, test_type):
            assert (
                check_conflicts(parse_checks(declaration), test_type=test_type, has_compare_with=False) == []
            )

    @pytest.mark.parametrize("aggregate", AGGREGATES)
    @pytest.mark.parametrize(
        "comparison",
        [{"leq_to": 800}, {"equal_to": 200, "severity": "warn"}, {"greater_than": 0.5, "severity": "error"}],
    )
    def test_bounds_of_numbers_are_simple(self, aggregate, comparison):
        assert is_simple(http({aggregate: comparison}))
        assert is_simple(http(comparison), "page-load")

    @pytest.mark.parametrize(
        "declaration",
        [
            None,
            "checks.yaml",
            {"http": {"responseTime": {"leq_to": 1}}},
            {"http-server": None},
            {"http-server": {}},
            http({"leq_to": 1}, "respTime"),
            http({"equal_to": 1}, "headers.responseHeaders"),
            http("{{ rules }}"),
            http({}),
            http([{"leq_to": 1}]),
            http({"p95": [{"leq_to": 1}]}),
            http({"p95": {"leq_to": 1}, "sum": {"leq_to": 1}}),
            http({"leq_to": "1"}),
            http({"leq_to": True}),
            http({"leq_to": float("nan")}),
            http({"leq_to": 10**400}),
            http({"geq_to": 2, "leq_to": 1}),
            http({"quorum": 0.5}),
            http({"leq_to": 1, "quorum": 0}),
            http({"p95": {"leq_to": 1, "quorum": 0.5}}),
            http({"leq_to": 1, "quorum": "0.5"}),
            http({"leq_to": 1, "severity": "info"}),
            http({"median": {"change_leq_to": 0.2}}),
        ],
    )
    def test_other_checks_are_not_simple(self, declaration):
        assert not is_simple(declaration)

    @pytest.mark.parametrize("test_type", ["dns-server", "http", "{{ type }}", 7, ["http-server"]])
    def test_a_test_type_without_the_results_is_reported_by_the_parser(self, test_type):
        assert not is_simple(http({"leq_to": 1}), test_type)


class TestPatterns:
    @pytest.mark.parametrize("pattern", ["(a+)+$", r"(\w\w|\d)*x", "((a?){16}){16}", "(.*a){25}"])
    def test_a_pattern_that_takes_exponential_time_is_an_error(self, pattern):
        (error,) = errors(http({"matches": pattern}, "headers.responseHeaders"))
        assert "can take exponential time" in error

    def test_a_pattern_that_takes_too_long_is_an_error(self):
        (error,) = errors(http({"matches": "a.*b.*c.*d"}, "headers.responseHeaders"))
        assert "a search can take too long; expected at most 2 unbounded repeats" in error

    def test_a_pattern_has_a_bounded_length(self):
        (error,) = errors(http({"matches": "a" * 501}, "headers.responseHeaders"))
        assert error.endswith("expected a regular expression of at most 500 characters, got 501")


WRONG = [
    (
        {"htp-server": {}},
        f'checks: unknown result type "htp-server"; one of {TYPES}; did you mean "http-server"?',
    ),
    ({"voice": {}}, f'checks: unknown result type "voice"; one of {TYPES}; did you mean "rtp-server"?'),
    ({"bgp": {}}, f'checks: unknown result type "bgp"; one of {TYPES}'),
    ({"http-server": {}}, 'checks["http-server"]: names no metric'),
    (
        {"http-server": ["responseTime"]},
        'checks["http-server"]: expected a dict {metric: comparison}, got a list',
    ),
    (["http-server"], "checks: expected a dict {result type: {metric: comparison}}, got a list"),
    (7, "checks: expected a dict {result type: {metric: comparison}}, got 7"),
    ("fast", 'checks: expected a dict {result type: {metric: comparison}}, got "fast"'),
    ({1: {}}, "checks: expected names as keys, got 1"),
    (
        "{'http-server': {",
        "checks: not JSON: Expecting property name enclosed in double quotes at line 1 column 2",
    ),
    ('{"network": {}, "network": {}}', 'checks: duplicate key "network" in one object'),
    (
        http({"p95": {"lt": 800}}),
        f'{TIME}["p95"]: unknown comparison "lt"; {COMPARISON}; did you mean "less_than"?',
    ),
    (
        http({"p95": {"leq": 800}}),
        f'{TIME}["p95"]: unknown comparison "leq"; {COMPARISON}; did you mean "leq_to"?',
    ),
    (
        http({"p95": {"leq_to": 800, "serverity": "warn"}}),
        f'{TIME}["p95"]: unknown comparison "serverity"; {COMPARISON}; did you mean "severity"?',
    ),
    (http({"zzz": 800}), f'{TIME}: unknown comparison "zzz"; {COMPARISON}'),
    (
        http({"avg": {"leq_to": 800}}),
        f'{TIME}: unknown aggregate "avg"; one of {", ".join(AGGREGATES)}; did you mean "mean"?',
    ),
    (
        http({"p95": {"leq_to": 1}, "p75": {"leq_to": 1}}),
        f'{TIME}: unknown aggregate "p75"; one of {", ".join(AGGREGATES)}; did you mean "p95"?',
    ),
    (
        http({"p95": {"leq_to": 1}, "leq_to": 2}),
        f'{TIME}: an aggregate ("p95") beside a comparison ("leq_to"); '
        'put the comparison into an aggregate, "every" for each agent',
    ),
    (http(200), f'{TIME}: expected a comparison such as {{"equal_to": 200}}, got 200'),
    (http(None), f'{TIME}: expected a comparison such as {{"equal_to": 200}}, got null'),
    (http({"max": 200}), f'{TIME}["max"]: expected a comparison such as {{"leq_to": 800}}, got 200'),
    (
        http({"max": [{"leq_to": 1}, 5]}),
        f'{TIME}["max"][1]: expected a comparison such as {{"leq_to": 800}}, got 5',
    ),
    (http({"max": []}), f'{TIME}["max"]: an empty list of comparisons'),
    (http({}), f"{TIME}: no comparison; one of {NAMES}"),
    (http({"severity": "warn"}), f'{TIME}: no comparison beside "severity"; one of {NAMES}'),
    (http({"leq_to": "fast"}), f'{TIME}["leq_to"]: expected a number, got "fast"'),
    (http({"leq_to": None}), f'{TIME}["leq_to"]: expected a number, got null'),
    (http({"leq_to": True}), f'{TIME}["leq_to"]: expected a number, got true'),
    (http({"leq_to": float("nan")}), f'{TIME}["leq_to"]: expected a number, got nan'),
    (http({"equal_to": [200]}), f'{TIME}["equal_to"]: expected a number, a text or a boolean, got a list'),
    (http({"one_of": "200"}), f'{TIME}["one_of"]: expected a list of values, got "200"'),
    (http({"one_of": []}), f'{TIME}["one_of"]: expected a list of values, got an empty list'),
    (
        http({"one_of": [200, None]}),
        f'{TIME}["one_of"][1]: expected a number, a text or a boolean, got null',
    ),
    (http({"contains": True}), f'{TIME}["contains"]: expected a text, got true'),
    (http({"leq_to": 10**5000}), f'{TIME}["leq_to"]: expected a number, got a huge number'),
    (http({"contains": ""}), f'{TIME}["contains"]: expected a text, got ""'),
    (
        http({"matches": "("}),
        f'{TIME}["matches"]: not a regular expression: missing ), unterminated subpattern at position 0',
    ),
    (
        http({"leq_to": 1, "tolerance": 20}),
        f'{TIME}["tolerance"]: expected a fraction from 0 to 1, such as 0.1 for 10 %, got 20',
    ),
    (
        http({"contains": "x", "tolerance": 0.1}),
        f'{TIME}["tolerance"]: works only with numbers in equal_to, greater_than, geq_to, less_than, leq_to',
    ),
    (
        http({"leq_to": 1, "floor": 1}),
        f'{TIME}["floor"]: works only with change_leq_to, change_geq_to, delta_leq_to, delta_geq_to',
    ),
    (
        http({"delta_leq_to": 1, "floor": -1}),
        f'{TIME}["floor"]: expected a number, 0 or more, in the unit of the metric, got -1',
    ),
    (
        http({"leq_to": 1, "quorum": 80}),
        f'{TIME}["quorum"]: expected a fraction of the agents, such as 0.8 for 80 %, got 80',
    ),
    (
        http({"leq_to": 1, "quorum": 0}),
        f'{TIME}["quorum"]: expected a fraction of the agents, such as 0.8 for 80 %, got 0',
    ),
    (
        http({"p95": {"leq_to": 1, "quorum": 0.8}}),
        f'{TIME}["p95"]["quorum"]: works with "every" only, not with "p95"',
    ),
    (
        http({"leq_to": 1, "severity": "warning"}),
        f'{TIME}["severity"]: unknown severity "warning"; one of error, warn; did you mean "warn"?',
    ),
    (
        http({"leq_to": 1, "where": {"country": "DE"}}),
        f'{TIME}["where"]: unknown field of an agent "country"; one of agentId, agentName, countryId; '
        'did you mean "countryId"?',
    ),
    (http({"leq_to": 1, "where": {}}), f'{TIME}["where"]: names no field of an agent'),
    (
        http({"leq_to": 1, "where": {"agentId": []}}),
        f'{TIME}["where"]["agentId"]: expected a text or a list of texts, got an empty list',
    ),
    (
        http({"leq_to": 1, "where": "DE"}),
        f'{TIME}["where"]: expected a dict {{"agentName": "Berlin*"}}, got "DE"',
    ),
    (
        http({"geq_to": 5, "less_than": 5}),
        f'{TIME}: "geq_to" 5 and "less_than" 5 leave no value that passes',
    ),
    (http({"geq_to": 6, "leq_to": 5}), f'{TIME}: "geq_to" 6 and "leq_to" 5 leave no value that passes'),
    (
        http({"less_than": 5, "leq_to": 5}),
        f'{TIME}: both "less_than" and "leq_to"; keep one of them',
    ),
    (
        http({"p95": {"contains": "x"}}),
        f'{TIME}["p95"]: "contains" compares text, which has no "p95"; one of every, any',
    ),
    (
        http({"contains": "x", "leq_to": 1}),
        f'{TIME}: compares text ("contains") and numbers ("leq_to") at once',
    ),
    (http({"leq_to": 1}, " "), 'checks["http-server"]: a metric without a name'),
]


class TestErrors:
    @pytest.mark.parametrize(("declaration", "message"), WRONG, ids=[message[:60] for _, message in WRONG])
    def test_an_error_has_path_problem_and_expectation(self, declaration, message):
        assert errors(declaration) == (message,)
        with pytest.raises(ValueError, match=r"^checks"):
            parse_checks(declaration)

    def test_all_errors_are_reported_at_once(self):
        wrong = {
            "htp-server": {},
            "network": {"loss": {"p95": {"lt": 1, "severity": "bad"}, "avg": {}}, "jitter": 5},
        }
        parsed = errors(wrong)
        assert [error.partition(": ")[0] for error in parsed] == [
            "checks",
            'checks["network"]["loss"]["p95"]',
            'checks["network"]["loss"]["p95"]["severity"]',
            'checks["network"]["loss"]',
            'checks["network"]["jitter"]',
        ]
        with pytest.raises(DeclarationErrors) as caught:
            parse_checks(wrong)
        assert str(caught.value) == "5 errors:\n- " + "\n- ".join(parsed)

    def test_a_declaration_that_refers_to_itself_is_an_error(self):
        rules: dict[str, object] = {"leq_to": 1}
        rules["every"] = [rules]
        assert errors(http(rules)) == ("checks: nested more than 50 levels deep",)

    def test_the_error_can_be_pickled(self):
        error = DeclarationErrors(["checks: a", "checks: b"])
        assert pickle.loads(pickle.dumps(error)).errors == error.errors

    def test_touching_bounds_leave_one_value(self):
        assert only({"geq_to": 5, "leq_to": 5})

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{" + "'a': {" * 5000])
    def test_texts_that_are_too_deep_are_errors(self, text):
        assert errors(text)[0].startswith("checks: n")


class TestLiteralsOnly:
    @pytest.mark.parametrize(
        "later",
        [
            "{{ params.checks }}",
            "{% if x %}{% endif %}",
            "checks/app.json",
            "checks.yaml",
            _Output(),
            {"http-server": "{{ x }}"},
            {"http-server": _Output()},
            http("{{ x }}"),
            http({"p95": _Output()}),
            http([_Output()]),
            http({"leq_to": "{{ params.most }}"}),
            http({"contains": "x-app-version: {{ params.version }}"}),
            http({"one_of": ["a", "{{ a }}"]}),
            http({"one_of": "{{ params.codes }}"}),
            http({"leq_to": 5, "severity": "{{ a }}"}),
            http({"leq_to": 5, "where": {"countryId": ["DE", "{{ a }}"]}}),
        ],
    )
    def test_templates_are_skipped(self, later):
        assert parse_checks(later, literals_only=True) == NO_CHECKS

    def test_parts_beside_templates_are_parsed(self):
        checks = parse_checks(http([{"leq_to": "{{ a }}"}, {"leq_to": 5}]), literals_only=True)
        assert [check.path for check in checks.checks] == [f"{TIME}[1]"]

    def test_errors_beside_templates_are_reported(self):
        wrong = http({"p95": {"lt": "{{ a }}", "leq_to": "{{ a }}", "quorum": 1}})
        assert [error.partition(":")[0] for error in errors(wrong, literals_only=True)] == [
            f'{TIME}["p95"]',
            f'{TIME}["p95"]["quorum"]',
        ]

    def test_before_the_run_nothing_is_skipped(self):
        assert errors("{{ params.checks }}")
        assert errors(_Output())[0].startswith("checks: expected a dict")
        assert errors(http({"leq_to": "{{ a }}"}))


KEYS = st.sampled_from(
    [
        "http-server",
        "network",
        "loss",
        "p95",
        "every",
        "leq_to",
        "one_of",
        "where",
        "agentId",
        "severity",
        "floor",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | KEYS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON, st.booleans())
def test_any_json_is_a_declaration_or_has_errors(declaration, literals_only):
    parsed: tuple[str, ...] = ()
    try:
        checks = parse_checks(declaration, literals_only=literals_only)
    except DeclarationErrors as error:
        parsed = error.errors
    assert all(error.startswith("checks") for error in parsed)
    assert parsed or all(check.terms for check in checks.checks)
