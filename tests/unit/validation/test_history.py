"""A history keeps rounds, agents and gaps as ThousandEyes reported them."""

from __future__ import annotations

from thousandeyes_provider.validation.history import History

START = 1_790_000_400


def row(round_id, agent="1", **values):
    return {
        "agent": {"agentId": agent, "agentName": f"Agent {agent}", "countryId": "DE"},
        "roundId": round_id,
        "date": "2026-11-25T10:00:00Z",
        "responseTime": 100.0,
        "errorType": "None",
        **values,
    }


def history(rounds, agents=("1", "2"), step=300):
    built = History("7", "http-server", "Checkout")
    built.add(
        "http-server", [row(START + step * place, agent) for place in range(rounds) for agent in agents]
    )
    return built


class TestRounds:
    def test_rounds_are_sorted(self):
        built = History("7", "http-server")
        built.add("http-server", [row(START + 600), row(START), row(START + 300)])
        assert built.rounds == (START, START + 300, START + 600)
        assert (built.interval, len(built)) == (300, 3)

    def test_only_rounds_of_the_period_are_included(self):
        built = History("7", "http-server")
        taken = built.add(
            "http-server", [row(START - 300), row(START), row(START + 300)], since=START, until=START + 300
        )
        assert (taken, built.rounds) == (1, (START,))

    def test_a_row_without_a_time_belongs_to_no_round(self):
        built = History("7", "http-server")
        assert built.add("http-server", [{"agent": {"agentId": "1"}, "responseTime": 1}]) == 0
        assert built.rounds == ()
        assert built.days == 0
        assert built.interval == 0

    def test_gaps_are_listed(self):
        built = history(3)
        built.add("http-server", [row(START + 300 * 10)])
        assert built.gaps == ((START + 600, START + 3000),)

    def test_two_rows_of_an_agent_in_a_round_both_count(self):
        built = History("7", "dns-server")
        built.add("dns-server", [row(START, server="ns1"), row(START, server="ns2")])
        assert [dns_row["server"] for dns_row in built.rows(START)["dns-server"]] == ["ns1", "ns2"]

    def test_rows_keep_the_fields_for_checks_and_links(self):
        built = History("7", "http-server", keep=("headers",))
        href = "https://app.thousandeyes.com/view?roundId=1"
        built.add(
            "http-server",
            [
                row(
                    START,
                    headers={"responseHeaders": "x"},
                    sslCertificates=[{"a": 1}],
                    _links={"appLink": {"href": href}},
                )
            ],
        )
        (kept,) = built.rows(START)["http-server"]
        assert kept["headers"] == {"responseHeaders": "x"}
        assert kept["_links"]["appLink"]["href"] == href
        assert "sslCertificates" not in kept
        assert "date" not in kept

    def test_a_row_without_an_agent_keeps_its_values(self):
        built = History("7", "http-server")
        built.add("http-server", [{"roundId": START, "responseTime": 7, "agent": None}])
        assert list(built.rows(START)["http-server"]) == [{"roundId": START, "responseTime": 7}]

    def test_exported_rows_build_the_same_history(self):
        built, copy = history(20), History("7", "http-server")
        copy.add("http-server", built.export("http-server", START, START + 300 * 10))
        copy.add("http-server", built.export("http-server", START + 300 * 10, float("inf")))
        assert list(copy) == list(built)


class TestAgents:
    def test_an_agent_that_came_later_is_expected_from_then_on(self):
        built = history(100, agents=("1",))
        built.add("http-server", [row(START + 300 * place, "2") for place in range(50, 100)])
        assert built.expected(START) == ("1",)
        assert built.expected(START + 300 * 50) == ("1", "2")

    def test_an_agent_that_stopped_is_expected_until_its_last_round(self):
        built = history(100, agents=("1",))
        built.add("http-server", [row(START + 300 * place, "2") for place in range(50)])
        assert built.expected(START + 300 * 49) == ("1", "2")
        assert built.expected(START + 300 * 50) == ("1",)
        assert not built.agents["2"].is_current

    def test_an_agent_that_is_silent_for_a_while_is_expected_throughout(self):
        built = history(100, agents=("1",))
        built.add(
            "http-server", [row(START + 300 * place, "2") for place in range(100) if not 40 < place < 60]
        )
        assert built.expected(START + 300 * 50) == ("1", "2")

    def test_an_agent_that_missed_only_the_last_rounds_still_belongs_to_the_test(self):
        built = history(100, agents=("1",))
        built.add("http-server", [row(START + 300 * place, "2") for place in range(95)])
        assert built.agents["2"].is_current
        assert built.expected(built.rounds[-1]) == ("1", "2")
