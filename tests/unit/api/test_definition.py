"""Definitions of instant tests: parsing, agents by name, copies of other tests, and secrets."""

from __future__ import annotations

import enum
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.api.definition import (
    MAX_TEST_NAME,
    MAX_WARNINGS,
    default_name,
    definition_warnings,
    missing_credentials,
    names_agents,
    overridden,
    read_definition,
    secrets_in,
    settings_of,
    with_agent_ids,
)
from thousandeyes_provider.api.definition_schema import FIELDS, READ_ONLY, SCHEDULING
from thousandeyes_provider.api.result_types import TEST_TYPES

HTTP = {"url": "https://a.example", "agents": ["14410"]}
LISTED = [
    {"agentId": "14410", "agentName": "Frankfurt, Germany"},
    {"agentId": "14419", "agentName": "Singapore"},
    {"agentId": "1", "agentName": "Lab"},
    {"agentId": "2", "agentName": "lab"},
]


def errors(test_type, definition, **options):
    with pytest.raises(DeclarationErrors) as failure:
        read_definition(test_type, definition, **options)
    return failure.value.errors


def test_all_twelve_types_are_in_the_table():
    assert FIELDS.keys() == TEST_TYPES.keys()


class TestReading:
    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ("14410", {"agentId": "14410"}),
            (14410, {"agentId": "14410"}),
            (" Singapore ", {"agentName": "Singapore"}),
            ({"agentId": 14410}, {"agentId": "14410"}),
            ({"agentId": "14410", "agentName": "Frankfurt"}, {"agentId": "14410"}),
            ({"agentName": "Singapore"}, {"agentName": "Singapore"}),
            (
                {"agentId": "14410", "sourceIpAddress": "10.0.0.1"},
                {"agentId": "14410", "sourceIpAddress": "10.0.0.1"},
            ),
        ],
    )
    def test_agents_can_be_ids_names_or_objects(self, given, sent):
        assert read_definition("http-server", {**HTTP, "agents": [given]})["agents"] == [sent]

    @pytest.mark.parametrize(
        ("field", "given", "sent"),
        [
            ("httpTimeLimit", "10", 10),
            ("httpTimeLimit", 10.0, 10),
            ("followRedirects", "false", False),
            ("verifyCertificate", "True", True),
            ("sslVersionId", 3, "3"),
            ("labels", ("a", 2), ["a", "2"]),
            ("customHeaders", {"all": {"x": "y"}}, {"all": {"x": "y"}}),
            ("somethingNew", {"x": 1}, {"x": 1}),
        ],
    )
    def test_values_are_converted_for_the_api(self, field, given, sent):
        assert read_definition("http-server", {**HTTP, field: given})[field] == sent

    def test_null_equals_an_absent_field(self):
        assert "description" not in read_definition("http-server", {**HTTP, "description": None})
        assert errors("http-server", {**HTTP, "url": None}) == (
            'definition["url"]: required for http-server tests',
        )

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"agents": []}, 'definition["agents"]: [] is not a list with at least one entry'),
            (
                {"agents": "Singapore"},
                'definition["agents"]: "Singapore" is not a list with at least one entry',
            ),
            ({"agents": [True]}, 'definition["agents"][0]: true is not an object'),
            ({"agents": [""]}, 'definition["agents"][0]: "" is not an object'),
            ({"labels": [""]}, 'definition["labels"][0]: "" is not a text'),
            ({"oAuth": []}, 'definition["oAuth"]: [] is not an object'),
            ({"customHeaders": "x"}, '["customHeaders"]: the value (not shown) is not an object or a list'),
            ({"downloadLimit": "much"}, 'definition["downloadLimit"]: "much" is not a whole number'),
            ({"httpVersion": True}, 'definition["httpVersion"]: true is not a whole number from 1 to 2'),
            ({"authType": ["none"]}, "is not one of none, basic, ntlm, kerberos, oauth"),
        ],
    )
    def test_an_error_has_its_path(self, wrong, says):
        (error,) = errors("http-server", {**HTTP, **wrong})
        assert says in error

    @pytest.mark.parametrize("name", sorted(READ_ONLY))
    def test_a_field_that_thousandeyes_sets_is_an_error(self, name):
        assert errors("http-server", {**HTTP, name: 1}) == (
            f'definition["{name}"]: set by ThousandEyes; remove it',
        )

    @pytest.mark.parametrize("name", sorted(SCHEDULING))
    def test_a_field_of_scheduled_tests_is_sent_with_a_warning(self, name):
        definition = {**HTTP, name: 60}
        assert read_definition("http-server", definition)[name] == 60
        assert definition_warnings("http-server", definition) == [
            f'definition["{name}"] has no effect: instant tests have no schedule and no alerts'
        ]

    @pytest.mark.parametrize(
        ("given", "warning"),
        [
            (
                {"authType": "basic2"},
                "\"basic2\" is not one of none, basic, ntlm, kerberos, oauth; did you mean 'basic'?",
            ),
            ({"authType": "zzz"}, '"zzz" is not one of none, basic, ntlm, kerberos, oauth'),
            ({"httpVersion": 0}, "0 is not a whole number from 1 to 2"),
            ({"httpVersion": "3"}, '"3" is not a whole number from 1 to 2'),
        ],
    )
    def test_a_value_outside_the_description_is_sent_with_a_warning(self, given, warning):
        ((name, value),) = given.items()
        assert str(read_definition("http-server", {**HTTP, **given})[name]) == str(value)
        assert definition_warnings("http-server", {**HTTP, **given}) == [f'definition["{name}"]: {warning}']

    def test_nested_fields_have_warnings(self):
        given = {**HTTP, "oAuth": {"authType": "x", "password": ["wrong type"]}}
        assert definition_warnings("http-server", given) == [
            'definition["oAuth"]["authType"]: "x" is not one of none, basic, ntlm'
        ]

    def test_a_structure_that_refers_to_itself_is_an_error(self):
        definition = {**HTTP}
        definition["customHeaders"] = definition
        assert errors("http-server", definition) == ("definition: nested more than 50 levels deep",)
        assert list(secrets_in(definition)) == []

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            (
                {"authType": "basci"},
                "\"basci\" is not one of none, basic, ntlm, kerberos, oauth; did you mean 'basic'?",
            ),
            ({"downloadLimit": "much"}, '"much" is not a whole number'),
            ({"followRedirects": "perhaps"}, '"perhaps" is not true or false'),
            ({"labels": "x"}, '"x" is not a list'),
            ({"description": ["Zürich", "x" * 100]}, f'["Zürich", "{"x" * 67}… is not a text'),
            ({"description": ["x" * 76]}, f'["{"x" * 76}"] is not a text'),
            ({"description": ["x" * 77]}, f'["{"x" * 77}… is not a text'),
            ({"description": {1, 2}}, '"{1, 2}" is not a text'),
        ],
    )
    def test_an_error_has_path_value_and_expectation(self, wrong, says):
        (name,) = wrong
        assert errors("http-server", {**HTTP, **wrong}) == (f'definition["{name}"]: {says}',)

    def test_the_value_of_a_required_field_is_checked(self):
        ftp = {"agents": ["1"], "url": "ftp://a.example", "username": "u"}
        given = {**ftp, "requestType": "delete", "password": ["hunter2"]}
        assert errors("ftp-server", given) == ('definition["password"]: the value (not shown) is not a text',)
        assert definition_warnings("ftp-server", given) == [
            'definition["requestType"]: "delete" is not one of download, upload, list'
        ]
        for port in (0, 65536):
            sip = {"agents": ["1"], "targetSipCredentials": {"port": port, "sipRegistrar": "sip.example"}}
            (warning,) = definition_warnings("sip-server", sip)
            assert warning.endswith(f'["port"]: {port} is not a whole number from 1 to 65535')

    @pytest.mark.parametrize("version", [1, 2, "1", "2"])
    def test_both_bounds_of_a_range_are_valid(self, version):
        assert read_definition("http-server", {**HTTP, "httpVersion": version})["httpVersion"] == int(version)

    def test_a_missing_field_names_a_similar_field(self):
        wrong = {"agents": ["1"], "zzz": 1, "urls": "https://a.example"}
        assert errors("http-server", wrong) == (
            "definition[\"url\"]: required for http-server tests; is 'urls' a misspelling?",
        )

    def test_a_read_only_name_is_allowed_in_a_nested_object(self):
        inside = {"requests": [{"name": "a", "url": "b", "interval": 60, "testId": "1"}]}
        assert read_definition("api", {**HTTP, **inside})["requests"] == inside["requests"]

    def test_an_invalid_secret_in_a_list_is_not_shown(self):
        for header in (["Authorization: hunter2"], ["hunter2"]):
            (error,) = errors("http-server", {**HTTP, "headers": [header]})
            assert error == 'definition["headers"][0]: the value (not shown) is not a text'

    def test_an_invalid_secret_is_not_shown(self):
        (error,) = errors("http-server", {**HTTP, "password": ["pass", "word"]})
        assert error == 'definition["password"]: the value (not shown) is not a text'

    def test_overrides_need_required_fields_only_in_list_items(self):
        assert read_definition("http-server", {"url": "x"}, partial=True) == {"url": "x"}
        problems = errors("api", {"requests": [{"name": "a"}]}, partial=True, name="overrides")
        assert problems == ('overrides["requests"][0]["url"]: required for api tests',)

    def test_overrides_may_have_partial_objects(self):
        changes = {"targetSipCredentials": {"password": "p"}}
        assert read_definition("sip-server", changes, partial=True) == changes

    @pytest.mark.parametrize(
        "wrong",
        [
            {"customHeaders": "Authorization: Bearer hunter2"},
            {"description": {"password": "hunter2"}},
        ],
    )
    def test_values_that_may_contain_a_secret_are_not_shown(self, wrong):
        (error,) = errors("http-server", {**HTTP, **wrong})
        assert "hunter2" not in error
        assert "the value (not shown) is not" in error

    def test_a_value_in_place_of_an_object_is_not_shown(self):
        (error,) = errors("api", {**HTTP, "requests": ["Authorization: Bearer hunter2"]})
        assert error == 'definition["requests"][0]: the value (not shown) is not an object'

    def test_templates_are_left_unchanged(self):
        template = {**HTTP, "httpVersion": "{{ 3 }}", "agents": ["{{ a }}", {"agentId": "{{ b }}"}]}
        read = read_definition("http-server", template, known=lambda value: "{{" not in str(value))
        assert read["httpVersion"] == "{{ 3 }}"

    def test_list_items_without_a_template_are_read(self):
        template = {
            **HTTP,
            "agents": ["{{ a }}", "Oslo", 7, {"agentId": "{{ b }}"}],
            "labels": ["{{ c }}", 1],
        }

        def known(value):
            return not str(value).startswith("{{")

        read = read_definition("http-server", template, known=known)
        assert read["agents"] == ["{{ a }}", {"agentName": "Oslo"}, {"agentId": "7"}, {"agentId": "{{ b }}"}]
        assert read["labels"] == ["{{ c }}", "1"]

    def test_enums_of_the_official_sdk_become_values(self):
        class AuthType(str, enum.Enum):  # noqa: UP042 - as the SDK has them
            BASIC = "basic"

        class SslVersion(enum.Enum):
            TLS = 6

        sent = read_definition(
            "http-server", {**HTTP, "authType": AuthType.BASIC, "sslVersionId": SslVersion.TLS}
        )
        assert (sent["authType"], type(sent["authType"]), sent["sslVersionId"]) == ("basic", str, "6")

    def test_errors_survive_pickling(self):
        error = DeclarationErrors(["one", "two"])
        assert str(pickle.loads(pickle.dumps(error))) == str(error) == "2 errors:\n- one\n- two"

    @given(
        st.sampled_from(sorted(TEST_TYPES)),
        st.dictionaries(
            st.sampled_from([*sorted({name for fields in FIELDS.values() for name in fields}), "new"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
                ),
                max_leaves=6,
            ),
        ),
    )
    def test_any_definition_is_accepted_or_has_errors(self, test_type, definition):
        try:
            read = read_definition(test_type, definition)
        except DeclarationErrors as error:
            message = error.errors
        else:
            assert read_definition(test_type, read) == read
            return
        assert message
        assert all(error.startswith('definition["') for error in message)

    def test_an_unknown_field_is_a_hint(self):
        message = definition_warnings("http-server", {**HTTP, "htpTimeLimit": 1, "zzz": 2})
        assert message == [
            "definition[\"htpTimeLimit\"] is not known for http-server tests; did you mean 'httpTimeLimit'?",
            'definition["zzz"] is not known for http-server tests',
        ]


