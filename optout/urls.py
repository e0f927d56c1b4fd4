"""Where a URL points: its origin, what of it a path rule is compared with, and whose domain it is.

Everything here works on text alone. The crawl asks `origin_of` and `match_target` once for every request, so both
have a short way for ordinary ASCII URLs and a long way for the rest, with the same answers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import unquote, urljoin

import idna

from optout.errors import MalformedUrl

if TYPE_CHECKING:
    from tldextract import TLDExtract

MAX_URL_LENGTH = 65_536
"""The longest URL, in characters, that is looked at; longer ones are refused, which keeps a match's cost bounded."""

DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21, "ws": 80, "wss": 443}
"""The port that a scheme implies (RFC 9110 section 4.2; WHATWG URL, special schemes)."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# An ordinary URL is split by its first three delimiters; a backslash is left inside the authority, where it is refused.
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^#]*)", re.DOTALL)

_DOT_SEGMENT = re.compile(r"/(?:\.|%2[eE]){1,2}(?=[/?#]|\Z)")
_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*)(/[^?#]*)(.*)", re.DOTALL)

# What the normal form shows in another way: escapes of unreserved octets or in lower case, a stray %, and characters
# that cannot stand as they are. The first of these are looked for alone where all else can, because that is faster.
_NORMAL = "[0189A-F][0-9A-F]|2[0-9A-CF]|3[A-F]|[46]0|5[B-E]|7[B-DF]"
_ODD_ESCAPE = re.compile(rf"%(?!{_NORMAL})(?:[0-9A-Fa-f]{{2}})?")
_ODD = re.compile(rf"{_ODD_ESCAPE.pattern}|[^!-~]", re.DOTALL)

_PLAIN_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
# 253 characters (RFC 1035 section 2.3.4), each perhaps four octets written as escapes.
_LONGEST_HOST = 253 * 4 * 3
_PORT = re.compile(r"[0-9]{1,5}")
_EDGE = "".join(map(chr, range(0x21)))
_REMOVED = str.maketrans("", "", "\t\r\n")

# What IDNA treats as a full stop besides the full stop itself (UTS 46 section 2.3).
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))


class Origin(NamedTuple):
    """The scheme, host and port that a URL belongs to (RFC 6454 section 4); robots.txt is per origin.

    Attributes:
        scheme: in lower case.
        host: in lower case, as A-labels, without a trailing dot; an IPv6 address without its brackets.
        port: None where it is the default of the scheme.
    """

    scheme: str
    host: str
    port: int | None = None

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL; the port only where it is not the default of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """The origin as people and headers write it, such as `https://example.com:8443`."""
        return f"{self.scheme}://{self.authority}"


def origin_of(url: str) -> Origin:
    """The origin of an absolute URL.

    White space and controls around the URL and line breaks and tabs inside it are dropped, as the WHATWG URL standard
    has it, and so is userinfo. A host that is not ASCII becomes A-labels (UTS 46).

    Args:
        url: an absolute URL with an authority.

    Raises:
        MalformedUrl: no scheme, no host, an unusable port, a host with characters no host has (a backslash before
            the path among them, because programs disagree on which host that names), or an endless URL.
    """
    scheme, authority, _ = _split(url)
    if "\\" in authority:
        _refuse_host(authority)
    return _origin(scheme.lower(), authority.rpartition("@")[2])


def authority_of(url: str) -> str | None:
    """The host and port of a URL, as `Origin.authority`; None where a stranger's text names none."""
    try:
        return origin_of(url).authority
    except MalformedUrl:
        return None


def match_target(url: str) -> str:
    """What of an absolute URL a path rule is compared with: path and query (RFC 9309 section 2.2.2), normalised.

    An empty path is `/`, the fragment is dropped, and dot segments are walked, as clients and servers do before
    anything is fetched (see `without_dot_segments`). A `*` or `$` becomes its escape, which is how a rule names these
    two literally (RFC 9309 section 2.2.3).

    Raises:
        MalformedUrl: as for `origin_of`, except that the host is not looked at.
    """
    rest = _split(url)[2]
    if not rest.startswith("/"):
        rest = "/" + rest
    target = normalise_target(rest)
    if "/." not in target:
        return target
    path, mark, query = target.partition("?")
    return _walked(path) + mark + query


def normalise_target(path: str) -> str:
    """The form of a path and query that patterns are compared with; see `match_target`."""
    text = normalise_octets(path)
    if "*" in text or "$" in text:
        return text.replace("*", "%2A").replace("$", "%24")
    return text


def normalise_octets(text: str) -> str:
    """Write octets the one way in which rules and URLs are compared (RFC 9309 section 2.2.2; RFC 3986 section 2).

    Escapes of unreserved ASCII are decoded and all others upper-cased. Non-ASCII becomes escapes of its UTF-8 octets;
    so do spaces and controls, which no URL can hold. A `%` that begins no escape becomes `%25`. Reserved characters
    stay as they stand: `%2F` is not `/`. Surrogates U+DC80 to U+DCFF stand for the undecodable octets they came
    from; any other lone surrogate is encoded as if it were a character. Normalising twice changes nothing.
    """
    if text.isascii() and text.isprintable() and " " not in text:
        return _ODD_ESCAPE.sub(_normal_octet, text) if "%" in text else text
    return _ODD.sub(_normal_octet, text)


