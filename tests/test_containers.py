"""The walkers: every slot, every limit, and nothing but damage for what is broken."""

from __future__ import annotations

import io
import struct
import zlib

import pytest

from optout.syntax import located as limits
from optout.syntax.containers import boxes, gif, locate, png, riff
from optout.syntax.located import Damage, Fault, Located, Packet, Slot
from optout.syntax.sniff import sniff
from tools import asset_builders as make

PACKET = make.mining("DMI-PROHIBITED")
JPEG = make.picture("JPEG")
WALK = {"mp4": make.movie(make.box(b"uuid", make.XMP_UUID, PACKET)), "wav": make.wav((b"_PMX", PACKET))}


def packets(data: bytes) -> list[bytes]:
    return [packet.data for packet in locate(data).packets]


def faults(data: bytes) -> set[Fault]:
    return {damage.fault for damage in locate(data).damages}


# What kind of file it is.


@pytest.mark.parametrize(
    ("start", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"),
        (b"RIFF\0\0\0\0AVI ", "video/x-msvideo"),
        (b"RF64\xff\xff\xff\xffWAVE", "audio/wav"),
        (b"RIFF\0\0\0\0CDXA", "application/octet-stream"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "image/avif"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video/quicktime"),
        (b"\0\0\0\x08wide", "video/quicktime"),
        (b"\0\0\0\x20jumb", "application/c2pa"),
        (b"ID3\4\0\0\0\0\0\0fLaC", "audio/flac"),
        (b"\xff\xfb\x90\0", "audio/mpeg"),
        (b"\xff\xff\xff\xff", "text/plain"),
        (b"junk\n%PDF-1.7", "application/pdf"),
        (b"<?xml version='1.0'?><!-- <html> --><svg:svg xmlns:svg='x'>", "image/svg+xml"),
        (b"<!DOCTYPE svg PUBLIC 'x' 'y' [<!ENTITY a 'b'>]><svg>", "image/svg+xml"),
        (b"\xef\xbb\xbf<?xpacket begin=''?><x:xmpmeta xmlns:x='adobe:ns:meta/'>", "application/rdf+xml"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html>", "text/html"),
        (b"<HTML>", "text/html"),
        ("<svg>".encode("utf-16"), "image/svg+xml"),
        ("<svg>".encode("utf-16-le"), "image/svg+xml"),
        (b"<ONIXMessage release='3.0'>", "application/xml"),
        (b" {}", "application/json"),
        (b"plain", "text/plain"),
        (b"", "application/octet-stream"),
        (b"\0\1\2", "application/octet-stream"),
    ],
)
def test_sniff(start, media_type):
    assert sniff(start) == media_type


def test_a_zip_is_named_by_its_first_member():
    assert sniff(make.epub(make.package(""))) == "application/epub+zip"
    assert sniff(b"PK\3\4" + bytes(40)) == "application/zip"


# Where packets stand.


def test_the_offset_is_that_of_the_packet():
    found = locate(make.jpeg_xmp(JPEG, PACKET)).packets
    assert found == (Packet(Slot.XMP, "APP1", PACKET, 6),)
    assert make.jpeg_xmp(JPEG, PACKET)[6 + 29 :].startswith(PACKET)


@pytest.mark.parametrize("name", WALK)
def test_offsets_in_walks_from_part_to_part(name):
    packet = locate(WALK[name]).packets[0]
    assert WALK[name][packet.offset :].startswith(PACKET)


def test_a_stream_says_what_its_bytes_say():
    far = make.jpeg_segments(JPEG, *[(0xE2, bytes(60_000))] * 4)
    data = make.jpeg_segments(far, (0xE3, b"near"))
    end = data.index(b"\xff\xdb")
    data = data[:end] + make.jpeg_xmp(JPEG, PACKET)[2 : 2 + 2 + 2 + 29 + len(PACKET)] + data[end:]
    assert len(data) > limits.HEAD
    assert locate(io.BytesIO(data)) == locate(data)
    assert packets(data) == [PACKET]


def test_stray_zeros_between_segments_are_padding_and_anything_else_is_damage():
    padded = make.jpeg_xmp(JPEG, PACKET)
    at = 2 + 2 + 2 + 29 + len(PACKET)
    assert locate(padded[:at] + bytes(5) + padded[at:]).damages == ()
    assert faults(padded[:at] + b"stray" + padded[at:]) == {Fault.DAMAGED}
    assert packets(padded[:at] + b"stray" + padded[at:]) == [PACKET]


def test_segments_behind_the_first_scan_are_not_the_file_s():
    assert packets(JPEG + make.jpeg_xmp(JPEG, PACKET)) == []


def test_extended_xmp_in_any_order_of_its_parts():
    half = len(PACKET) // 2
    whole = make.jpeg_extended(JPEG, PACKET[: 2 * half], part=half)
    assert packets(whole)[1] == PACKET[: 2 * half]
    first = whole.index(b"http://ns.adobe.com/xmp/extension/\0") - 4
    length = 4 + 35 + 40 + half
    swapped = whole[:first] + whole[first + length : first + 2 * length] + whole[first : first + length]
    assert packets(swapped + whole[first + 2 * length :])[1] == PACKET[: 2 * half]
    assert locate(swapped + whole[first + 2 * length :]).sound


def test_extended_xmp_that_nobody_names_is_damage():
    data = make.jpeg_extended(JPEG, PACKET)
    at = data.index(b'HasExtendedXMP="') + 16
    assert faults(data[:at] + b"0" * 32 + data[at + 32 :]) == {Fault.DAMAGED}


def test_app11_is_a_manifest_only_if_it_says_so():
    jumbf = b"JP\0\1\0\0\0\1\0\0\0\x30jumb\0\0\0\x20jumd"
    assert locate(make.jpeg_segments(JPEG, (0xEB, jumbf + b"c2pa" + bytes(20)))).c2pa == 6
    assert locate(make.jpeg_segments(JPEG, (0xEB, jumbf + b"json" + bytes(20)))).c2pa is None


def test_png_checksums_are_checked():
    chunk = make.png_text(PACKET)
    assert faults(make.png_with(chunk[:-1] + b"x")) == {Fault.DAMAGED}
    assert locate(make.png_with(chunk)).sound


def test_text_chunks_with_other_keywords_are_passed_over():
    assert packets(make.png_with(make.png_chunk(b"tEXt", b"Comment\0" + PACKET))) == []
    assert packets(make.png_with(make.png_chunk(b"tEXt", b"XML:com.adobe.xmp\0" + PACKET))) == [PACKET]


def test_riff_reads_open_ended_and_wide_data():
    layout = b"fmt " + struct.pack("<I", 16) + bytes(16)
    streamed = b"RIFF\xff\xff\xff\xffWAVE" + layout + b"data\xff\xff\xff\xff" + bytes(50)
    assert locate(streamed).damages == ()
    wide = b"ds64" + struct.pack("<IQQQI", 28, 0, 50, 0, 0)
    packet = b"_PMX" + struct.pack("<I", len(PACKET)) + PACKET
    big = b"RF64\xff\xff\xff\xffWAVE" + wide + layout + b"data\xff\xff\xff\xff" + bytes(50) + packet
    assert packets(big) == [PACKET]


def test_a_second_riff_form_is_walked_too():
    first = make.riff(b"AVI ", (b"JUNK", b"12"))
    assert packets(first + make.riff(b"AVIX", (b"_PMX", PACKET))) == [PACKET]


def test_boxes_of_sixty_four_bits_and_to_the_end():
    wide = struct.pack(">I", 1) + b"uuid" + struct.pack(">Q", 16 + 16 + len(PACKET)) + make.XMP_UUID + PACKET
    endless = struct.pack(">I", 0) + b"uuid" + make.XMP_UUID + PACKET
    assert packets(make.movie(wide)) == [PACKET]
    assert packets(make.movie() + endless) == [PACKET]


def test_heif_items_in_the_three_versions_of_places():
    assert packets(make.heif(PACKET)) == [PACKET]
    assert packets(make.heif(PACKET, in_idat=True)) == [PACKET]
    assert packets(make.heif(PACKET, describes=2)) == []


def test_an_encoded_heif_item_is_unsupported():
    data = make.heif(PACKET, in_idat=True)
    mime = b"application/rdf+xml\0"
    # The item's record grows by the eight bytes of its encoding, and so do the boxes around it.
    grown = data.replace(mime, mime + b"deflate\0")
    for box in (b"meta", b"iinf"):
        at = grown.index(box) - 4
        grown = grown[:at] + struct.pack(">I", struct.unpack(">I", grown[at : at + 4])[0] + 8) + grown[at + 4 :]
    at = grown.rindex(b"infe", 0, grown.index(mime)) - 4
    grown = grown[:at] + struct.pack(">I", struct.unpack(">I", grown[at : at + 4])[0] + 8) + grown[at + 4 :]
    assert faults(grown) == {Fault.UNSUPPORTED}


def test_id3_without_synchronisation_and_with_an_extended_header():
    frame = b"PRIV" + struct.pack(">I", len(PACKET) + 4 + 1) + b"\0\0XMP\0\xff\0" + PACKET
    tag = b"ID3\3\0\x80" + bytes((0, 0, (len(frame) + 9) >> 7, (len(frame) + 9) & 127)) + frame + bytes(9)
    assert packets(tag) == [b"\xff" + PACKET]
    extended = b"\0\0\0\6" + bytes(6)
    body = extended + b"PRIV" + struct.pack(">I", len(PACKET) + 4) + b"\0\0XMP\0" + PACKET + bytes(8)
    assert packets(b"ID3\3\0\x40" + bytes((0, 0, len(body) >> 7, len(body) & 127)) + body) == [PACKET]


def test_an_encrypted_frame_counts_only_where_it_could_carry_something():
    assert faults(make.id3((b"TXXX", b"x")).replace(b"\0\0x", b"\0\4x")) == set()
    secret = bytearray(make.id3((b"PRIV", b"XMP\0x")))
    secret[19] = 4
    assert faults(bytes(secret)) == {Fault.UNSUPPORTED}


# Limits.


def test_a_packet_of_endless_zeros_does_not_unpack():
    bomb = make.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(limits.MAX_PACKET + 1), 9))
    assert faults(make.png_with(bomb)) == {Fault.TOO_LARGE}