class TestAgentsByName:
    def test_names_become_ids_and_other_fields_stay(self):
        body = {
            "agents": [{"agentId": "7"}, {"agentName": "SINGAPORE", "sourceIpAddress": "10.0.0.1"}],
            "targetAgentId": "frankfurt, germany",
            "port": 1,
        }
        assert names_agents(body)
        problems = with_agent_ids(body, LISTED)
        assert problems == {
            "agents": [{"agentId": "7"}, {"agentId": "14419", "sourceIpAddress": "10.0.0.1"}],
            "targetAgentId": "14410",
            "port": 1,
        }
        assert not names_agents(problems)

    @pytest.mark.parametrize(
        "body", [{"agents": [{"agentId": "1"}, {"agentName": "Lab"}]}, {"targetAgentId": "Lab", "agents": []}]
    )
    def test_a_single_name_requires_the_list_of_agents(self, body):
        assert names_agents(body)

    def test_a_similar_name_is_shown(self):
        with pytest.raises(DeclarationErrors, match=r"close names: 'Paris, France CDG' \(7\)$"):
            with_agent_ids(
                {"targetAgentId": "Paris FR"}, [{"agentId": "7", "agentName": "Paris, France CDG"}]
            )

    def test_at_most_three_close_names_are_shown(self):
        near = [{"agentId": str(nth), "agentName": f"Berlin {nth}"} for nth in range(5)]
        with pytest.raises(DeclarationErrors) as failure:
            with_agent_ids({"targetAgentId": "Berlin 9"}, near)
        assert str(failure.value).count(" (") == 3
        assert "; close names: 'Berlin 4' (4); 'Berlin 3' (3); 'Berlin 2' (2)" in str(failure.value)
        far = [{"agentId": str(nth), "agentName": f"{nth} in a district of Berlin"} for nth in range(5)]
        with pytest.raises(DeclarationErrors, match=r"Berlin' \(2\)$"):
            with_agent_ids({"targetAgentId": "berlin"}, far)

    @pytest.mark.parametrize(
        "body",
        [
            {"targetAgentId": "14410", "agents": [{"agentId": "1"}]},
            {"targetAgentId": " 14410 "},
            {"agents": "{{ agents }}", "targetAgentId": 14410},
            {},
        ],
    )
    def test_without_names_nothing_is_looked_up_or_changed(self, body):
        assert not names_agents(body)
        assert with_agent_ids(body, []) == body

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("Singapur", "no agent is named 'Singapur'; close names: 'Singapore' (14419)"),
            ("germany", "close names: 'Frankfurt, Germany' (14410)"),
            ("LAB", "2 agents are named 'LAB'; use an id: 1, 2"),
            ("Timbuktu", "no agent is named 'Timbuktu'; 4 agents are listed"),
        ],
    )
    def test_unknown_and_ambiguous_names(self, name, says):
        with pytest.raises(DeclarationErrors) as failure:
            with_agent_ids({"agents": [{"agentName": name}], "targetAgentId": name}, LISTED)
        assert [error.split(":")[0] for error in failure.value.errors] == [
            'definition["agents"][0]',
            'definition["targetAgentId"]',
        ]
        assert all(says in error for error in failure.value.errors)