def registrable_domain(host: str) -> str:
    """The domain under a public suffix that a host belongs to; an address or a bare suffix is given back as it is.

    The list is the snapshot that the tldextract package carries, so an answer depends on its version alone.
    """
    if ":" in host:
        return host
    return _extractor()(host).top_domain_under_public_suffix or host


def resolve(base: str, reference: str) -> str:
    """The absolute URL that a reference on a page means (RFC 3986 section 5.2).

    Raises:
        MalformedUrl: the two give no URL that could be fetched.
    """
    try:
        url = urljoin(_clean(base), _clean(reference))
    except ValueError as error:
        raise MalformedUrl(f"cannot resolve {_shown(reference)}", mend="check the reference") from error
    _split(url)
    return url


def without_dot_segments(url: str) -> str:
    """A URL as it is asked for: `.` and `..` are walked (RFC 3986 section 5.2.4), a dot as `%2e` too (WHATWG URL).

    Clients and servers do this on their own, so that whoever decides on `/a/../b` would get `/b` undecided.
    """
    # Nearly every URL is done with here; a search would take four times as long.
    if "/." not in url and "/%2" not in url:
        return url
    if _DOT_SEGMENT.search(url) is None or (parts := _PATH.fullmatch(url)) is None:
        return url
    before, path, after = parts.groups()
    return before + _walked(path) + after


def _walked(path: str) -> str:
    """A path without dot segments (RFC 3986 section 5.2.4)."""
    walked: list[str] = []
    dots = ""
    for segment in path.split("/")[1:]:
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            del walked[-1:]
        elif dots != ".":
            walked.append(segment)
    if dots in {".", ".."}:
        walked.append("")
    return f"/{'/'.join(walked)}"


def _clean(url: str) -> str:
    if url.isprintable() and url[:1] != " " and url[-1:] != " ":
        return url
    return url.strip(_EDGE).translate(_REMOVED)


def _split(url: str) -> tuple[str, str, str]:
    """Cut a URL into scheme, authority, and path with query."""
    if len(url) > MAX_URL_LENGTH:
        raise MalformedUrl(f"URL of {len(url)} characters", mend=f"at most {MAX_URL_LENGTH} are looked at")
    found = _PARTS.match(_clean(url))
    if found is None:
        raise MalformedUrl(f"not an absolute URL: {_shown(url)}", mend="write scheme://host/path")
    scheme, authority, rest = found.groups()
    return scheme, authority, rest


@lru_cache(maxsize=4096)
def _origin(scheme: str, authority: str) -> Origin:
    host, port = _host_and_port(authority)
    return Origin(scheme, host, None if port == DEFAULT_PORTS.get(scheme) else port)


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        inside, bracket, after = authority[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise MalformedUrl(f"unclosed address in {_shown(authority)}", mend="write [address]:port")
        return _ipv6(inside), _port(after[1:])
    host, _, port = authority.partition(":")
    return _host(host), _port(port)


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        _refuse_host(text)
    # A zone names a network card of whoever wrote it, so it means nothing here.
    return _refuse_host(text) if address.scope_id else address.compressed


def _port(text: str) -> int | None:
    if not text:
        return None
    if not _PORT.fullmatch(text) or int(text) > 65_535:
        raise MalformedUrl(f"unusable port {_shown(text)}", mend="0 to 65535")
    return int(text)


def _host(text: str) -> str:
    host = text.lower()
    if len(host) > _LONGEST_HOST:
        _refuse_host(text)
    if not host.isascii() or "%" in host:
        host = _to_ascii(unquote(host))
    host = host.removesuffix(".")
    if len(host) > 253 or not _PLAIN_HOST.fullmatch(host):
        _refuse_host(text)
    return host


def _to_ascii(host: str) -> str:
    """A-labels by UTS 46 and IDNA 2008, or plain Punycode for what IDNA 2008 refuses, such as names with emoji.

    Refusing such names would leave their robots.txt unread, although they resolve.
    """
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ".".join(_punycode(label) for label in _mapped(host).split("."))


def _mapped(host: str) -> str:
    try:
        return idna.uts46_remap(host, std3_rules=False)
    except (idna.IDNAError, UnicodeError):
        return host.lower().translate(_DOTS)


def _punycode(label: str) -> str:
    if label.isascii():
        return label
    if not label.isprintable() or "\ufffd" in label:
        _refuse_host(label)
    return "xn--" + label.encode("punycode").decode("ascii")


def _refuse_host(text: str) -> NoReturn:
    raise MalformedUrl(f"no usable host in {_shown(text)}", mend="write a host name or address")


def _shown(text: str) -> str:
    """A stranger's text made fit for a one-line message."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _normal_octet(found: re.Match[str]) -> str:
    """Rewrite one escape or one character that cannot stand as it is."""
    text = found.group()
    if len(text) == 3:
        octet = int(text[1:], 16)
        return chr(octet) if octet in _UNRESERVED else text.upper()
    return "%" + _octets(text).hex("%").upper()


def _octets(character: str) -> bytes:
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return character.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=1)
def _extractor() -> TLDExtract:
    # The import takes tens of milliseconds and most commands never ask for a domain.
    from tldextract import TLDExtract  # noqa: PLC0415

    return TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)
