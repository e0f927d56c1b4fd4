"""Builders of small files that carry rights metadata: for tests, samples and measurements, never for use on works."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import brotli  # type: ignore[import-untyped]
import c2pa
import pikepdf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

PLUS = "http://ns.useplus.org/ldf/xmp/1.0/"
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"
TDM = "http://www.w3.org/ns/tdmrep/"
EXTENSION = "http://ns.adobe.com/xmp/note/"
XMP_UUID = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")

OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}, "core": {"allowed_network_hosts": []}}


# XMP packets.


def xmp(description: str, namespaces: Mapping[str, str] | None = None) -> bytes:
    """A packet with one description: attributes and elements as given."""
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in (namespaces or {}).items())
    attributes, _, elements = description.partition("|")
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f'  <rdf:Description rdf:about=""{declared} {attributes}>{elements}</rdf:Description>\n'
        ' </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def mining(key: str, *, uri: str = VOCABULARY, namespace: str = PLUS) -> bytes:
    """A packet with the PLUS property as attribute."""
    return xmp(f'plus:DataMining="{uri}{key}"', {"plus": namespace})


def tdm(value: str, *, namespace: str = TDM, policy: str = "") -> bytes:
    """A packet with TDMRep's elements."""
    pointer = f"<tdm:policy>{policy}</tdm:policy>" if policy else ""
    return xmp(f"|<tdm:reservation>{value}</tdm:reservation>{pointer}", {"tdm": namespace})


# Pictures.


def picture(kind: str, *, size: tuple[int, int] = (24, 16), seed: int = 0, quality: int = 75) -> bytes:
    """A picture of random colours in one of Pillow's formats."""
    rng = random.Random(seed)
    image = Image.frombytes("RGB", size, rng.randbytes(size[0] * size[1] * 3))
    out = io.BytesIO()
    (image.convert("P") if kind == "GIF" else image).save(out, kind, quality=quality)
    return out.getvalue()


def jpeg_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with segments put in behind its start."""
    added = b"".join(bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return jpeg[:2] + added + jpeg[2:]


def jpeg_xmp(jpeg: bytes, packet: bytes) -> bytes:
    """A JPEG with an XMP packet."""
    return jpeg_segments(jpeg, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))


def jpeg_extended(jpeg: bytes, extended: bytes, *, part: int = 40_000) -> bytes:
    """A JPEG with an Extended XMP packet, cut into segments of `part` bytes."""
    guid = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()
    main = xmp(f'xmpNote:HasExtendedXMP="{guid}"', {"xmpNote": EXTENSION})
    header = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode() + struct.pack(">I", len(extended))
    pieces = [(0xE1, header + struct.pack(">I", at) + extended[at : at + part]) for at in range(0, len(extended), part)]
    return jpeg_segments(jpeg, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main), *pieces)


def png_chunk(name: bytes, data: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_text(packet: bytes, *, compressed: bool = False) -> bytes:
    """An iTXt chunk with an XMP packet."""
    text = zlib.compress(packet) if compressed else packet
    return png_chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes((compressed, 0)) + b"\0\0" + text)


def png_legacy(packet: bytes) -> bytes:
    """ImageMagick's compressed profile chunk."""
    digits = packet.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\nxmp\n{len(packet):8d}\n{lines}\n".encode()
    return png_chunk(b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(text))


def png_with(chunk: bytes, *, late: bool = False) -> bytes:
    """A PNG with a chunk behind its header, or before its end."""
    png = picture("PNG")
    at = len(png) - 12 if late else 33
    return png[:at] + chunk + png[at:]


def gif_xmp(packet: bytes) -> bytes:
    """A GIF with XMP in an application extension and the trailer that leads readers of sub-blocks to its end."""
    gif = picture("GIF")
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    return gif[:-1] + b"\x21\xff\x0bXMP DataXMP" + packet + trailer + gif[-1:]


