"""Base URLs of connections, and links that would send the token to another server."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import pytest
import requests
import urllib3
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from thousandeyes_provider.api.urls import base_url, follow, is_loopback, origin, path_part

BASE = "https://api.thousandeyes.com/v7"


def sent_to(url):
    """Return the address that the HTTP library opens."""
    return requests.Request("GET", url).prepare().url


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("host", "schema", "port", "expected"),
        [
            (None, None, None, BASE),
            ("", "", None, BASE),
            ("  ", "https", None, BASE),
            (None, "https", 443, BASE),
            (None, None, 8443, "https://api.thousandeyes.com:8443/v7"),
            (None, "http", None, "http://api.thousandeyes.com/v7"),
            ("te.example", None, None, "https://te.example/v7"),
            ("TE.Example", "HTTPS", None, "https://te.example/v7"),
            (" te.example \n", " https ", None, "https://te.example/v7"),
            ("te.example/", None, None, "https://te.example/v7"),
            ("te.example//", None, None, "https://te.example/v7"),
            ("te.example/v7/", None, None, "https://te.example/v7"),
            ("te.example/gate/te", None, None, "https://te.example/gate/te"),
            ("te.example:1", None, None, "https://te.example:1/v7"),
            ("te.example", None, 65535, "https://te.example:65535/v7"),
            ("te.example/gate/X/", None, None, "https://te.example/gate/X"),
            ("te.example:8443", None, None, "https://te.example:8443/v7"),
            ("te.example:8443/v7", None, None, "https://te.example:8443/v7"),
            ("te.example/v7", None, 8443, "https://te.example:8443/v7"),
            ("te.example:8443/v7", None, 8443, "https://te.example:8443/v7"),
            ("te.example:443", None, None, "https://te.example/v7"),
            ("te.example:", None, None, "https://te.example/v7"),
            ("https://te.example", None, None, "https://te.example/v7"),
            ("HTTPS://te.example", None, None, "https://te.example/v7"),
            ("https://te.example", "https", 9443, "https://te.example:9443/v7"),
            ("https://te.example/v6", "", 9443, "https://te.example:9443/v6"),
            ("http://te.example", None, None, "http://te.example/v7"),
            ("http://te.example:80/x", "http", 80, "http://te.example/x"),
            ("http://te.example", None, 443, "http://te.example:443/v7"),
            ("localhost", "http", 8080, "http://localhost:8080/v7"),
            ("http://127.0.0.1:8080", None, None, "http://127.0.0.1:8080/v7"),
            ("::1", "http", None, "http://[::1]/v7"),
            ("::1", "http", 8080, "http://[::1]:8080/v7"),
            ("[::1]", "http", 8080, "http://[::1]:8080/v7"),
            ("[::1]:8080", "http", None, "http://[::1]:8080/v7"),
            ("http://[::1]:8080/v7", None, None, "http://[::1]:8080/v7"),
            ("https://2001:db8::5", None, None, "https://[2001:db8::5]/v7"),
            ("[2001:DB8::5]:8443/gate/", None, None, "https://[2001:db8::5]:8443/gate"),
        ],
    )
    def test_scheme_host_port_and_path_in_every_combination(self, host, schema, port, expected):
        assert base_url(host, schema, port) == expected

    @pytest.mark.parametrize(
        ("host", "schema", "port", "named"),
        [
            (None, "ftp", None, "schema must be 'https' or 'http', got 'ftp'"),
            ("te.example", "htps", None, "got 'htps'"),
            ("ftp://te.example", None, None, "host must begin with https:// or http://, got 'ftp'"),
            ("://te.example", None, None, "host must begin with https:// or http://, got ''"),
            ("http://te.example", "https", None, "host begins with http:// but schema is 'https'"),
            ("te.example:1", None, 2, "host carries port 1 but port is 2"),
            ("te.example", None, 0, "port must be from 1 to 65535, got 0"),
            ("te.example", None, 65536, "got 65536"),
            ("te.example", None, -1, "got -1"),
            ("te.example:0", None, None, "got 0"),
            ("te.example:99999", None, None, "must be a host name or address"),
            ("te.example:http", None, None, "must be a host name or address"),
            ("te.example:\N{ARABIC-INDIC DIGIT EIGHT}", None, None, "must be a host name or address"),
            ("te.example?x=1", None, None, "must not carry a query or fragment"),
            ("te.example/v7#x", None, None, "must not carry a query or fragment"),
            ("te.example/../v6", None, None, "must be a host name or address"),
            ("https://", None, None, "must be a host name or address"),
            ("/v7", None, None, "must be a host name or address"),
            ("//te.example", None, None, "must be a host name or address"),
            ("https:////te.example", None, None, "must be a host name or address"),
            ("te example", None, None, "must be a host name or address"),
            ("te\\.example", None, None, "must be a host name or address"),
            ("te.example\\@evil.example", None, None, "host"),
            ("%6cocalhost", None, None, "must be a host name or address"),
            ("127.0.0.1%2eevil.example", None, None, "must be a host name or address"),
            ("\N{FULLWIDTH DIGIT ONE}27.0.0.1", None, None, "must be a host name or address"),
            ("\N{ARABIC-INDIC DIGIT ONE}27.0.0.1", None, None, "must be a host name or address"),
            ("t\N{CYRILLIC SMALL LETTER IE}.example", None, None, "must be a host name or address"),
            ("te.example\N{FULLWIDTH SOLIDUS}x", None, None, "must be a host name or address"),
            ("[::1", None, None, "must be a host name or address"),
            ("[::g]", None, None, "must be a host name or address"),
            ("-te.example", None, None, "must be a host name or address"),
        ],
    )
    def test_an_invalid_address_is_refused_with_the_reason(self, host, schema, port, named):
        with pytest.raises(ValueError, match=r"host|schema|port") as caught:
            base_url(host, schema, port)
        assert named in str(caught.value)

    @given(st.text(max_size=30), st.sampled_from([None, "https", "http"]), st.none() | st.integers(1, 65535))
    def test_the_library_opens_the_accepted_address(self, host, schema, port):
        try:
            url = base_url(host, schema, port)
        except ValueError:
            return
        assert not url.endswith("/")
        assert origin(sent_to(url)) == origin(url)
        assert "@" not in urlsplit(url).netloc

    @pytest.mark.parametrize(
        "host",
        [
            *("user:s3cret@te.example", "https://user:s3cret@te.example", "s3cret@te.example"),
            *("https://user:s3cret/x@te.example", "user:12/s3cret@te.example", "user:s3cret#x@te.example"),
            *("user:s3cret@https://te.example", "ftp://user:s3cret@te.example", "user:s3\\cret@te.example"),
        ],
    )
    def test_a_password_in_the_host_is_refused_without_repeating_it(self, host):
        with pytest.raises(ValueError, match="must not carry a user or password") as caught:
            base_url(host)
        assert "cret" not in str(caught.value)


class TestLoopback:
    @pytest.mark.parametrize(
        "host",
        [
            *("localhost", "LocalHost", "localhost:8080"),
            *("127.0.0.1", "127.0.0.1:8080", "127.8.9.10", "[::1]", "[::1]:8080", "[0:0:0:0:0:0:0:1]"),
        ],
    )
    def test_loopback_hosts(self, host):
        assert is_loopback(base_url(host, "http"))

    @pytest.mark.parametrize(
        "host",
        [
            *("api.thousandeyes.com", "127.0.0.1.evil.com", "localhost.evil.com", "evillocalhost"),
            *("localhost.localdomain", "localhost-evil", "127.0.0.1-evil.com", "0.0.0.0", "10.0.0.1"),
            *("128.0.0.1", "[::2]", "[2001:db8::1]", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"),
            *("evil.com/localhost", "evil.com/127.0.0.1", "1.0.0.127.in-addr.arpa", "localhost_"),
            *("127.0.0.1.", "localhost.", "localhost..", "te.localhost", "evil.localhost"),
        ],
    )
    def test_other_hosts(self, host):
        assert not is_loopback(base_url(host, "http"))

    @pytest.mark.parametrize(
        "host",
        [
            *("localhost@evil.com", "127.0.0.1@evil.com", "127.0.0.1:80@evil.com", "localhost:x@evil.com"),
            *("evil.com#@localhost", "evil.com?@localhost", "evil.com\\@localhost", "localhost\\@evil.com"),
            *("localhost#.evil.com", "localhost?.evil.com", "localhost\\.evil.com", "localhost%00.evil.com"),
        ],
    )
    def test_misleading_hosts_are_refused(self, host):
        with pytest.raises(ValueError, match="host"):
            base_url(host, "http")


class TestFollow:
    URL = "https://te.example:8443/v7/test-results/1/network?window=180s"

    @pytest.mark.parametrize(
        ("link", "expected"),
        [
            (
                "https://te.example:8443/v7/test-results/1/network?cursor=a%2Fb%3D",
                "https://te.example:8443/v7/test-results/1/network?cursor=a%2Fb%3D",
            ),
            (
                "/v7/test-results/1/network?cursor=x",
                "https://te.example:8443/v7/test-results/1/network?cursor=x",
            ),
            ("?cursor=x", "https://te.example:8443/v7/test-results/1/network?cursor=x"),
            ("HTTPS://TE.example:8443/v7/x", "https://te.example:8443/v7/x"),
            ("//te.example:8443/v7/x", "https://te.example:8443/v7/x"),
            ("/v7/x?cursor=y#here", "https://te.example:8443/v7/x?cursor=y"),
        ],
    )
    def test_a_link_within_the_origin_is_followed(self, link, expected):
        assert follow(self.URL, link) == expected

    def test_the_default_port_is_optional(self):
        assert follow("https://te.example/v7/x", "https://te.example:443/v7/y") == "https://te.example/v7/y"
        assert follow("http://te.example:80/v7/x", "http://te.example/v7/y") == "http://te.example:80/v7/y"

    @pytest.mark.parametrize(
        ("link", "expected"),
        [
            ("/v7/a b?c=\u00e4", "https://te.example:8443/v7/a%20b?c=%C3%A4"),
            ("/v7/a\x00\x7f", "https://te.example:8443/v7/a%00%7F"),
            ("/v7/a\r\nX-Evil: 1", "https://te.example:8443/v7/aX-Evil:%201"),
            ("/v7/%2Fa%zz", "https://te.example:8443/v7/%2Fa%zz"),
            ("https://te.example:8443", "https://te.example:8443/"),
            ("?", "https://te.example:8443/v7/test-results/1/network?window=180s"),
        ],
    )
    def test_invalid_characters_are_quoted(self, link, expected):
        assert follow(self.URL, link) == expected

    @pytest.mark.parametrize("link", ["/v7/\ud800", "/v7/x?\udfff", "/v7/" + "x" * 9000, "https://[te/x"])
    def test_an_invalid_link_is_refused(self, link):
        with pytest.raises(ValueError, match="is not an address") as failure:
            follow(self.URL, link)
        assert len(str(failure.value)) < 300

    @given(st.text(st.characters(codec=None), max_size=40) | st.text("/\\@:?#[]%.tehxampl8443", max_size=40))
    def test_no_link_leaves_the_origin(self, link):
        for tried in (link, f"https://te.example:8443{link}", f"//te.example:8443{link}", f"https:{link}"):
            try:
                target = follow(self.URL, tried)
            except ValueError:
                continue
            assert re.fullmatch(r"https://te\.example:8443/[!-~]*", target)
            assert urllib3.util.parse_url(target).netloc == yarl.URL(target, encoded=True).authority
            assert urllib3.util.parse_url(target).netloc == "te.example:8443"

    @pytest.mark.parametrize(
        "link",
        [
            "http://te.example:8443/v7/x",
            "https://te.example/v7/x",
            "https://te.example:8444/v7/x",
            "https://evil.example:8443/v7/x",
            "https://te.example.evil.example:8443/",
            "https://te.example:8443.evil.example/",
            "https://te.example:8443@evil.example/",
            "https://user@te.example:8443/",
            "https://user:pw@te.example:8443/",
            "https://te.example:8443\\@evil.example/",
            "https://evil.example\\te.example:8443/",
            "//evil.example:8443/v7",
            "\t//evil.example:8443/v7",
            "https:\n//evil.example:8443/v7",
            "https://te.example.:8443/",
            "https://t\N{CYRILLIC SMALL LETTER IE}.example:8443/",
            "https://te.example:\N{FULLWIDTH DIGIT EIGHT}443/",
            "https://te.example:99999/",
            "https://te.example:x/",
            "https://[::1]:8443/",
            "https://[te.example:8443/",
            "ftp://te.example:8443/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/plain,x",
        ],
    )
    def test_a_link_to_another_origin_is_refused(self, link):
        with pytest.raises(ValueError, match="link"):
            follow(self.URL, link)

    @pytest.mark.parametrize("link", ["/\\evil.example/x", "\\\\evil.example/x", "////evil.example/x"])
    def test_slashes_of_any_kind_stay_within_the_origin(self, link):
        assert origin(sent_to(follow(self.URL, link))) == ("https", "te.example", 8443)

    LINKS = st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                [
                    *("http:", "https:", "/", "//", "\\", "@", "#", "?", ":", "te.example", "evil.example"),
                    *(":8443", ":443", "%2f", "%40", "..", ".", "[::1]", "\t", "\n", " ", "\x00", "x", "1"),
                    *("\N{FULLWIDTH SOLIDUS}", "\N{FULLWIDTH COMMERCIAL AT}", "\N{IDEOGRAPHIC FULL STOP}"),
                ]
            ),
            max_size=10,
        ).map("".join),
    )

    @given(link=LINKS)
    @example(link="https://te.example:8443\\@evil.example")
    def test_any_text_stays_within_the_origin(self, link):
        try:
            target = follow(self.URL, link)
        except ValueError:
            return
        assert origin(target) == origin(self.URL)
        assert origin(urljoin(self.URL, target)) == origin(self.URL)
        assert origin(sent_to(target)) == origin(self.URL)


class TestPathParts:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("281474976710706", "281474976710706"),
            (281474976710706, "281474976710706"),
            (" 7 ", "7"),
            ("../x", "..%2Fx"),
            ("a/b", "a%2Fb"),
            ("1?aid=2", "1%3Faid%3D2"),
            ("1#x", "1%23x"),
            ("%2e%2e", "%252e%252e"),
            ("%2F", "%252F"),
            ("1;x=2", "1%3Bx%3D2"),
            ("a\\b", "a%5Cb"),
            ("a\nb", "a%0Ab"),
            ("\N{GREEK SMALL LETTER ALPHA}", "%CE%B1"),
            ("{test_id}", "%7Btest_id%7D"),
            ("...", "..."),
        ],
    )
    def test_an_id_stays_one_part_of_the_path(self, value, expected):
        assert path_part(value, "test_id") == expected

    @pytest.mark.parametrize("value", ["", " ", "\n", ".", "..", " .. ", None, True, False, "\ud800"])
    def test_an_invalid_id_is_refused(self, value):
        with pytest.raises(ValueError, match=r"^test_id must be an id, got "):
            path_part(value, "test_id")

    @given(st.text(max_size=40) | st.text("./%\\?#2eEfF@:", max_size=12) | st.integers())
    def test_no_id_reaches_another_endpoint(self, value):
        try:
            part = path_part(value, "test_id")
        except ValueError:
            return
        path = urlsplit(sent_to(f"{BASE}/tests/{part}/run")).path
        assert path.split("/")[1:3] == ["v7", "tests"]
        assert path.split("/")[3] not in ("", ".", "..")
        assert path.split("/")[4:] == ["run"]


def test_an_invalid_port_is_refused():
    for port in ("99999", "x"):
        assert origin(f"https://te.example:{port}") not in (
            origin("https://te.example"),
            origin("https://te.example:1"),
        )
        with pytest.raises(ValueError, match=r"another origin|not an address"):
            follow(BASE, f"https://api.thousandeyes.com:{port}/v7/x")


def test_the_error_does_not_repeat_the_link():
    with pytest.raises(ValueError, match=r"^its link leads to another origin$"):
        follow(BASE, "http://s3cret.example/v7")
    with pytest.raises(ValueError, match=r"^its link \(9000 characters\) is not an address$"):
        follow(BASE, "[" * 9000)


@pytest.mark.parametrize(
    "host", ["te.example?token=s3cret", "te.example/#s3cret", "s3cret example", "[s3cret", "ftp://s3cret"]
)
def test_the_error_does_not_repeat_the_host(host):
    with pytest.raises(ValueError, match="host") as caught:
        base_url(host)
    assert "cret" not in str(caught.value)


def test_the_error_for_a_password_in_the_host_explains_the_fix():
    with pytest.raises(
        ValueError,
        match=r"^host must not carry a user or password; the token belongs into the password field$",
    ):
        base_url("user:pass@te.example", None, None)
