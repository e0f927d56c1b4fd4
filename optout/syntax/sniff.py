"""What kind of file it is, by its first bytes alone: names and Content-Type headers are often wrong.

After the WHATWG MIME Sniffing standard (https://mimesniff.spec.whatwg.org/), section 6, widened by the formats that
carry rights metadata. XML documents are told apart by the name of their root element.
"""

from __future__ import annotations

import re

UNKNOWN = "application/octet-stream"
HTML = "text/html"
TEXT = "text/plain"
_LOOK = 4096

_PREFIXES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0\x08\0\0\0", "image/tiff"),
    (b"MM\0+\0\x08\0\0", "image/tiff"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\xff\x0a", "image/jxl"),
    (b"fLaC", "audio/flac"),
    (b"PK\x03\x04", "application/zip"),
    (b"OggS", "application/ogg"),
    (b"\x1f\x8b\x08", "application/gzip"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_MOVIE_BOXES = frozenset((b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))
_ZIP_TYPES = {
    b"application/epub+zip": "application/epub+zip",
    b"application/webpub+zip": "application/webpub+zip",
    b"application/audiobook+zip": "application/audiobook+zip",
    b"application/divina+zip": "application/divina+zip",
}
_ROOTS = {
    "svg": "image/svg+xml",
    "xmpmeta": "application/rdf+xml",
    "xapmeta": "application/rdf+xml",
    "RDF": "application/rdf+xml",
    "package": "application/oebps-package+xml",
    "html": HTML,
}
_ROOT = re.compile(r"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)")
_PROLOGUE = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE\s[^\[>]*(?:\[.*?\]\s*)?>)", re.DOTALL | re.IGNORECASE)
_HTML_STARTS = ("<!doctype html", "<html", "<head", "<body", "<title", "<meta", "<script", "<div", "<p", "<table")


def sniff(head: bytes) -> str:
    """Return the media type of a file from its first bytes (4,096 are enough).

    ZIP archives are told apart only where their first member is the uncompressed `mimetype`, as EPUB and ODF ask.
    """
    for prefix, media_type in _PREFIXES:
        if head.startswith(prefix):
            return _zip(head) if media_type == "application/zip" else media_type
    return _structured(head) or _textual(head) or UNKNOWN


def _structured(head: bytes) -> str | None:
    if head[:4] in {b"RIFF", b"RF64", b"BW64"}:
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _brand(head)
    if head[4:8] == b"jumb":
        return "application/c2pa"
    if head[4:8] in _MOVIE_BOXES:
        return "video/quicktime"
    if head.startswith(b"ID3"):
        return _behind_id3(head)
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    return "audio/mpeg" if _is_mpeg_audio(head) else None


def _brand(head: bytes) -> str:
    """ISO/IEC 14496-12, section 4.3: the major brand, and else the first known compatible one."""
    end = min(int.from_bytes(head[:4]), 128)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    if brands[0] not in {b"mif1", b"msf1"} and brands[0] in _BRANDS:
        return _BRANDS[brands[0]]
    known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    images = [media_type for media_type in known if media_type.startswith("image/")]
    if brands[0] in {b"mif1", b"msf1"}:
        return next((media_type for media_type in images if media_type != "image/heif"), "image/heif")
    return "video/mp4"


def _behind_id3(head: bytes) -> str:
    """An ID3 tag stands before MPEG audio, and sometimes before FLAC."""
    size = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
    return "audio/flac" if head[size : size + 4] == b"fLaC" else "audio/mpeg"


def _is_mpeg_audio(head: bytes) -> bool:
    """ISO/IEC 11172-3, section 2.4.1.3: sync word, a known layer, a bit rate and a sampling frequency."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    return bool(head[1] & 0x06) and head[2] >> 4 != 15 and head[2] & 0x0C != 0x0C


def _zip(head: bytes) -> str:
    """EPUB 3.3, section 4.2.4, and ODF 1.3, part 2, section 3.3: the media type stands at byte 38."""
    if head[30:38] != b"mimetype":
        return "application/zip"
    length = int.from_bytes(head[22:26], "little")
    named = head[38 : 38 + min(length, 100)]
    if named.startswith(b"application/vnd.oasis.opendocument."):
        return named.decode("latin-1")
    return _ZIP_TYPES.get(named.strip(), "application/zip")


def _textual(head: bytes) -> str | None:
    text = _decoded(head[:_LOOK])
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n\f")
    if start.startswith(("{", "[")):
        return "application/json"
    if not start.startswith("<"):
        return TEXT
    return _markup(start)


def _decoded(head: bytes) -> str | None:
    """The first characters of a text, None where the bytes are none."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) & ~1].decode("utf-16", "replace")
    if head[:2] in {b"<\0", b"\0<"}:
        return head[: len(head) & ~1].decode("utf-16-le" if head[:1] == b"<" else "utf-16-be", "replace")
    if not head or any(byte < 9 or 13 < byte < 27 for byte in head[:512]):
        return None
    return head.decode("utf-8", "replace")


def _markup(start: str) -> str:
    """The type by the root element: the first tag that is no declaration, comment or instruction."""
    if start[:20].lower().startswith(_HTML_STARTS):
        return HTML
    position = 0
    while found := _PROLOGUE.match(start, position):
        position = found.end()
    root = _ROOT.search(start, position, min(position + 512, len(start)))
    if root is None:
        return TEXT if "<" not in start[:1] else "application/xml"
    if start[position:].lstrip()[:20].lower().startswith(_HTML_STARTS):
        return HTML
    return _ROOTS.get(root[1], "application/xml")
