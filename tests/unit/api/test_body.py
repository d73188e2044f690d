"""Response bodies are decoded in pieces, up to a maximum size."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api import body
from thousandeyes_provider.api.body import LARGEST_BODY, Body, UnusableBody, count_values

TEXT = b'{"results": []}'
GZIP = gzip.compress(TEXT, mtime=0)  # a constant time keeps the test ids constant
BARE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
BARE_TEXT = BARE.compress(TEXT) + BARE.flush()


def fed(encoding, sent, size=1):
    body = Body(encoding)
    for start in range(0, len(sent), size):
        body.feed(sent[start : start + size])
    return body


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        (None, TEXT),
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", GZIP),
        (" X-GZip ", GZIP),
        ("gzip", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", BARE_TEXT),
        ("Deflate", BARE_TEXT),
    ],
)
def test_a_body_is_decoded_for_any_size_of_the_pieces(encoding, sent, size):
    assert fed(encoding, sent, size).whole() == TEXT


@given(
    st.binary(max_size=200_000),
    st.sampled_from(["gzip", "deflate", None]),
    st.sampled_from([100, 65536, 10**6]),
)
def test_decoding_restores_the_content(content, encoding, size):
    sent = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(content)
    assert fed(encoding, sent, size).whole() == content


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 131_073])
def test_output_that_the_decoder_holds_back_is_flushed(length):
    squeezed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    sent = squeezed.compress(bytes(length)) + squeezed.flush()
    assert fed("deflate", sent, len(sent)).whole() == bytes(length)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
def test_an_unrequested_encoding_is_not_decoded(encoding):
    assert fed(encoding, b"\x8b\x07").whole() == b"\x8b\x07"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", None])
def test_an_empty_body_stays_empty(encoding):
    assert Body(encoding).whole() == b""
    assert fed(encoding, b"").whole() == b""
    empty = Body(encoding)
    empty.feed(b"")
    assert empty.whole() == b""


def test_an_empty_first_piece_is_accepted():
    body = Body("deflate")
    body.feed(b"")
    body.feed(BARE_TEXT)
    assert body.whole() == TEXT


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("gzip", GZIP[:-1]),
        ("gzip", GZIP[:5]),
        ("deflate", zlib.compress(TEXT)[:-1]),
        ("deflate", BARE_TEXT[:-1]),
    ],
)
def test_a_truncated_body_can_be_retried(encoding, sent):
    with pytest.raises(UnusableBody) as failure:
        fed(encoding, sent).whole()
    assert str(failure.value) == "a body that is cut short"
    assert not failure.value.final


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_with_a_wrong_encoding_can_be_retried(encoding):
    with pytest.raises(UnusableBody) as failure:
        fed(encoding, b"\xff<html>", 100)
    assert str(failure.value) == "a body that cannot be decoded"
    assert not failure.value.final


def test_data_after_the_end_is_ignored():
    assert fed("gzip", GZIP + b"more", 1000).whole() == TEXT
    assert fed("gzip", GZIP + b"more", 1).whole() == TEXT


@pytest.mark.parametrize("encode", [bytes, gzip.compress, zlib.compress])
def test_a_body_above_the_maximum_size_is_refused(monkeypatch, encode):
    monkeypatch.setattr(body, "LARGEST_BODY", 2_000)
    encoding = {bytes: None, gzip.compress: "gzip", zlib.compress: "deflate"}[encode]
    assert fed(encoding, encode(b" " * 2_000), 100).whole() == b" " * 2_000
    with pytest.raises(UnusableBody) as failure:
        fed(encoding, encode(b" " * 2_001), 100)
    assert str(failure.value) == "a body of more than 2000 bytes"
    assert failure.value.final


def test_encoded_bytes_count_as_well(monkeypatch):
    monkeypatch.setattr(body, "LARGEST_BODY", 100)
    with pytest.raises(UnusableBody, match="more than 100 bytes"):
        fed("gzip", gzip.compress(b"") + b"x" * 100, 10)


def test_a_body_with_too_many_json_values_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr(body, "MOST_VALUES", 5)
    assert fed(None, b'[{"a":1},{}]').whole()
    with pytest.raises(UnusableBody) as failure:
        fed(None, b'[{"a":1},{},[]]').whole()
    assert str(failure.value) == "a body of more than 5 JSON values"
    assert failure.value.final


def test_a_decompression_bomb_is_refused(monkeypatch):
    sizes = []
    check = Body._check_size
    monkeypatch.setattr(Body, "_check_size", lambda body: (sizes.append(len(body._decoded)), check(body)))
    with pytest.raises(UnusableBody, match=f"more than {LARGEST_BODY} bytes"):
        fed("gzip", gzip.compress(b" " * (LARGEST_BODY + 10**6)), 10**6)
    assert max(sizes) <= LARGEST_BODY + 65536


@pytest.mark.parametrize(("encoding", "sent"), [(None, TEXT), ("gzip", GZIP)])
def test_size_counts_decoded_bytes(encoding, sent):
    assert Body(encoding).size == 0
    assert fed(encoding, sent).size == len(TEXT)


def values_within(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(1 + values_within(entry) for entry in inner)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_count_of_values_is_never_too_low(value):
    assert count_values(json.dumps(value).encode()) >= values_within(value)
