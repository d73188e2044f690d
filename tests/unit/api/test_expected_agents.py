"""The expected agents and their number of rows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.expected_agents import (
    MAX_SUGGESTED,
    UNKNOWN,
    Agent,
    ExpectedAgents,
    directions_of,
    expected_from_argument,
    expected_from_rows,
    expected_from_test,
    known_agents,
    result_types_of,
    rows_per_agent,
    share_or_count,
    type_implied_by,
)
from thousandeyes_provider.api.result_types import TEST_TYPES


def by_id(*ids):
    return tuple(Agent(agent_id=agent_id) for agent_id in ids)


def by_name(*names):
    return tuple(Agent(agent_name=name) for name in names)


class TestArgument:
    @pytest.mark.parametrize("value", [None, "", "  ", "None"])
    def test_not_given(self, value):
        assert expected_from_argument(value) is None

    @pytest.mark.parametrize("value", [3, "3", " 3 ", "3.0"])
    def test_number_of_agents(self, value):
        assert expected_from_argument(value) == ExpectedAgents("argument", count=3)

    @pytest.mark.parametrize(
        "value",
        [
            *(["7", "Oslo"], ("7", "Oslo"), [7, "Oslo"], [" 7 ", " Oslo "], '["7", "Oslo"]', '[7, "Oslo"]'),
            *("['7', 'Oslo']", "[7, 'Oslo']", "7, Oslo", "7,Oslo", " 7 ,  Oslo "),
        ],
    )
    def test_ids_and_names_as_a_list_or_as_text(self, value):
        expected = expected_from_argument(value)
        assert expected == ExpectedAgents("argument", (*by_id("7"), *by_name("Oslo")), 2)

    @pytest.mark.parametrize("names", [["Oslo, Norway", "Rome, Italy"], ["Xi'an, China", 'the "lab"', "[x]"]])
    def test_names_with_commas_and_quotes_survive_a_template(self, names):
        assert expected_from_argument(str(names)).agents == by_name(*names)
        assert expected_from_argument(json.dumps(names)).agents == by_name(*names)

    def test_list_without_quotes(self):
        assert expected_from_argument("[7, Oslo]").agents == (*by_id("7"), *by_name("Oslo"))

    def test_only_plain_digits_are_an_id(self):
        assert expected_from_argument(["\N{SUPERSCRIPT TWO}"]).agents == by_name("\N{SUPERSCRIPT TWO}")

    def test_one_name(self):
        assert expected_from_argument("Oslo") == ExpectedAgents("argument", by_name("Oslo"), 1)

    def test_set_is_a_list_in_any_order(self):
        expected = expected_from_argument({"7", "8"})
        assert set(expected.agents) == set(by_id("7", "8"))

    def test_agent_that_is_listed_twice_is_expected_once(self):
        assert expected_from_argument(["7", 7, "7"]).count == 1

    @pytest.mark.parametrize(
        "value",
        [
            *(0, -1, "0", "-1", [], "[]", "[", ",", [""], ["a", ""], "a,,b", [None], [True], [1.5], [["a"]]),
            *(True, False, 2.5, {"a": 1}, b"7", [{}]),
        ],
    )
    def test_any_other_value_is_refused(self, value):
        with pytest.raises(ValueError, match=r"agent"):
            expected_from_argument(value)


class TestDefinition:
    def test_agents_of_the_definition(self):
        test = {"agents": [{"agentId": "1", "agentName": "Oslo"}, {"agentId": 2}, {"agentName": "Rome"}]}
        expected = expected_from_test(test)
        assert expected.source == "test"
        assert expected.agents == (Agent("1", "Oslo"), Agent("2", ""), Agent("", "Rome"))

    @pytest.mark.parametrize(
        "test", [{}, {"agents": None}, {"agents": []}, {"agents": {}}, {"agents": [None, {}, "x"]}]
    )
    def test_definition_without_agents_leaves_them_unknown(self, test):
        assert expected_from_test(test) == UNKNOWN
        assert known_agents(test) == ()

    def test_members_of_a_cluster_may_report_in_its_place(self):
        site, cluster = (
            {"agentId": "1", "agentType": "enterprise"},
            {"agentId": "2", "agentType": "enterprise-cluster"},
        )
        assert known_agents({"agents": [site]}) == by_id("1")
        assert known_agents({"agents": [site, cluster]}) == ()


class TestRememberedRound:
    def test_each_agent_is_expected_once(self):
        rows = [{"agent": {"agentId": agent, "agentName": f"n{agent}"}} for agent in ("1", "2", "1")]
        expected = expected_from_rows(rows)
        assert (expected.source, expected.count) == ("remembered", 2)
        assert set(expected.agents) == {Agent("1", "n1"), Agent("2", "n2")}

    @pytest.mark.parametrize("rows", [[], [{}], [{"agent": {}}]])
    def test_rows_without_agents_leave_them_unknown(self, rows):
        assert expected_from_rows(rows) == UNKNOWN


class TestAgent:
    def test_names_are_compared_regardless_of_case_and_spaces(self):
        assert Agent("", " oslo, NORWAY ").folded_name() == Agent("1", "Oslo, Norway").folded_name()

    def test_text_is_the_name_or_the_id(self):
        assert str(Agent("1", "Oslo")) == str(Agent("", "Oslo")) == "Oslo"
        assert str(Agent("1", "")) == "agent 1"


class TestResultTypes:
    @pytest.mark.parametrize("test_type", TEST_TYPES)
    @pytest.mark.parametrize("test", [None, {}, {"_links": None}, {"_links": {"testResults": []}}])
    def test_defaults_of_the_test_type_without_links(self, test_type, test):
        assert result_types_of(test_type, test) == TEST_TYPES[test_type].default

    def test_result_type_without_a_link_is_left_out(self):
        links = [
            {"href": "https://te/v7/test-results/1/page-load?aid=7"},
            {"href": "/v7/test-results/1/network"},
        ]
        assert result_types_of("page-load", {"_links": {"testResults": links}}) == ("page-load",)

    def test_links_to_no_default_are_ignored(self):
        links = [{"href": "https://te/v7/test-results/1/network"}, None, {}, {"href": None}]
        assert result_types_of("http-server", {"_links": {"testResults": links}}) == ("http-server",)


class TestDirections:
    @pytest.mark.parametrize("result_type", ["network", "path-vis"])
    @pytest.mark.parametrize(
        ("direction", "expected"),
        [
            ("bidirectional", ("to-target", "from-target")),
            ("to-target", ("to-target",)),
            ("from-target", ("from-target",)),
            (None, (None,)),
            ("sideways", (None,)),
        ],
    )
    def test_directions_of_an_agent_to_agent_test(self, result_type, direction, expected):
        assert directions_of("agent-to-agent", result_type, {"direction": direction}) == expected

    def test_no_direction_without_a_definition(self):
        assert directions_of("agent-to-agent", "network", None) == (None,)

    @pytest.mark.parametrize("test_type", [name for name in TEST_TYPES if name != "agent-to-agent"])
    def test_no_other_test_has_directions(self, test_type):
        assert directions_of(test_type, "network", {"direction": "bidirectional"}) == (None,)


class TestRowsPerAgent:
    def test_one_row_for_each_dns_server(self):
        test = {"dnsServers": [{"serverId": "1"}, {"serverId": "2"}]}
        assert rows_per_agent("dns-server", "dns-server", test, []) == 2
        assert rows_per_agent("dns-server", "network", test, []) == 1

    def test_remembered_round_counts_without_a_definition(self):
        rows = [
            {"agent": {"agentId": agent}, "serverId": server, "roundId": round_id}
            for agent, server, round_id in [("1", "a", 5), ("1", "b", 5), ("1", "b", 4), ("2", "a", 5)]
        ]
        assert rows_per_agent("dns-server", "dns-server", None, rows) == 2

    @pytest.mark.parametrize("test", [None, {}, {"dnsServers": None}, {"dnsServers": []}])
    def test_number_of_dns_servers_may_be_unknown(self, test):
        assert rows_per_agent("dns-server", "dns-server", test, []) is None

    @pytest.mark.parametrize(("direction", "rows"), [("bidirectional", 2), ("to-target", 1), (None, 1)])
    def test_one_row_for_each_direction(self, direction, rows):
        assert rows_per_agent("agent-to-agent", "network", {"direction": direction}, []) == rows

    @pytest.mark.parametrize("test_type", [name for name in TEST_TYPES if name != "dns-server"])
    def test_one_row_of_every_other_result_type(self, test_type):
        for result_type in TEST_TYPES[test_type].default:
            assert rows_per_agent(test_type, result_type, None, []) == 1


class TestShareOrCount:
    @pytest.mark.parametrize(
        ("value", "of", "expected"),
        [
            *((1, 5, 1), ("1", 5, 1), (4, None, 4), (" 4 ", 5, 4), (0, 5, 0)),
            *((1.0, 5, 5), ("1.0", 5, 5), (0.8, 5, 4), ("0.8", 5, 4), (0.5, 5, 3), (0.01, 5, 1), (0.0, 5, 0)),
            *((0.1, 30, 3), (0.7, 10, 7), (0.6, 5, 3), (1e-12, 5, 1), (0.5, None, None), ("1.0", None, None)),
        ],
    )
    def test_count_or_fraction_rounded_up(self, value, of, expected):
        assert share_or_count(value, of) == expected

    @pytest.mark.parametrize(
        "value", [-1, "-1", 1.5, "1.5", -0.1, "-0.1", True, None, "", "half", "50%", float("nan"), [1]]
    )
    def test_any_other_value_is_refused_with_its_name(self, value):
        with pytest.raises(ValueError, match=r"^min_agents must be a number of agents or a fraction"):
            share_or_count(value, 5)

    @given(st.floats(0, 1), st.integers(1, 10_000))
    def test_fraction_is_rounded_up_to_at_most_all(self, fraction, of):
        count = share_or_count(fraction, of)
        assert 0 <= count <= of
        assert count >= fraction * of - 1e-6


@pytest.mark.parametrize(
    ("result_types", "test_type"),
    [
        (["page-load"], "page-load"),
        (["web-transactions"], "web-transactions"),
        (["dns-trace"], "dns-trace"),
        (["api", "network"], "api"),
        (["http-server"], None),
        (["network"], None),
        (["page-load", "dns-trace"], None),
        ([], None),
    ],
)
def test_result_types_of_only_one_test_type_imply_it(result_types, test_type):
    assert type_implied_by(result_types) == test_type


@pytest.mark.parametrize("value", [1, "1", " 1 "])
def test_one_agent_is_a_number_and_no_id(value):
    assert expected_from_argument(value) == ExpectedAgents("argument", count=1)


def test_agents_of_the_remembered_round_may_have_an_id_or_a_name_alone():
    rows = [{"agent": {"agentId": "1"}}, {"agent": {"agentName": "Oslo"}}, {"agent": {}}, {}]
    assert expected_from_rows(rows) == ExpectedAgents.of("remembered", [Agent("1", ""), Agent("", "Oslo")])


def test_link_to_results_may_end_with_a_slash_or_a_query():
    for end in ("", "/", "?aid=1", "/?aid=1"):
        links = [{"href": f"https://te.example/v7/test-results/7/page-load{end}"}]
        assert result_types_of("page-load", {"_links": {"testResults": links}}) == ("page-load",)


def test_rows_are_counted_for_each_agent_and_not_for_each_server():
    rows = [
        {"agent": {"agentId": agent}, "server": server} for agent in ("1", "2") for server in ("a", "b", "c")
    ]
    assert rows_per_agent("dns-server", "dns-server", None, rows) == 3
    assert rows_per_agent("dns-server", "dns-server", None, rows[:4]) == 3


def test_list_that_is_neither_json_nor_python_is_split_at_commas():
    expected = expected_from_argument("[Xanten, 'Bonn', \"Ulm\" , 7]")
    assert expected.agents == (Agent("", "Xanten"), Agent("", "Bonn"), Agent("", "Ulm"), Agent("7", ""))


class TestProblemsWith:
    AGENTS = (Agent("1", "Oslo"), Agent("2", "Rome"))

    @pytest.mark.parametrize(
        ("expected", "problems"),
        [
            (["1", "rome"], []),
            (["Osloo"], ["'Osloo' is no agent of the test; did you mean 'Oslo'?"]),
            (["3", "Oslo"], ["'agent 3' is no agent of the test"]),
            (2, []),
            (3, ["3 agents, but the test has 2"]),
        ],
    )
    def test_agents_that_the_test_does_not_have_are_named(self, expected, problems):
        assert expected_from_argument(expected).problems_with(self.AGENTS) == problems

    @pytest.mark.parametrize(
        ("expected", "problems"),
        [
            (["rome", "Oslo"], ["2 agents are named 'rome' (ids 2, 3): use their ids"]),
            (["2", "3"], []),
            (["2", "1"], []),
            (3, []),
        ],
    )
    def test_a_name_of_several_agents_is_refused_with_their_ids(self, expected, problems):
        agents = [*self.AGENTS, Agent("3", "ROME "), Agent("2", "Rome"), Agent("", "Rome")]
        assert expected_from_argument(expected).problems_with(agents) == problems

    def test_agents_of_a_definition_may_share_a_name(self):
        agents = (Agent("1", "Rome"), Agent("2", "Rome"))
        assert ExpectedAgents.of("test", agents).problems_with(agents) == []

    def test_ten_thousand_unknown_agents_are_fast(self):
        wrong = expected_from_argument([f"Osl{number}" for number in range(10_000)])
        problems = wrong.problems_with(self.AGENTS)
        assert len(problems) == 10_000
        assert sum("did you mean 'Oslo'?" in problem for problem in problems) == MAX_SUGGESTED