def riff(form: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A RIFF file."""
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + form + body


def wav(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WAV file of a few silent samples."""
    layout = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    return riff(b"WAVE", (b"fmt ", layout), (b"data", bytes(64)), *chunks)


def tiff(entries: list[tuple[int, int, bytes]], *, big: bool = False, motorola: bool = False) -> bytes:
    """A TIFF of one directory; each entry is tag, type and value bytes."""
    order = ">" if motorola else "<"
    start = b"MM" if motorola else b"II"
    width, count = ("Q", "Q") if big else ("I", "H")
    header = start + struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else start + struct.pack(f"{order}HI", 42, 8)
    slot = struct.calcsize(width)
    size = struct.calcsize(count) + len(entries) * (4 + 2 * slot) + slot
    directory, values = struct.pack(order + count, len(entries)), b""
    for tag, kind, value in sorted(entries):
        place = struct.pack(order + width, len(header) + size + len(values))
        inline = len(value) <= slot
        items = len(value) // {3: 2, 4: 4}.get(kind, 1)
        directory += struct.pack(f"{order}HH{width}", tag, kind, items)
        directory += value.ljust(slot, b"\0") if inline else place
        values += b"" if inline else value + b"\0" * (len(value) & 1)
    return header + directory + struct.pack(order + width, 0) + values


def tiff_xmp(packet: bytes, *, big: bool = False, motorola: bool = False) -> bytes:
    """A TIFF with XMP in tag 700."""
    return tiff([(254, 4, bytes(4)), (700, 1, packet)], big=big, motorola=motorola)


# Boxes.


def box(kind: bytes, *content: bytes) -> bytes:
    """One box."""
    data = b"".join(content)
    return struct.pack(">I", len(data) + 8) + kind + data


def ftyp(brand: bytes, *compatible: bytes) -> bytes:
    """The box that names the brands."""
    return box(b"ftyp", brand, bytes(4), *compatible)


def heif(packet: bytes, *, brand: bytes = b"heic", describes: int = 1, in_idat: bool = False) -> bytes:
    """An image of two items (1 is primary, 2 a thumbnail) with XMP as item 3 about one of them; no pixels inside."""
    start = ftyp(brand, b"mif1", brand)

    def infe(item: int, kind: bytes, rest: bytes = b"") -> bytes:
        return box(b"infe", b"\2\0\0\0", struct.pack(">HH", item, 0), kind, b"\0", rest)

    mime = b"application/rdf+xml\0"
    items = (infe(1, b"hvc1"), infe(2, b"hvc1"), infe(3, b"mime", mime))

    def meta(offset: int) -> bytes:
        method = struct.pack(">H", 1 if in_idat else 0)
        place = struct.pack(">H", 3) + method + struct.pack(">HHII", 0, 1, offset, len(packet))
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), struct.pack(">H", 1)),
            box(b"iinf", bytes(4), struct.pack(">H", 3), *items),
            box(b"iref", bytes(4), box(b"cdsc", struct.pack(">HHH", 3, 1, describes))),
            box(b"iloc", b"\1\0\0\0", b"\x44\0", struct.pack(">H", 1), place),
            box(b"idat", packet if in_idat else b""),
        )

    offset = 0 if in_idat else len(start) + len(meta(0)) + 8
    return start + meta(offset) + box(b"mdat", b"" if in_idat else packet)


def movie(*boxes: bytes, brand: bytes = b"isom", inside: bytes = b"") -> bytes:
    """A film without frames."""
    header = box(
        b"mvhd", bytes(12), struct.pack(">II", 1000, 0), struct.pack(">IH", 0x10000, 0x100), bytes(70), b"\0\0\0\1"
    )
    return ftyp(brand, b"isom") + b"".join(boxes) + box(b"moov", header, inside) + box(b"mdat", bytes(16))


def jxl(*boxes: bytes) -> bytes:
    """A JPEG XL container without a codestream worth the name."""
    start = bytes.fromhex("0000000C4A584C200D0A870A") + ftyp(b"jxl ", b"jxl ")
    return start + b"".join(boxes) + box(b"jxlc", b"\xff\x0a" + bytes(6))


def jxl_brotli(kind: bytes, content: bytes) -> bytes:
    """A compressed box of JPEG XL."""
    return box(b"brob", kind, brotli.compress(content))


# Sound.


