"""In which encoding a page is written, and how to decode it (HTML standard section 13.2.3, Encoding standard).

In this order: the byte-order mark, the `charset` of `Content-Type`, a `<meta>` (or XML declaration) in the first
1024 bytes, the pattern of UTF-16 without a mark, and windows-1252. Labels are the Encoding standard's, so that
`iso-8859-1` means windows-1252, and no label of a stranger ever reaches Python's own codec lookup.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from optout.syntax import http_fields
from optout.syntax.html_tokens import ATTRIBUTES, WHITESPACE, attributes

PRESCAN = 1024
"""How many bytes are searched for a declaration (HTML standard section 13.2.3.2)."""

DEFAULT = "windows-1252"

# Encoding standard section 4.2: name, Python's codec where it is called otherwise, labels beside the name.
_TABLE = """
utf-8            utf_8         unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf8 x-unicode20utf8
ibm866           cp866         866 cp866 csibm866
iso-8859-2       iso8859_2     csisolatin2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2
iso-8859-3       iso8859_3     csisolatin3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3
iso-8859-4       iso8859_4     csisolatin4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4
iso-8859-5       iso8859_5     csisolatincyrillic cyrillic iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988
iso-8859-6       iso8859_6     arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6-e
iso-8859-6       iso8859_6     iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
iso-8859-7       iso8859_7     csisolatingreek ecma-118 elot_928 greek greek8 iso-ir-126 iso8859-7 iso88597
iso-8859-7       iso8859_7     iso_8859-7 iso_8859-7:1987 sun_eu_greek
iso-8859-8       iso8859_8     csiso88598e csisolatinhebrew hebrew iso-8859-8-e iso-ir-138 iso8859-8 iso88598
iso-8859-8       iso8859_8     iso_8859-8 iso_8859-8:1988 visual
iso-8859-8-i     iso8859_8     csiso88598i logical
iso-8859-10      iso8859_10    csisolatin6 iso-ir-157 iso8859-10 iso885910 l6 latin6
iso-8859-13      iso8859_13    iso8859-13 iso885913
iso-8859-14      iso8859_14    iso8859-14 iso885914
iso-8859-15      iso8859_15    csisolatin9 iso8859-15 iso885915 iso_8859-15 l9
iso-8859-16      iso8859_16
koi8-r           koi8_r        cskoi8r koi koi8 koi8_r
koi8-u           koi8_u        koi8-ru
macintosh        mac_roman     csmacintosh mac x-mac-roman
windows-874      cp874         dos-874 iso-8859-11 iso8859-11 iso885911 tis-620
windows-1250     cp1250        cp1250 x-cp1250
windows-1251     cp1251        cp1251 x-cp1251
windows-1252     cp1252        ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1
windows-1252     cp1252        iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252
windows-1253     cp1253        cp1253 x-cp1253
windows-1254     cp1254        cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9
windows-1254     cp1254        iso_8859-9:1989 l5 latin5 x-cp1254
windows-1255     cp1255        cp1255 x-cp1255
windows-1256     cp1256        cp1256 x-cp1256
windows-1257     cp1257        cp1257 x-cp1257
windows-1258     cp1258        cp1258 x-cp1258
x-mac-cyrillic   mac_cyrillic  x-mac-ukrainian
gbk              gb18030       chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 iso-ir-58 x-gbk
gb18030          gb18030
big5             big5hkscs     big5-hkscs cn-big5 csbig5 x-x-big5
euc-jp           euc_jp        cseucpkdfmtjapanese x-euc-jp
iso-2022-jp      iso2022_jp    csiso2022jp
shift_jis        cp932         csshiftjis ms932 ms_kanji shift-jis sjis windows-31j x-sjis
euc-kr           cp949         cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601
euc-kr           cp949         windows-949
replacement      cp1252        csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr
utf-16be         utf_16_be     unicodefffe
utf-16le         utf_16_le     csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16
x-user-defined   latin_1
"""
_ROWS = tuple(line.split() for line in _TABLE.strip().splitlines())
_LABELS = {label: row[0] for row in _ROWS for label in (row[0], *row[2:])}
_CODECS = {row[0]: row[1] for row in _ROWS}
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))
_WIDE = re.compile(rb"(?:\xef\xbb\xbf)?(?:(<\x00[!?a-zA-Z]\x00)|(\x00<\x00[!?a-zA-Z]))")
_CHARSET = re.compile(
    rb"""charset[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"([^"]*+)"|'([^']*+)'|([^\t\n\f\r ;"']++))""", re.IGNORECASE
)
_XML = re.compile(rb"""<\?xml[^>]*?encoding[\x00-\x20]*+=[\x00-\x20]*+(?:"([^"]*+)"|'([^']*+)')""")
_PRESCAN = re.compile(
    rb"<!--(?:-?>|.*?-->)|<(?i:(meta)(?=[\t\n\f\r /]))"
    + ATTRIBUTES
    + rb">|</?[A-Za-z][^\t\n\f\r >]*+"
    + ATTRIBUTES
    + rb"|<[!/?][^>]*+>",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding of a page: its name in the Encoding standard, and how many bytes its byte-order mark takes."""

    name: str
    bom: int = 0

    @property
    def opaque(self) -> bool:
        """Whether bytes below 0x40 may be other than ASCII, so that tags cannot be found before decoding."""
        return self.name in {"utf-16le", "utf-16be", "iso-2022-jp"}


def lookup(label: str | None) -> str | None:
    """The name of the encoding that a label means (Encoding standard section 4.2); None for an unknown label."""
    return _LABELS.get(label.strip("\t\n\f\r ").lower()) if label else None


def sniff(body: bytes, content_type: str | None) -> Encoding:
    """Determine the encoding of a page (HTML standard section 13.2.3.1). Looks at no more than 1024 bytes."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return Encoding(name, len(mark))
    declared = _of_header(content_type) if content_type else None
    if declared is None and (wide := _WIDE.match(body)):
        declared = "utf-16le" if wide[1] else "utf-16be"
    return Encoding(declared or _prescan(body[:PRESCAN]) or DEFAULT)


@lru_cache(maxsize=64)
def _of_header(content_type: str) -> str | None:
    # A handful of values make up nearly all of the web's.
    return lookup(http_fields.charset(content_type))


def decode(raw: bytes, name: str) -> str:
    """Decode a piece of a page; what cannot be decoded becomes U+FFFD.

    Args:
        raw: the bytes.
        name: the encoding's name, as `sniff` gives it.
    """
    return raw.decode(_CODECS[name], "replace")


def encoded_length(text: str, name: str) -> int:
    """How many bytes a text takes in an encoding."""
    return len(text.encode(_CODECS[name], "replace"))


def _prescan(data: bytes) -> str | None:
    if b"charset" not in data.lower() and not data.startswith(b"<?xml"):
        return None
    for match in _PRESCAN.finditer(data):
        if match[1] and (name := _declared(attributes(match[0], 4))):
            return {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": DEFAULT}.get(name, name)
    xml = _XML.match(data)
    name = lookup((xml[1] or xml[2] or b"").decode("latin-1")) if xml else None
    return "utf-8" if name and name.startswith("utf-16") else name


def _declared(found: dict[bytes, bytes]) -> str | None:
    """What a `<meta charset>` or `<meta http-equiv=content-type>` declares."""
    if b"charset" in found:
        return lookup(found[b"charset"].decode("latin-1"))
    if found.get(b"http-equiv", b"").strip(WHITESPACE).lower() != b"content-type":
        return None
    match = _CHARSET.search(found.get(b"content", b""))
    return lookup((match[1] or match[2] or match[3] or b"").decode("latin-1")) if match else None