class TestFromATest:
    def test_only_settings_are_copied(self):
        test = {
            **dict.fromkeys(READ_ONLY | SCHEDULING, "x"),
            "testName": "Shop",
            "labels": [{"labelId": "1"}],
            "sharedWithAccounts": [{"aid": "1"}],
            "url": "https://shop.example",
            "httpVersion": 2,
            "description": None,
            "agents": [{"agentId": 14410, "agentName": "Frankfurt"}, {"clusterId": "1"}],
            "brandNew": 1,
        }
        settings, left_out = settings_of("http-server", test)
        assert settings == {
            "url": "https://shop.example",
            "httpVersion": 2,
            "agents": [{"agentId": "14410"}],
        }
        assert left_out == ["brandNew"]

    def test_dns_servers_have_the_format_of_requests(self):
        settings, _ = settings_of(
            "dns-server", {"dnsServers": [{"serverId": "1", "serverName": "ns1"}, "ns2"]}
        )
        assert settings == {"dnsServers": ["ns1", "ns2"]}

    def test_sip_credentials_are_nested_as_in_requests(self):
        settings, left_out = settings_of(
            "sip-server", {"port": 5060, "sipRegistrar": "sip", "sipTimeLimit": 5}
        )
        assert settings == {
            "targetSipCredentials": {"port": 5060, "sipRegistrar": "sip"},
            "sipTimeLimit": 5,
        }
        assert left_out == []

    def test_nested_sip_credentials_stay_nested(self):
        test = {"targetSipCredentials": {"port": 5060}, "port": 1}
        assert settings_of("sip-server", test) == ({"targetSipCredentials": {"port": 5060}}, ["port"])

    def test_objects_and_plain_values_replace_each_other(self):
        assert overridden({"a": "x", "b": {"c": 1}}, {"a": {"c": 2}, "b": "y"}) == {"a": {"c": 2}, "b": "y"}

    def test_overrides_merge_objects_and_replace_the_rest(self):
        before = {"url": "a", "oAuth": {"username": "u", "testUrl": "t"}, "agents": [1, 2]}
        after = overridden(before, {"url": "b", "oAuth": {"password": "p"}, "agents": [3], "new": 1})
        assert after == {
            "url": "b",
            "oAuth": {"username": "u", "testUrl": "t", "password": "p"},
            "agents": [3],
            "new": 1,
        }
        assert before["url"] == "a"

    def test_null_removes_a_field_at_any_level(self):
        before = {"password": "p", "customHeaders": {"root": {"X-Old": "1", "X-Kept": "2"}}}
        changes = {"password": None, "absent": None, "customHeaders": {"root": {"X-Old": None}}}
        assert overridden(before, changes) == {"customHeaders": {"root": {"X-Kept": "2"}}}

    @pytest.mark.parametrize(
        ("test_type", "definition", "missing"),
        [
            ("http-server", {"authType": "none"}, []),
            ("http-server", {"authType": "basic", "username": "u"}, ['definition["password"]']),
            ("http-server", {"authType": "basic", "password": "p"}, []),
            ("http-server", {}, []),
            ("http-server", {"authType": "kerberos"}, ['definition["password"]']),
            ("page-load", {"authType": "oauth", "oAuth": {}}, []),
            (
                "page-load",
                {"authType": "oauth", "oAuth": {"authType": "basic"}},
                ['definition["oAuth"]["password"]'],
            ),
            ("ftp-server", {"password": "p"}, []),
            ("sip-server", {"targetSipCredentials": {"authUser": "u", "password": "p"}}, []),
            ("page-load", {"authType": "ntlm"}, ['definition["password"]']),
            ("page-load", {"authType": "oauth"}, ['definition["oAuth"]["password"]']),
            (
                "page-load",
                {"authType": "oauth", "oAuth": {"authType": "none"}},
                [],
            ),
            ("page-load", {"authType": "oauth", "oAuth": {"authType": "basic", "password": "p"}}, []),
            ("ftp-server", {}, ['definition["password"]']),
            ("sip-server", {"targetSipCredentials": {"port": 1}}, []),
            (
                "sip-server",
                {"targetSipCredentials": {"authUser": "u"}},
                ['definition["targetSipCredentials"]["password"]'],
            ),
            (
                "sip-server",
                {"targetSipCredentials": {"port": 1}, "registerEnabled": True},
                ['definition["targetSipCredentials"]["password"]'],
            ),
            (
                "api",
                {"requests": [{}, {"authType": "bearer-token"}, {"authType": "oauth2", "clientId": "c"}]},
                ['definition["requests"][1]["bearerToken"]', 'definition["requests"][2]["clientSecret"]'],
            ),
            ("api", {"requests": "none"}, []),
            ("api", {"requests": ["GET", {"authType": "basic", "password": "p"}]}, []),
            ("api", {"requests": [{"authType": "basic"}]}, ['definition["requests"][0]["password"]']),
        ],
    )
    def test_missing_credentials_are_listed(self, test_type, definition, missing):
        assert missing_credentials(test_type, definition) == missing


