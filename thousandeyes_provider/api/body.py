"""Limits and decoding of response bodies, for both hooks.

HTTP libraries decode a whole body at once, so one of a megabyte can fill the memory. Here a body is decoded piece by
piece and refused as soon as it exceeds a bound. The number of JSON values is bounded too: an empty object takes three
bytes on the wire and 72 in memory.
"""

from __future__ import annotations

import zlib

LARGEST_BODY = 32 * 1024 * 1024
"""Bytes of one response, as sent and decoded; a larger one is not read to its end."""

MOST_VALUES = 400_000
"""JSON values of one response, about 12,000 rows. Parsing takes about 0.1 s, and no other thread runs meanwhile."""

LARGEST_RESULT = 64 * 1024 * 1024
"""Bytes of all pages of one result together, decoded."""

MOST_RESULT_VALUES = 2_000_000
"""JSON values of all pages of one result together, about 70,000 rows."""

MOST_ROWS = 100_000
"""Rows of all pages of one result together."""

MOST_PAGES = 1000
"""Pages of one result; a longer chain of links counts as endless."""

ENCODINGS = "gzip, deflate"
"""Value of ``Accept-Encoding``: the encodings that :class:`Body` can decode."""

_PIECE = 64 * 1024


class UnusableBody(ValueError):
    """A body cannot be read completely.

    :param reason: why, in a few words.
    :param final: whether a retry would end the same way.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Body:
    """The body of one response, assembled from the pieces that arrive.

    :param encoding: ``Content-Encoding`` of the response. A body in another encoding than :data:`ENCODINGS`
        stays as it is, and is not JSON.
    """

    def __init__(self, encoding: str | None) -> None:
        name = (encoding or "").strip().lower()
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32) if name in ("gzip", "x-gzip") else None
        self._deflated = name == "deflate"
        self._arrived = 0
        self._decoded = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next piece, as it was sent.

        :raises UnusableBody: when the body is too large or cannot be decoded.
        """
        if self._deflated and not self._arrived and piece:
            # "deflate" is the zlib format, but some servers send the raw one; the first byte shows which.
            is_raw = piece[0] & 0x0F != zlib.DEFLATED
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS if is_raw else zlib.MAX_WBITS)
        self._arrived += len(piece)
        if self._decoder is None:
            self._decoded += piece
        self._check_size()
        if self._decoder is None:
            return
        while not self._decoder.eof:
            try:
                decoded = self._decoder.decompress(piece, _PIECE)
            except zlib.error:
                raise UnusableBody("a body that cannot be decoded") from None
            self._decoded += decoded
            self._check_size()
            piece = self._decoder.unconsumed_tail
            if not piece and len(decoded) < _PIECE:
                break

    @property
    def size(self) -> int:
        """Bytes decoded so far."""
        return len(self._decoded)

    @property
    def partial(self) -> bytes:
        """The start of what was decoded so far, for messages."""
        return bytes(self._decoded[:_PIECE])

    def whole(self) -> bytes:
        """The decoded body, once all of it has arrived.

        :raises UnusableBody: when it is cut short, or has too many JSON values to be parsed.
        """
        if self._decoder is not None and self._arrived and not self._decoder.eof:
            raise UnusableBody("a body that is cut short")
        body = bytes(self._decoded)
        self._decoded.clear()
        if count_values(body) > MOST_VALUES:
            raise UnusableBody(f"a body of more than {MOST_VALUES} JSON values", final=True)
        return body

    def _check_size(self) -> None:
        if max(self._arrived, len(self._decoded)) > LARGEST_BODY:
            raise UnusableBody(f"a body of more than {LARGEST_BODY} bytes", final=True)


def count_values(body: bytes) -> int:
    """An upper bound of the JSON values within the outermost one: each follows a comma or an opening bracket."""
    return sum(map(body.count, (b",", b"{", b"[")))