def test_a_flate_stream_in_a_pdf_is_bounded():
    bomb = make.pdf(make.pdf_metadata(bytes(limits.MAX_PACKET + 1), flate=True))
    assert locate(bomb).damages == (Damage(Slot.PDF, Fault.TOO_LARGE, 0, "Metadata"),)


def test_boxes_within_boxes_have_a_limit():
    inner = b""
    for _ in range(20):
        inner = make.box(b"moov", inner)
    assert faults(make.ftyp(b"mp42") + inner) == {Fault.TOO_DEEP}


def test_directories_that_go_round_in_a_circle():
    data = make.tiff([(254, 4, bytes(4))])
    assert faults(data[:-4] + struct.pack("<I", 8)) == {Fault.DAMAGED}


def test_a_directory_of_no_entries_is_damage():
    assert faults(b"II*\0\x08\0\0\0" + bytes(6)) == {Fault.DAMAGED}


@pytest.mark.parametrize(
    ("module", "data"),
    [
        (png, b"\x89PNG\r\n\x1a\n" + make.png_chunk(b"tEXt", b"x\0y") * 50),
        (riff, make.wav(*[(b"JUNK", b"")] * 50)),
        (boxes, make.movie(*[make.box(b"free")] * 50)),
        (gif, make.picture("GIF")[:-1] + b"\x21\xfe\1x\0" * 50),
    ],
)
def test_many_small_parts_have_a_limit(monkeypatch, module, data):
    monkeypatch.setattr(module, "MAX_STEPS", 40)
    assert faults(data) == {Fault.TOO_MANY_PARTS}