class TestSecrets:
    def test_only_secrets_are_listed(self):
        definition = {
            "url": "https://a.example",
            "authType": "basic",
            "username": "me",
            "password": "s1",
            "clientCertificate": "s2",
            "headers": ["Authorization: s3", "Accept: text/html", "X-Api-Key:s4", "nonsense"],
            "customHeaders": {
                "root": {"Cookie": "s5", "Accept-Language": "de"},
                "domains": {"a": {"X-Token": "s6"}},
            },
            "oAuth": {
                "password": "s7",
                "postBody": "s8",
                "headers": "s9",
                "testUrl": "t",
                "authType": "none",
            },
            "requests": [
                {
                    "bearerToken": "s10",
                    "clientId": "s11",
                    "clientSecret": "s12",
                    "tokenUrl": "u",
                    "name": "n",
                },
                {"headers": [{"key": "authorization", "value": "s13"}, {"key": "accept", "value": "x"}]},
            ],
            "predefinedVariables": [{"name": "apiKey", "value": "s14"}, {"name": "colour", "value": "red"}],
            "targetSipCredentials": {"authUser": "me", "password": "s15", "port": 5060},
            "vaultCredentials": [{"secretId": "an-id"}],
        }
        assert sorted(secrets_in(definition)) == sorted(f"s{number}" for number in range(1, 16))

    def test_a_password_of_digits_is_a_secret(self):
        assert list(secrets_in({"password": 12345678})) == ["12345678"]

    @pytest.mark.parametrize("empty", ["", " ", None, True, "1", 0])
    def test_an_empty_password_is_no_secret(self, empty):
        assert list(secrets_in({"password": empty})) == []

    @pytest.mark.parametrize("nothing", [None, "text", 7, [], {}, [None], {"password": None}])
    def test_a_definition_without_secrets_has_none(self, nothing):
        assert list(secrets_in(nothing)) == []


