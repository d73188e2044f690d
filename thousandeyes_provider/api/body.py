"""How much of what a server sends is taken, and how it is decoded: the same for both hooks.

HTTP libraries decode as much as there is, so that a body of a megabyte can fill the memory. Here a body is decoded
piece by piece, and refused as soon as it is larger than any honest answer.
"""

from __future__ import annotations

import zlib

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one answer, as sent and decoded; a larger one is not read to its end."""

LARGEST_RESULT = 256 * 1024 * 1024
"""Bytes of all pages of one result together, decoded."""

MOST_PAGES = 1000
"""Pages of one result; a longer chain of links is taken for one without an end."""

ENCODINGS = "gzip, deflate"
"""What to ask for in ``Accept-Encoding``: what :class:`Body` can decode."""

_PIECE = 64 * 1024


class UnusableBody(ValueError):
    """A body cannot be had whole.

    :param reason: why, in a few words.
    :param final: whether it would be the same again.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Body:
    """The body of one answer, put together from the pieces that arrive.

    :param encoding: the answer's ``Content-Encoding``. One that nobody asked for is left as it is: then the body is
        not JSON.
    """

    def __init__(self, encoding: str | None) -> None:
        name = (encoding or "").strip().lower()
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32) if name in ("gzip", "x-gzip") else None
        self._deflated = name == "deflate"
        self._arrived = 0
        self._whole = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next piece, as it was sent.

        :raises UnusableBody: when the body is too large, or not in its encoding.
        """
        if self._deflated and not self._arrived and piece:
            # "deflate" is zlib's format, but some send the bare one; the first byte tells them apart.
            bare = piece[0] & 0x0F != zlib.DEFLATED
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)
        self._arrived += len(piece)
        if self._decoder is None:
            self._whole += piece
        self._check_size()
        if self._decoder is None:
            return
        while not self._decoder.eof:
            try:
                found = self._decoder.decompress(piece, _PIECE)
            except zlib.error as error:
                raise UnusableBody(f"a body that cannot be decoded: {error}") from None
            self._whole += found
            self._check_size()
            piece = self._decoder.unconsumed_tail
            if not piece and len(found) < _PIECE:
                break

    def whole(self) -> bytes:
        """The body, decoded, once all of it has arrived.

        :raises UnusableBody: when its encoding is cut short.
        """
        if self._decoder is not None and self._arrived and not self._decoder.eof:
            raise UnusableBody("a body that is cut short")
        return bytes(self._whole)

    def _check_size(self) -> None:
        if max(self._arrived, len(self._whole)) > LARGEST_BODY:
            raise UnusableBody(f"a body of more than {LARGEST_BODY} bytes", final=True)