def test_too_many_jpeg_segments():
    assert faults(make.jpeg_segments(JPEG, *[(0xE2, b"")] * 5000)) == {Fault.TOO_MANY_PARTS}


def test_a_zip_with_a_huge_directory_is_not_read():
    book = bytearray(make.epub(make.package("")))
    at = book.rindex(b"PK\5\6")
    book[at + 12 : at + 16] = struct.pack("<I", 9 * 1024 * 1024)
    assert faults(bytes(book)) == {Fault.TOO_LARGE}


# Damage.

WHOLE = {
    "jpeg": make.jpeg_xmp(JPEG, PACKET),
    "png": make.png_with(make.png_text(PACKET)),
    "gif": make.gif_xmp(PACKET),
    "webp": make.riff(b"WEBP", (b"XMP ", PACKET)),
    "tiff": make.tiff_xmp(PACKET),
    "heic": make.heif(PACKET),
    "jxl": make.jxl(make.jxl_brotli(b"xml ", PACKET)),
    "mp4": make.movie(make.box(b"uuid", make.XMP_UUID, PACKET)),
    "mp3": make.id3((b"PRIV", b"XMP\0" + PACKET)),
    "pdf": make.pdf(make.pdf_metadata(PACKET)),
    "epub": make.epub(make.package("")),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_cut_anywhere_has_its_packet_or_is_damaged_or_unknown(name):
    data = WHOLE[name]
    whole = locate(data)
    assert whole.packets
    assert not whole.damages
    for end in range(0, len(data), 7 if name in {"pdf", "epub"} else 3):
        found = locate(data[:end])
        known = found.media_type == whole.media_type
        assert found.packets or found.damages or not known or name == "pdf", end


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_is_read_as_its_bytes_are(name):
    assert locate(io.BytesIO(WHOLE[name])) == locate(WHOLE[name])


def test_an_unknown_file_is_neither_read_nor_damaged():
    assert locate(b"\0\1\2" + PACKET) == Located("application/octet-stream")


def test_a_remote_manifest_is_one_only_by_an_address_of_the_web():
    spaces = {"dcterms": "http://purl.org/dc/terms/"}
    remote = make.jpeg_xmp(JPEG, make.xmp('dcterms:provenance="HTTPS://m.example/1"', spaces))
    local = make.jpeg_xmp(JPEG, make.xmp('dcterms:provenance="self#jumbf=c2pa"', spaces))
    assert locate(remote).remote_provenance == "HTTPS://m.example/1"
    assert locate(local).remote_provenance is None
