"""Connection fields: extras as JSON or text, errors for every problem, no secret in any error."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.redaction import describe
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesError
from thousandeyes_provider.hooks.connection import read_connection

TOKEN = "t0ken-5ecret"
PEM = "-----BEGIN PRIVATE KEY-----\nS3CRETKEY\n-----END PRIVATE KEY-----\n"
PROXY = "http://scott:t1ger%21@proxy.example:3128"


def read(extra=None, *, host=None, schema=None, port=None, password=TOKEN):
    return read_connection(
        "te", host=host, schema=schema, port=port, password=password, extra={} if extra is None else extra
    )


def fault(*args, **kwargs):
    with pytest.raises(ThousandEyesConfigurationError) as caught:
        read(*args, **kwargs)
    return str(caught.value)


class TestDefaults:
    def test_a_token_is_sufficient(self):
        settings = read()
        assert (settings.base_url, settings.token) == ("https://api.thousandeyes.com/v7", TOKEN)
        assert (settings.account_group_id, settings.timeout, settings.retry_limit) == (None, 30, 5)
        assert (settings.queue_timeout, settings.proxies, settings.verify) == (300, None, True)
        assert (settings.cert, settings.trust_env, settings.warnings) == (None, True, ())

    @pytest.mark.parametrize("empty", [None, "", {}])
    def test_empty_form_fields_have_defaults(self, empty):
        names = ("account_group_id", "timeout", "retry_limit", "queue_timeout", "proxies", "verify", "cert")
        assert read(dict.fromkeys([*names, "trust_env", "allow_http"], empty)) == read()


class TestExtras:
    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            *(("account_group_id", value, "1234") for value in ("1234", 1234, " 1234 ")),
            *(("timeout", value, 12.5) for value in (12.5, "12.5", " 12.5 ", "1.25e1")),
            *(("retry_limit", value, 3) for value in (3, "3", 3.0, "3.0")),
            *(("queue_timeout", value, 60) for value in (60, "60", 60.0)),
            *(("queue_timeout", value, 0) for value in (0, "0")),
            *(("verify", value, False) for value in (False, "false", "False", 0, "0", "no")),
            *(("verify", value, True) for value in (True, "true", "True", 1, "1")),
            *(("verify", value, "/etc/ca.pem") for value in ("/etc/ca.pem", " /etc/ca.pem ")),
            *(("trust_env", value, False) for value in (False, "false", "off", 0)),
            *(("trust_env", value, True) for value in (True, "true", "on", 1)),
            ("cert", "/etc/client.pem", "/etc/client.pem"),
            *(
                ("cert", value, ("/c.pem", "/k.pem"))
                for value in (["/c.pem", "/k.pem"], '["/c.pem", "/k.pem"]')
            ),
            *(
                ("proxies", value, {"https": PROXY})
                for value in ({"https": PROXY}, f'{{"https": "{PROXY}"}}')
            ),
            ("proxies", PROXY, {"http": PROXY, "https": PROXY}),
            ("proxies", {" HTTPS": f" {PROXY} ", "all": PROXY}, {"https": PROXY, "all": PROXY}),
            ("proxies", {"https://api.example": PROXY}, {"https://api.example": PROXY}),
        ],
    )
    def test_an_extra_may_be_typed_or_text(self, name, value, expected):
        settings = getattr(read({name: value}), name)
        assert settings == expected
        assert type(settings) is type(expected) or not isinstance(expected, bool)

    @pytest.mark.parametrize(
        ("name", "wrong", "expected"),
        [
            *(
                ("account_group_id", wrong, "the id of an account group")
                for wrong in (True, 1.5, [1], {"a": 1}, " ")
            ),
            *(
                ("timeout", wrong, "more than 0")
                for wrong in (0, -1, "0", "soon", True, [], "nan", "inf", "5s")
            ),
            *(("retry_limit", wrong, "1 or more") for wrong in (0, "0", -1, 1.5, "many", True, [3])),
            *(("queue_timeout", wrong, "0 or more") for wrong in (-1, "-0.1", "long", "inf", False)),
            *(("verify", wrong, "true, false, or the path") for wrong in (2, 1.0, [], {"a": 1}, " ")),
            *(("trust_env", wrong, "true or false") for wrong in (2, "maybe", [], " ")),
            *(("allow_http", wrong, "true or false") for wrong in (2, "maybe", [], "yes please")),
            *(
                ("cert", wrong, "the path of a client certificate")
                for wrong in (1, True, ["a"], ["a", 1], "[1")
            ),
            *(("cert", wrong, "the path of a client certificate") for wrong in (" ", ["a", " "], '["a"]')),
        ],
    )
    def test_the_error_of_an_invalid_extra_states_what_is_expected(self, name, wrong, expected):
        text = fault({name: wrong})
        assert text.startswith(f"Connection 'te': extra {name!r} must be ")
        assert expected in text
        assert text.endswith(f", got {describe(wrong)}")

    @pytest.mark.parametrize(
        "wrong",
        [
            *(5, True, [], ["http://scott:t1ger@p"], "{", "{}", " ", "scott:t1ger@proxy:1", {"https": 5}),
            *({"https": None}, {"https": ""}, {"https": "scott:t1ger@proxy"}, {"https": "http://"}),
            *({"https": "http://scott:t1ger/x@proxy:1"}, {"https": "http://scott:12/t1ger@proxy:1"}),
            *({"https": "http://scott:t1ger@proxy:port"}, {"https": "http://[t1ger"}),
            *({scheme: "http://scott:t1ger@proxy"} for scheme in ("https_proxy", "htps", "", "no_proxy")),
        ],
    )
    def test_the_error_of_invalid_proxies_does_not_show_them(self, wrong):
        text = fault({"proxies": wrong})
        assert "extra 'proxies' must be an object of proxy addresses by scheme (http, https or all)" in text
        assert "t1ger" not in text

    @pytest.mark.parametrize("extra", [[], [1], "text", 5, True])
    def test_an_extra_that_is_not_an_object_is_an_error(self, extra):
        assert "extra must be a JSON object, got " in fault(extra)

    def test_an_unknown_extra_is_a_warning_without_its_value(self):
        (near, far) = read({"time_out": TOKEN, "X-Header": TOKEN}).warnings
        assert near == "unknown extra 'time_out' is ignored; did you mean 'timeout'?"
        assert far.startswith(
            "unknown extra 'X-Header' is ignored; known extras: account_group_id, timeout, "
        )

    def test_all_problems_are_in_one_error(self):
        text = fault(
            {"timeout": "x", "retry_limit": 0, "proxies": 5, "verify": "true"}, password=" ", schema="ftp"
        )
        for part in ("'timeout' must", "'retry_limit' must", "'proxies'", "API token", "schema must"):
            assert part in text


class TestToken:
    @pytest.mark.parametrize("password", [TOKEN, f" {TOKEN}\n", f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
    def test_a_token_may_have_spaces_and_the_bearer_prefix(self, password):
        assert read(password=password).token == TOKEN

    @pytest.mark.parametrize("password", [None, "", "  ", "\n", "Bearer", "Bearer "])
    def test_a_missing_token_is_an_error(self, password):
        assert "API token is missing" in fault(password=password)

    @pytest.mark.parametrize(
        "password", [f"{TOKEN} x", f"{TOKEN}\r\nX-Evil: 1", f"{TOKEN}\u20ac", f"{TOKEN}\x00x"]
    )
    def test_an_invalid_token_is_refused_without_repeating_it(self, password):
        text = fault(password=password)
        assert "API token must not contain spaces" in text
        assert TOKEN not in text


class TestPlainHttp:
    @pytest.mark.parametrize(
        "host", ["te.example", "127.0.0.1.evil.com", "evil.localhost", "localhost.", "10.0.0.1", None]
    )
    @pytest.mark.parametrize("allow", [{}, {"allow_http": "false"}, {"allow_http": None}])
    def test_plain_http_is_refused(self, host, allow):
        assert "would expose the token" in fault(allow, host=host, schema="http")

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "http://localhost:8080/v7"])
    def test_plain_http_to_loopback_is_allowed(self, host):
        assert read(host=host, schema="http").base_url.startswith("http://")

    @pytest.mark.parametrize("allow", [True, "true", 1])
    def test_plain_http_can_be_allowed(self, allow):
        assert read({"allow_http": allow}, host="http://te.example").base_url == "http://te.example/v7"


class TestSecrets:
    def test_proxy_passwords_are_masked_in_every_encoding(self):
        user = unquote(urlsplit(PROXY).username)
        header = b64encode(f"{user}:t1ger!".encode()).decode()
        secrets = read({"proxies": {"https": PROXY, "http": PROXY}}).secrets
        assert secrets == (TOKEN, "t1ger%21", "t1ger!", header)

    @pytest.mark.parametrize(
        "extra",
        [
            *(
                {name: value}
                for name in ("cert", "verify")
                for value in (PEM, PEM.replace("\n", " "), "S3CRET" * 200)
            ),
            {"cert": ["/client.pem", PEM]},
            *(
                {name: value}
                for name in ("account_group_id", "timeout", "retry_limit", "verify", "trust_env", "cert")
                for value in ({"password": "S3CRET"}, ["S3CRET"], {"a": [{"b": "S3CRET"}]})
            ),
            {"timeout": "S3CRET-that-is-longer-than-a-word"},
            {"timeout": TOKEN},
            ["S3CRET"],
        ],
    )
    def test_values_of_an_unexpected_shape_are_not_repeated(self, extra):
        text = fault(extra)
        assert "S3CRET" not in text
        assert TOKEN not in text
        assert len(text) < 300

    @pytest.mark.parametrize(
        "proxy",
        [
            "http://scott:t1ger@proxy:99999",
            "http://scott:t1ger@[proxy",
            "http://scott:t1ger@",
            "http://scott:t1/ger@proxy:3128",
            "http://scott:12/t1ger@proxy:3128",
            "scott:t1ger@proxy:3128",
            "http://t1ger@proxy:3128",
        ],
    )
    def test_passwords_of_the_environments_proxies_are_masked(self, monkeypatch, proxy):
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert "ger" in read().secrets[1]
        assert "t1" in read().secrets[1]
        assert read({"trust_env": False}).secrets == (TOKEN,)

    def test_the_repr_has_neither_token_nor_proxies(self):
        shown = repr(read({"proxies": {"https": PROXY}}))
        assert TOKEN not in shown
        assert "t1ger" not in shown

    VALUES = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.lists(st.text(max_size=3), max_size=3),
        st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    )
    NAMES = st.sampled_from(
        [
            *("account_group_id", "timeout", "retry_limit", "queue_timeout", "verify", "cert", "trust_env"),
            *("allow_http", "proxies", "timeuot"),
        ]
    )

    @given(
        extra=st.dictionaries(NAMES, VALUES),
        proxy=st.sampled_from(["", ":1", ":port", "/", "/@x", "#", "?"]),
        host=st.none() | st.text(max_size=12) | st.just(f"user:{TOKEN}@te.example"),
        schema=st.sampled_from([None, "", "http", "https", "ftp"]),
        port=st.none() | st.integers(-1, 70000),
        password=st.sampled_from([TOKEN, f"{TOKEN} {TOKEN}", f"Bearer {TOKEN}", f"{TOKEN}\n{TOKEN}"]),
    )
    def test_no_error_repeats_a_secret(self, extra, proxy, host, schema, port, password):
        extra = {**extra, "proxies": {"https": f"http://scott:t1ger@proxy{proxy}"}}
        try:
            shown = repr(read(extra, host=host, schema=schema, port=port, password=password))
        except ThousandEyesError as error:
            shown = str(error) + repr(error)
        assert TOKEN not in shown
        assert "t1ger" not in shown
