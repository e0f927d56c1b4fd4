"""Whatever the bytes: the walkers answer, and a packet that was put in comes out."""

from __future__ import annotations

import io
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from optout.syntax import xmp
from optout.syntax.containers import locate
from optout.syntax.located import HEAD
from optout.syntax.sniff import sniff
from optout.syntax.xml import MalformedXml
from tools import asset_builders as make

STARTS = st.sampled_from(
    [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"II*\0\x08\0\0\0",
        b"MM\0+\0\x08\0\0",
        b"RIFF\x20\0\0\0WEBP",
        b"RF64\xff\xff\xff\xffWAVEds64",
        b"\0\0\0\x14ftypheic\0\0\0\0mif1\0\0\0\x40meta\0\0\0\0",
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  \0\0\0\x40moov\0\0\0\x38udta",
        b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x20brobxml ",
        b"ID3\4\0\0\0\0\1\0PRIV",
        b"PK\3\4",
        b"PK\5\6" + bytes(18),
        b"<svg><metadata>DataMining",
        b"<ONIXMessage>",
        b"{",
        b"",
    ]
)
PACKETS = st.binary(max_size=400).map(lambda data: b"<x>" + data.hex().encode() + b"</x>")
JPEG = make.picture("JPEG", size=(8, 8))
BUILDERS = st.sampled_from(
    [
        lambda packet: make.jpeg_xmp(JPEG, packet),
        lambda packet: make.png_with(make.png_text(packet, compressed=True), late=True),
        lambda packet: make.png_with(make.png_legacy(packet)),
        make.gif_xmp,
        lambda packet: make.riff(b"WEBP", (b"XMP ", packet)),
        lambda packet: make.tiff_xmp(packet, big=True, motorola=True),
        lambda packet: make.heif(packet, in_idat=True),
        lambda packet: make.jxl(make.jxl_brotli(b"xml ", packet)),
        lambda packet: make.movie(inside=make.box(b"udta", make.box(b"XMP_", packet))),
        lambda packet: make.id3((b"PRIV", b"XMP\0" + packet)),
    ]
)


@given(STARTS, st.binary(max_size=600))
def test_any_bytes_get_an_answer(start, rest):
    found = locate(start + rest)
    assert found.media_type == sniff(start + rest)
    assert all(len(packet.data) <= len(start + rest) * 1100 + 1024 for packet in found.packets)


@given(BUILDERS, PACKETS)
def test_what_was_put_in_comes_out(build, packet):
    found = locate(build(packet))
    assert [item.data for item in found.packets] == [packet]
    assert found.sound


@given(STARTS, st.binary(max_size=600))
def test_a_stream_is_read_as_its_bytes_are(start, rest):
    data = start + rest
    assert locate(io.BytesIO(data)) == locate(data)
    assert len(data) < HEAD


@given(st.binary(max_size=300))
def test_any_packet_has_properties_or_is_malformed(packet):
    with suppress(MalformedXml):
        assert isinstance(xmp.properties(packet, frozenset({"x"})), tuple)