class TestDefaultName:
    def test_the_default_name_has_dag_task_and_run(self):
        assert default_name("dag", "group.task", "manual__1", -1, 1) == "dag.group.task manual__1"
        assert default_name("dag", "task", "manual__1", 0, 1) == "dag.task manual__1 [0]"
        assert default_name("dag", "task", "manual__1", 7, 3) == "dag.task manual__1 [7] try 3"

    def test_a_long_name_is_shortened_and_unique(self):
        names = {default_name("d" * 250, "t" * 250, "r", index, 1) for index in range(50)}
        assert len(names) == 50
        assert {len(name) for name in names} == {MAX_TEST_NAME}


def test_the_whole_value_of_a_header_is_the_secret():
    assert list(secrets_in({"headers": ["Authorization: Basic dXNl:cjpw", "Accept: a:b"]})) == [
        "Basic dXNl:cjpw"
    ]


def test_the_default_name_has_at_most_the_maximum_length():
    assert default_name("d", "t", "r", -1, 1) == "d.t r"
    assert default_name("d", "t", "r", 0, 2) == "d.t r [0] try 2"
    for length, whole in ((MAX_TEST_NAME, True), (MAX_TEST_NAME + 1, False)):
        given = "x" * (length - len("d.t "))
        name = default_name("d", "t", given, -1, 1)
        assert (name == f"d.t {given}") is whole
        assert len(name) == MAX_TEST_NAME
    assert re.fullmatch(r"d\.t x+ [0-9a-f]{12}", name)


class TestManyUnknownNames:
    """Suggestions take time, so only the first unknown names get one."""

    def test_fifty_thousand_unknown_fields(self):
        unknown = {f"ur{number}": 1 for number in range(50_000)}
        warnings = definition_warnings("http-server", unknown)
        assert len(warnings) == MAX_WARNINGS + 1
        assert warnings[0] == ("definition[\"ur0\"] is not known for http-server tests; did you mean 'url'?")
        assert warnings[-1] == f"definition: {50_000 - MAX_WARNINGS} more warnings"
        with pytest.raises(DeclarationErrors) as refused:
            read_definition("http-server", unknown)
        assert len(refused.value.errors) == 2
        assert "is 'ur" in str(refused.value)

    def test_fifty_thousand_unknown_agents(self):
        agents = [{"agentName": f"Osl{number}"} for number in range(2 * MAX_WARNINGS)]
        body = read_definition("http-server", {"url": "https://example.com", "agents": agents})
        with pytest.raises(DeclarationErrors) as refused:
            with_agent_ids(body, [{"agentId": "1", "agentName": "Oslo"}])
        assert len(refused.value.errors) == 2 * MAX_WARNINGS
        assert str(refused.value).count("close names: 'Oslo' (1)") == MAX_WARNINGS