def id3(*frames: tuple[bytes, bytes], version: int = 4) -> bytes:
    """An ID3v2 tag of version 2.3 or 2.4."""

    def size(length: int) -> bytes:
        seven = bytes((length >> shift) & 0x7F for shift in (21, 14, 7, 0))
        return seven if version == 4 else struct.pack(">I", length)

    body = b"".join(name + size(len(data)) + b"\0\0" + data for name, data in frames) + bytes(32)
    length = bytes((len(body) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes((version, 0, 0)) + length + body


MP3_FRAMES = (b"\xff\xfb\x90\x00" + bytes(413)) * 3


# Documents.


def svg(metadata: str) -> bytes:
    """A drawing with metadata."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><metadata>{metadata}</metadata></svg>'.encode()
    )


def pdf(change: Callable[[pikepdf.Pdf], None], encryption: pikepdf.Encryption | None = None) -> bytes:
    """A PDF of one empty page, changed before it is written."""
    out = io.BytesIO()
    with pikepdf.new() as document:
        document.add_blank_page(page_size=(72, 72))
        change(document)
        document.save(
            out, fix_metadata_version=False, deterministic_id=encryption is None, encryption=encryption or False
        )
    return out.getvalue()


def pdf_metadata(packet: bytes, *, flate: bool = False) -> Callable[[pikepdf.Pdf], None]:
    """A change that puts a metadata stream into the catalog."""

    def change(document: pikepdf.Pdf) -> None:
        kinds = {"/Type": pikepdf.Name.Metadata, "/Subtype": pikepdf.Name.XML}
        if flate:
            kinds["/Filter"] = pikepdf.Name.FlateDecode
        document.Root.Metadata = document.make_stream(zlib.compress(packet) if flate else packet, kinds)

    return change


def pdf_update(first: bytes, number: int, content: bytes) -> bytes:
    """An incremental update of a PDF with a classic cross-reference table: the old object stays in the bytes."""
    previous = int(first[first.rfind(b"startxref") + 9 :].split()[0])
    trailer = first[first.rfind(b"trailer") :].partition(b"<<")[2].partition(b"startxref")[0].rpartition(b">>")[0]
    body = f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = len(first) + len(body)
    entry = f"xref\n{number} 1\n{len(first):010d} 00000 n \n".encode()
    end = b"trailer <<" + trailer + f" /Prev {previous} >>\nstartxref\n{table}\n%%EOF\n".encode()
    return first + body + entry + end


def package(metas: str, *, prefix: str = "", version: str = "3.0") -> bytes:
    """An EPUB package document."""
    declared = f' prefix="{prefix}"' if prefix else ""
    return (
        f'<package xmlns="http://www.idpf.org/2007/opf" version="{version}" unique-identifier="id"{declared}>'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">urn:x</dc:identifier>'
        f"<dc:title>x</dc:title>{metas}</metadata><manifest/><spine/></package>"
    ).encode()


def epub(*packages: bytes, deflated: bool = True, extra: Mapping[str, bytes] | None = None) -> bytes:
    """An EPUB with one package document a rendition."""
    names = [f"OEBPS/content{number or ''}.opf" for number in range(len(packages))]
    roots = "".join(f'<rootfile full-path="{name}" media-type="application/oebps-package+xml"/>' for name in names)
    container = (
        '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        f"{roots}</rootfiles></container>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        _member(archive, "mimetype", b"application/epub+zip", zipfile.ZIP_STORED)
        _member(archive, "META-INF/container.xml", container.encode())
        for name, data in [*zip(names, packages, strict=True), *(extra or {}).items()]:
            _member(archive, name, data)
    return out.getvalue()


def _member(archive: zipfile.ZipFile, name: str, data: bytes, method: int | None = None) -> None:
    compression = archive.compression if method is None else method
    archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, compression)


# Signed manifests.


def assertion(
    uses: Mapping[str, object], label: str = "cawg.training-mining", *, wrapped: bool = True
) -> dict[str, Any]:
    """A training and data mining assertion; each use is a word or a map."""
    vendor = label.partition(".")[0]
    entries = {f"{vendor}.{name}": use if isinstance(use, dict) else {"use": use} for name, use in uses.items()}
    return {"label": label, "data": {"entries": entries} if wrapped else entries}


def signed(
    media_type: str,
    data: bytes,
    *assertions: dict[str, Any],
    parent: tuple[str, bytes] | None = None,
    core: Mapping[str, Any] | None = None,
) -> bytes:
    """The file with a manifest store, signed by a certificate that nobody trusts."""
    out = io.BytesIO()
    _builder(assertions, parent, core).sign(_signer(), media_type, io.BytesIO(data), out)
    return out.getvalue()


def detached(media_type: str, data: bytes, *assertions: dict[str, Any]) -> bytes:
    """A manifest store for the file, to be kept beside it."""
    builder = _builder(assertions, None, None)
    builder.set_no_embed()
    return bytes(builder.sign(_signer(), media_type, io.BytesIO(data), io.BytesIO()))


def _builder(
    assertions: tuple[dict[str, Any], ...], parent: tuple[str, bytes] | None, core: Mapping[str, Any] | None
) -> c2pa.Builder:
    settings: dict[str, Any] = {
        "verify": {**OFFLINE["verify"], "verify_after_sign": False},
        "core": {**OFFLINE["core"], **(core or {})},
        "builder": {"thumbnail": {"enabled": False}},
    }
    action = "c2pa.opened" if parent else "c2pa.created"
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [{"action": action, **_origin(parent)}]}}
    manifest = {
        "claim_generator_info": [{"name": "optout samples", "version": "1"}],
        "assertions": [actions, *assertions],
    }
    builder = c2pa.Builder(json.dumps(manifest), c2pa.Context.from_dict(settings))
    if parent is not None:
        ingredient = {"title": "parent", "relationship": "parentOf", "instance_id": "xmp.iid:parent"}
        builder.add_ingredient(json.dumps(ingredient), parent[0], io.BytesIO(parent[1]))
    return builder


def _origin(parent: tuple[str, bytes] | None) -> dict[str, Any]:
    if parent is None:
        return {"digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation"}
    return {"parameters": {"ingredientIds": ["xmp.iid:parent"]}}


@cache
def _signer() -> c2pa.Signer:
    """A signer whose authority was made a moment ago and is forgotten a moment later."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Sample Authority", authority, authority).sign(authority, hashes.SHA256())
    leaf = _certificate("Sample Signer", key, authority).sign(authority, hashes.SHA256())
    chain = b"".join(found.public_bytes(serialization.Encoding.PEM) for found in (leaf, root))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, chain, secret, None))


def _certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    is_root = key is authority
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("Sample Authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin.replace(year=2046))
        .add_extension(x509.BasicConstraints(is_root, None), critical=True)
        .add_extension(
            x509.KeyUsage(not is_root, False, False, False, False, is_root, is_root, False, False),  # noqa: FBT003
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if is_root:
        return builder
    return builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
    ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Optout Samples"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )
