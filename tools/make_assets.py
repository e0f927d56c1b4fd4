#!/usr/bin/env python3
"""Make the sample files under tests/assets/ and the list of what must come out of each.

The files are kept in the repository, because manifests are signed with a key and a time of the moment: run this again
only to add samples, and look at the difference. Everything here is made by this script and free for any use (CC0).
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pikepdf

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tools import asset_builders as make  # noqa: E402 - the project's root has to be found first

FOLDER = ROOT / "tests" / "assets"

NONE: dict[str, str] = {}
TRAIN = {"ai-train": "reserved"}
MINING = {"tdm": "reserved", "ai-train": "reserved", "ai-input": "reserved"}
ALL = {**MINING, "search": "reserved"}

GENAI = make.mining("DMI-PROHIBITED-GENAIMLTRAINING")
PROHIBITED = make.mining("DMI-PROHIBITED")
ALLOWED = make.mining("DMI-ALLOWED")
RESERVED = make.tdm("1", policy="https://provider.example/policy.json")
NO_MINING = make.assertion({"data_mining": "notAllowed"})
EVERYTHING = ("data_mining", "ai_inference", "ai_training", "ai_generative_training")


@dataclass(frozen=True, slots=True)
class Sample:
    """One file and what must come out of it under the policy `literal`; purposes not named are unspecified."""

    name: str
    data: bytes
    states: dict[str, str]
    why: str
    problem: bool = False
    unreadable: bool = False
    beside: dict[str, bytes] = field(default_factory=dict)

    def expectation(self) -> dict[str, object]:
        """Its entry in expected.json."""
        states = dict.fromkeys(("tdm", "ai-train", "ai-input", "search"), "unspecified")
        flags = {name: True for name in ("problem", "unreadable") if getattr(self, name)}
        return {"file": self.name, "expect": {**states, **self.states, **flags}, "why": self.why}


def pictures() -> Iterator[Sample]:
    """XMP in the slots of still pictures."""
    jpeg = make.picture("JPEG")
    padding = "".join(f"<dc:subject>{number}</dc:subject>" for number in range(700))
    long = make.xmp(
        f"|{padding}<plus:DataMining>{make.VOCABULARY}DMI-PROHIBITED</plus:DataMining>",
        {"plus": make.PLUS, "dc": "http://purl.org/dc/elements/1.1/"},
    )
    cut = long.index(b"DMI-PROHIBITED") + 5
    yield Sample("jpeg_extended_cut.jpg", make.jpeg_extended(jpeg, long, part=cut), ALL, "value cut by a segment's end")
    broken = make.jpeg_extended(jpeg, long, part=cut).replace(b"<dc:subject>7<", b"<dc:subject>8<")
    yield Sample(
        "jpeg_extended_damaged.jpg", broken, ALL, "digest of Extended XMP does not fit", problem=True, unreadable=True
    )
    yield Sample(
        "jpeg_allowed.jpg",
        make.jpeg_xmp(jpeg, ALLOWED),
        {"tdm": "permitted", "ai-train": "permitted", "search": "permitted"},
        "DMI-ALLOWED",
    )
    two = make.xmp(
        f'plus:DataMining="{make.VOCABULARY}DMI-ALLOWED"|</rdf:Description><rdf:Description rdf:about="">'
        f"<plus:DataMining>{make.VOCABULARY}DMI-PROHIBITED</plus:DataMining>",
        {"plus": make.PLUS},
    ).replace(b'about=""><plus', f'about="" xmlns:plus="{make.PLUS}"><plus'.encode())
    yield Sample("jpeg_conflict.jpg", make.jpeg_xmp(jpeg, two), ALL, "two values: the stricter", problem=True)
    wrong = make.mining("DMI-PROHIBITED", namespace="http://ns.useplus.org/LDF/1.0/")
    yield Sample("jpeg_wrong_namespace.jpg", make.jpeg_xmp(jpeg, wrong), NONE, "not PLUS's namespace", problem=True)
    template = make.xmp("", {"plus": make.PLUS})
    yield Sample("jpeg_namespace_only.jpg", make.jpeg_xmp(jpeg, template), NONE, "a declared namespace says nothing")
    thumbnail = make.jpeg_segments(jpeg, (0xED, make.jpeg_xmp(jpeg, PROHIBITED)))
    yield Sample("jpeg_thumbnail.jpg", thumbnail, NONE, "XMP of a thumbnail inside APP13 describes a part")
    part = make.xmp(
        f'|<xmpMM:Ingredients><rdf:Bag><rdf:li plus:DataMining="{make.VOCABULARY}DMI-PROHIBITED"/></rdf:Bag>'
        "</xmpMM:Ingredients>",
        {"plus": make.PLUS, "xmpMM": "http://ns.adobe.com/xap/1.0/mm/"},
    )
    yield Sample("jpeg_ingredient.jpg", make.jpeg_xmp(jpeg, part), NONE, "a property inside a structure: of a part")
    malformed = make.jpeg_xmp(jpeg, PROHIBITED.replace(b"</rdf:RDF>", b""))
    yield Sample("jpeg_malformed.jpg", malformed, ALL, "XMP that is not XML", problem=True, unreadable=True)
    yield Sample("jpeg_utf16.jpg", make.jpeg_xmp(jpeg, GENAI.decode().encode("utf-16")), TRAIN, "packet in UTF-16")
    yield Sample("png_late.png", make.png_with(make.png_text(GENAI), late=True), TRAIN, "iTXt behind the pixels")
    packed = make.png_text(GENAI, compressed=True)
    yield Sample(
        "png_compressed_late.png", make.png_with(packed, late=True), TRAIN, "compressed iTXt behind the pixels"
    )
    yield Sample("png_legacy.png", make.png_with(make.png_legacy(GENAI)), TRAIN, "ImageMagick's profile text")
    flipped = bytearray(make.png_text(ALLOWED))
    flipped[-1] ^= 1
    yield Sample(
        "png_checksum.png",
        make.png_with(bytes(flipped)),
        NONE,
        "permission in a chunk whose checksum fails",
        problem=True,
        unreadable=True,
    )
    yield Sample("gif_xmp.gif", make.gif_xmp(GENAI), TRAIN, "application extension")
    yield Sample("webp_xmp.webp", make.riff(b"WEBP", (b"VP8X", bytes(10)), (b"XMP ", GENAI)), TRAIN, "RIFF chunk")
    yield Sample("tiff_little.tif", make.tiff_xmp(GENAI), TRAIN, "tag 700, little-endian")
    yield Sample("tiff_big_endian.tif", make.tiff_xmp(GENAI, motorola=True), TRAIN, "tag 700, big-endian")
    yield Sample("tiff_bigtiff.tif", make.tiff_xmp(GENAI, big=True), TRAIN, "BigTIFF")
    yield Sample("heic_xmp.heic", make.heif(GENAI), TRAIN, "XMP item about the primary image")
    yield Sample("heic_idat.heic", make.heif(GENAI, in_idat=True), TRAIN, "XMP item inside idat")
    yield Sample("heic_thumbnail.heic", make.heif(GENAI, describes=2), NONE, "XMP item about the thumbnail")
    yield Sample("avif_xmp.avif", make.heif(GENAI, brand=b"avif"), TRAIN, "XMP item in AVIF")
    yield Sample("jxl_xml.jxl", make.jxl(make.box(b"xml ", GENAI)), TRAIN, "xml box")
    yield Sample("jxl_brob.jxl", make.jxl(make.jxl_brotli(b"xml ", GENAI)), TRAIN, "xml box under Brotli")
    yield Sample("jxl_bare.jxl", b"\xff\x0a" + bytes(30) + GENAI, NONE, "a bare codestream has no slot")
    bomb = make.jxl(make.jxl_brotli(b"xml ", bytes(3_000_000)))
    yield Sample("jxl_bomb.jxl", bomb, NONE, "a box that unpacks to megabytes", problem=True, unreadable=True)
    jumbf = bytes(4) + b"jumd" + b"c2pa" + bytes(24)
    yield Sample(
        "jxl_brob_jumb.jxl",
        make.jxl(make.jxl_brotli(b"jumb", jumbf)),
        NONE,
        "manifest store under Brotli",
        problem=True,
        unreadable=True,
    )
    remote = make.xmp('dcterms:provenance="https://manifests.example/1.c2pa"', {"dcterms": "http://purl.org/dc/terms/"})
    yield Sample(
        "jpeg_remote.jpg", make.jpeg_xmp(jpeg, remote), NONE, "manifest at a URL", problem=True, unreadable=True
    )
    yield Sample("sidecar_xmp.jpg", jpeg, MINING, "TDMRep in the XMP beside it", beside={"sidecar_xmp.xmp": RESERVED})
    yield Sample("sidecar.xmp", PROHIBITED, ALL, "a sidecar by itself")


def sounds_and_films() -> Iterator[Sample]:
    """XMP in the slots of sound and moving pictures."""
    uuid = make.box(b"uuid", make.XMP_UUID, GENAI)
    yield Sample("mp4_uuid.mp4", make.movie(uuid), TRAIN, "uuid box before moov")
    yield Sample("mp4_late.mp4", make.movie() + uuid, TRAIN, "uuid box at the end")
    inside = make.box(b"udta", make.box(b"XMP_", GENAI), bytes(4))
    yield Sample("mov_xmp.mov", make.movie(brand=b"qt  ", inside=inside), TRAIN, "moov/udta/XMP_")
    track = make.box(b"trak", make.box(b"udta", make.box(b"XMP_", GENAI)))
    yield Sample("mov_track.mov", make.movie(brand=b"qt  ", inside=track), NONE, "XMP of a track describes a part")
    yield Sample("wav_xmp.wav", make.wav((b"_PMX", GENAI)), TRAIN, "_PMX chunk")
    listed = make.wav((b"LIST", b"INFO_PMX" + len(GENAI).to_bytes(4, "little") + GENAI))
    yield Sample("wav_list.wav", listed, NONE, "inside a LIST chunk: of a part")
    yield Sample(
        "avi_xmp.avi", make.riff(b"AVI ", (b"JUNK", b"1"), (b"_PMX", GENAI)), TRAIN, "AVI, odd chunk before it"
    )
    frame = (b"PRIV", b"XMP\0" + GENAI)
    yield Sample("mp3_id3v24.mp3", make.id3(frame) + make.MP3_FRAMES, TRAIN, "PRIV frame, ID3v2.4")
    yield Sample("mp3_id3v23.mp3", make.id3(frame, version=3) + make.MP3_FRAMES, TRAIN, "PRIV frame, ID3v2.3")
    yield Sample("flac_id3.flac", make.id3(frame) + b"fLaC\x80\0\0\x22" + bytes(34), TRAIN, "PRIV frame before FLAC")


def documents() -> Iterator[Sample]:
    """SVG, PDF and EPUB."""
    rdf = GENAI[GENAI.index(b"<x:xmpmeta") : GENAI.index(b"<?xpacket end")].decode()
    yield Sample("svg_xmp.svg", make.svg(rdf), TRAIN, "RDF in metadata")
    deep = make.svg("").replace(b"<metadata></metadata>", f"<g><metadata>{rdf}</metadata></g>".encode())
    yield Sample("svg_group.svg", deep, NONE, "metadata of a group describes a part")
    yield Sample("pdf_tdm.pdf", make.pdf(make.pdf_metadata(RESERVED)), MINING, "catalog metadata")
    hashed = make.tdm("1", namespace="http://www.w3.org/ns/tdmrep#")
    yield Sample("pdf_tdm_hash.pdf", make.pdf(make.pdf_metadata(hashed, flate=True)), MINING, "EPUB's namespace, Flate")
    yield Sample("pdf_zero.pdf", make.pdf(make.pdf_metadata(make.tdm("0"))), {"tdm": "permitted"}, "TDMRep 0")
    locked = pikepdf.Encryption(owner="owner", user="user")
    yield Sample(
        "pdf_locked.pdf",
        make.pdf(make.pdf_metadata(RESERVED), locked),
        NONE,
        "needs a password",
        problem=True,
        unreadable=True,
    )
    opened = pikepdf.Encryption(owner="owner", user="")
    yield Sample("pdf_empty_password.pdf", make.pdf(make.pdf_metadata(RESERVED), opened), MINING, "empty user password")
    yield Sample(
        "pdf_a_schema.pdf",
        make.pdf(make.pdf_metadata(_pdf_a_schema())),
        NONE,
        "PDF/A schema description without a reservation",
    )
    yield Sample("pdf_image.pdf", make.pdf(_image_with_xmp), NONE, "XMP of an image object describes a part")
    yield Sample("pdf_updated.pdf", _updated("0", "1"), MINING, "the last revision counts: 0, then 1")
    yield Sample(
        "pdf_updated_to_zero.pdf", _updated("1", "0"), NONE, "0 now, and an older 1 in the bytes", problem=True
    )
    meta = '<meta property="{}:reservation">{}</meta>'
    prefix = "tdm: http://www.w3.org/ns/tdmrep#"
    one = make.package(meta.format("tdm", 1), prefix=prefix)
    zero = make.package(meta.format("tdm", 0), prefix=prefix)
    yield Sample("epub3.epub", make.epub(one), MINING, "EPUB 3")
    other = make.package(meta.format("rights", 1), prefix="rights: http://www.w3.org/ns/tdmrep#")
    yield Sample("epub3_other_prefix.epub", make.epub(other), MINING, "another prefix bound to TDMRep")
    yield Sample("epub3_two_renditions.epub", make.epub(zero, one), MINING, "second rendition reserves")
    yield Sample("epub3_zero.epub", make.epub(zero), {"tdm": "permitted"}, "TDMRep 0")
    refined = make.package('<meta refines="#id" property="tdm:reservation">1</meta>', prefix=prefix)
    yield Sample("epub3_refines.epub", make.epub(refined), NONE, "a refinement is about something else")
    missing = make.epub(one).replace(b"content.opf", b"kontent.opf", 1)
    yield Sample(
        "epub3_damaged.epub", missing, NONE, "the package document is not there", problem=True, unreadable=True
    )


def _pdf_a_schema() -> bytes:
    schema = (
        "|<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType='Resource'>"
        f"<pdfaSchema:namespaceURI>{make.TDM}</pdfaSchema:namespaceURI><pdfaSchema:prefix>tdm</pdfaSchema:prefix>"
        "<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType='Resource'><pdfaProperty:name>reservation"
        "</pdfaProperty:name></rdf:li></rdf:Seq></pdfaSchema:property></rdf:li></rdf:Bag></pdfaExtension:schemas>"
    )
    spaces = {name: f"http://www.aiim.org/pdfa/ns/{name[4:].lower()}#" for name in ("pdfaExtension", "pdfaSchema")}
    return make.xmp(schema, {**spaces, "pdfaProperty": "http://www.aiim.org/pdfa/ns/property#", "tdm": make.TDM})


def _image_with_xmp(document: pikepdf.Pdf) -> None:
    image = document.make_stream(
        bytes(3),
        Type=pikepdf.Name.XObject,
        Subtype=pikepdf.Name.Image,
        Width=1,
        Height=1,
        ColorSpace=pikepdf.Name.DeviceRGB,
        BitsPerComponent=8,
    )
    image.Metadata = document.make_stream(PROHIBITED, Type=pikepdf.Name.Metadata, Subtype=pikepdf.Name.XML)
    document.pages[0].Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im0=image))


def _updated(first: str, then: str) -> bytes:
    """A PDF whose metadata stream was replaced by an incremental update."""
    original = make.pdf(make.pdf_metadata(make.tdm(first)))
    with pikepdf.open(io.BytesIO(original)) as document:
        number = document.Root.Metadata.objgen[0]
    packet = make.tdm(then)
    head = f"<< /Type /Metadata /Subtype /XML /Length {len(packet)} >>\nstream\n".encode()
    return make.pdf_update(original, number, head + packet + b"\nendstream")


def manifests() -> Iterator[Sample]:
    """C2PA and CAWG."""
    jpeg, kind = make.picture("JPEG"), "image/jpeg"
    nothing = dict.fromkeys(EVERYTHING, "notAllowed")
    yield Sample("c2pa_all.jpg", make.signed(kind, jpeg, make.assertion(nothing)), MINING, "all notAllowed")
    legacy = make.assertion(nothing, "c2pa.training-mining")
    yield Sample("c2pa_legacy.jpg", make.signed(kind, jpeg, legacy), MINING, "the retired label")
    bare = make.assertion(nothing, wrapped=False)
    yield Sample("c2pa_unwrapped.jpg", make.signed(kind, jpeg, bare), MINING, "CAWG 1.0: no map of entries")
    allowed = make.assertion(dict.fromkeys(EVERYTHING, "allowed"))
    permitted = {"tdm": "permitted", "ai-train": "permitted", "ai-input": "permitted"}
    yield Sample("c2pa_allowed.jpg", make.signed(kind, jpeg, allowed), permitted, "all allowed, valid")
    contradicting = make.signed(kind, jpeg, allowed, legacy)
    yield Sample("c2pa_two_labels.jpg", contradicting, MINING, "one label allows, the other does not")
    original = make.signed(kind, jpeg, make.assertion(nothing))
    edited = make.signed(kind, make.picture("JPEG", seed=1), parent=(kind, original))
    yield Sample("c2pa_inherited.jpg", edited, MINING, "the parent's manifest reserves")
    yield Sample("c2pa_tampered.jpg", _tampered(original), MINING, "pixels changed after signing", problem=True)
    yield Sample(
        "c2pa_tampered_allowed.jpg",
        _tampered(make.signed(kind, jpeg, allowed)),
        NONE,
        "a permission in an invalid manifest",
        problem=True,
    )
    constrained = make.assertion({"data_mining": {"use": "constrained", "constraint_info": "ask first"}})
    yield Sample("c2pa_constrained.jpg", make.signed(kind, jpeg, constrained), MINING, "constrained is notAllowed")
    with_xmp = make.signed(kind, make.jpeg_xmp(jpeg, ALLOWED), NO_MINING)
    yield Sample(
        "c2pa_against_xmp.jpg",
        with_xmp,
        MINING,
        "XMP allows, the manifest does not: no permission stands",
        problem=True,
    )
    packed = make.signed(kind, jpeg, NO_MINING, core={"prefer_compress_manifests": True})
    yield Sample("c2pa_compressed.jpg", packed, MINING, "compressed manifest store")
    damaged = original.replace(b"cawg.training-mining", b"cawg.training-minimg")
    yield Sample("c2pa_damaged.jpg", damaged, NONE, "a label changed inside the store", problem=True)
    yield Sample("c2pa.png", make.signed("image/png", make.picture("PNG"), NO_MINING), MINING, "caBX chunk")
    yield Sample("c2pa.gif", make.signed("image/gif", make.picture("GIF"), NO_MINING), MINING, "application extension")
    yield Sample("c2pa.webp", make.signed("image/webp", make.picture("WEBP"), NO_MINING), MINING, "RIFF chunk")
    yield Sample("c2pa.tif", make.signed("image/tiff", make.picture("TIFF"), NO_MINING), MINING, "tag 52545")
    yield Sample("c2pa.avif", make.signed("image/avif", make.picture("AVIF"), NO_MINING), MINING, "uuid box")
    yield Sample("c2pa.wav", make.signed("audio/wav", make.wav(), NO_MINING), MINING, "RIFF chunk")
    yield Sample("c2pa.svg", make.signed("image/svg+xml", make.svg(""), NO_MINING), MINING, "c2pa:manifest")
    blank = make.pdf(lambda _: None)
    yield Sample("c2pa.pdf", make.signed("application/pdf", blank, NO_MINING), MINING, "attached file")
    book = make.epub(make.package(""), deflated=False)
    yield Sample("c2pa.epub", make.signed("application/epub+zip", book, NO_MINING), MINING, "META-INF")
    store = make.detached(kind, jpeg, NO_MINING)
    yield Sample("c2pa_sidecar.jpg", jpeg, MINING, "manifest store beside it", beside={"c2pa_sidecar.c2pa": store})
    armoured = b"A text.\n-----BEGIN C2PA MANIFEST-----\nAAAA\n-----END C2PA MANIFEST-----\n"
    yield Sample("c2pa_armoured.txt", armoured, NONE, "armoured manifest in a text", problem=True, unreadable=True)
    selectors = "".join(chr(0xFE00 + b if b < 16 else 0xE0100 + b - 16) for b in b"C2PATXT\0\1\0\0\0\4abcd")
    yield Sample(
        "c2pa_selectors.txt",
        f"A text.\ufeff{selectors}\n".encode(),
        NONE,
        "manifest in variation selectors",
        problem=True,
        unreadable=True,
    )


def _tampered(jpeg: bytes) -> bytes:
    """The last byte of the pixels changed."""
    return jpeg[:-3] + bytes((jpeg[-3] ^ 0x55,)) + jpeg[-2:]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    samples = [*pictures(), *sounds_and_films(), *documents(), *manifests()]
    for sample in samples:
        for name, data in {sample.name: sample.data, **sample.beside}.items():
            (FOLDER / name).write_bytes(data)
    expected = json.dumps([sample.expectation() for sample in samples], indent=1, ensure_ascii=False)
    (FOLDER / "expected.json").write_text(expected + "\n", encoding="utf-8")
    print(f"{len(samples)} samples, {sum(len(sample.data) for sample in samples):,} bytes in {FOLDER}")


if __name__ == "__main__":
    main()
