r"""The forms in which people publish lists, read line by line.

| form | a line | means |
|---|---|---|
| `plain`, `ut1` | `example.com`, `*.example.com` | the domain with its subdomains |
| | `example.com/path`, `https://example.com/path` | the URL and everything below it |
| | `https://example.com/`, `192.0.2.1`, `x.se` (a public suffix) | the host and no other |
| | 64 hexadecimal digits, perhaps after `sha256:` | content with that SHA-256 |
| `hosts` | `0.0.0.0 example.com www.example.com` | each host and no other |
| `dnsmasq` | `local=/example.com/`, `address=/…/…`, `server=/…/` | the domain with its subdomains |
| `adblock` | `\|\|example.com^`, `\|\|example.com/path` | the domain with its subdomains; the URL and below |
| `csv` | a column `domain`, `url`, `sha256`, `site` or `entry` | as in `plain` |
| | a column `host` | the host and no other |

Empty lines and comments are passed over. A line that cannot be used is a `Fault` with a reason; the others count.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from tldextract import TLDExtract

from optout.errors import MalformedUrl, UnreadableInput
from optout.syntax.list_index import MAX_CUTS, cuts_of, url_entry
from optout.syntax.listing import Match
from optout.urls import origin_of


class Entry(NamedTuple):
    """What a line names, in its normal form."""

    match: Match
    text: str


class Fault(NamedTuple):
    """Why something on a line cannot be used."""

    reason: str


Found = Sequence[Entry | Fault]
Parser = Callable[[str], Found]

NOTHING: Found = ()
MAX_LINE = 65_536
"""The longest line, in bytes, that is looked at."""

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_-]*(?:\.[a-z0-9_][a-z0-9_-]*)+")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_DIGEST = re.compile(r"(?:sha-?256:)?([0-9a-f]{64})", re.IGNORECASE)
_DNSMASQ = re.compile(r"(?:local|address|server)=/(.+)/[^/]*")
_NO_FILTER = Fault("no filter of the kind ||name^")
_OPTIONS = frozenset({"", "all", "document", "important", "doc"})
_OF_THIS_MACHINE = frozenset({"localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0"})  # noqa: S104


def plain(line: str) -> Found:
    """A line with one domain, URL, address or digest."""
    text = line.partition("#")[0].strip() if "#" in line else line.strip()
    if not text or text.startswith((";", "!")):
        return NOTHING
    return (_site(text),)


def hosts(line: str) -> Found:
    """A line of a hosts file: an address and the names that are sent there."""
    words = line.partition("#")[0].split()
    if not words:
        return NOTHING
    if not _is_address(words[0]):
        return (Fault("no address at its beginning"),)
    return tuple(_named(name, Match.HOST) for name in words[1:] if not _is_of_this_machine(name.lower()))


def _is_of_this_machine(name: str) -> bool:
    return name in _OF_THIS_MACHINE or name.startswith("ip6-")


def dnsmasq(line: str) -> Found:
    """A line of a dnsmasq configuration that answers for domains."""
    text = line.partition("#")[0].strip()
    if not text:
        return NOTHING
    found = _DNSMASQ.fullmatch(text)
    if found is None:
        return (Fault("no local=/name/, address=/name/ or server=/name/"),)
    return tuple(_named(name.strip("."), Match.DOMAIN) for name in found[1].split("/"))


def adblock(line: str) -> Found:
    """A filter that blocks a whole site or a part of it. Filters that do less, and exceptions, name no site."""
    text = line.strip()
    if not text or text.startswith(("!", "[", "# ")) or text == "#":
        return NOTHING
    pattern, _, options = text.partition("$")
    if not pattern.startswith("|") or "*" in pattern.removeprefix("||*."):
        return (_NO_FILTER,)
    if not _OPTIONS.issuperset(options.split(",")):
        return (Fault("its options narrow it to less than a site"),)
    site = pattern.lstrip("|").removesuffix("|").removesuffix("^")
    return (_NO_FILTER if "|" in site or "^" in site else _site(site),)


FORMS: dict[str, Parser] = {"plain": plain, "hosts": hosts, "dnsmasq": dnsmasq, "adblock": adblock, "ut1": plain}
"""The forms whose lines stand for themselves."""

CSV = "csv"
NAMES = (*FORMS, CSV)
"""The names of all forms."""

_COLUMNS = ("sha256", "sha-256", "hash", "url", "domain", "host", "hostname", "site", "website", "entry")

_HOST_COLUMNS = frozenset({"host", "hostname"})


def table(header: str) -> Parser | None:
    """The parser of a table whose first line this is; None where no column has a name that we know."""
    delimiter = max(",;\t", key=header.count)
    names = [name.strip().lower() for name in _cells(header, delimiter)]
    column = next((names.index(name) for name in _COLUMNS if name in names), None)
    if column is None:
        return None
    return lambda line: _row(_cells(line, delimiter), column, names[column])


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return [line]


def _row(cells: list[str], column: int, name: str) -> Found:
    if not any(cell.strip() for cell in cells):
        return NOTHING
    text = cells[column].strip() if column < len(cells) else ""
    if not text:
        return (Fault(f"nothing in the column {name}"),)
    found = _site(text)
    if name in _HOST_COLUMNS and isinstance(found, Entry) and found.match is Match.DOMAIN:
        return (Entry(Match.HOST, found.text),)
    return (found,)


def sniff(lines: Sequence[str], label: str) -> str:
    """The form of a file, by its first lines.

    Args:
        lines: the first lines of the file.
        label: what an error calls the file.

    Raises:
        UnreadableInput: no form fits.
    """
    telling = [line for line in lines if line.strip() and not line.lstrip().startswith(("#", "!", ";", "["))]
    usable = {name: _usable(FORMS[name], telling) for name in ("adblock", "dnsmasq", "hosts", "plain")}
    if telling and table(telling[0]) is not None:
        return CSV
    best = max(usable, key=lambda name: usable[name])
    if not usable[best]:
        message = f"{label} is in none of the forms {', '.join(NAMES)}"
        raise UnreadableInput(message, mend="look at its first lines, and choose with --form")
    return best


def _usable(parse: Parser, lines: Sequence[str]) -> int:
    return sum(any(isinstance(item, Entry) for item in parse(line)) for line in lines)


def _site(text: str) -> Entry | Fault:
    """A domain, a URL, an address or a digest."""
    if _is_plain(text):
        return _entry(text, Match.DOMAIN)
    digest = _DIGEST.fullmatch(text)
    if digest is not None:
        return Entry(Match.CONTENT, digest[1].lower())
    rest = text.partition("://")[2] or text
    if "/" in rest or "?" in rest or (":" in rest and not _is_address(rest)):
        return _url(text)
    return _named(rest.removeprefix("*").removeprefix("."), Match.HOST if "://" in text else Match.DOMAIN)


def _url(text: str) -> Entry | Fault:
    try:
        entry = url_entry(text if "://" in text else f"http://{text}")
    except MalformedUrl:
        return Fault("no usable host or URL")
    if cuts_of(entry) > MAX_CUTS:
        return Fault(f"a URL with more than {MAX_CUTS} parts")
    if not any(character in entry for character in "/?:"):
        return _named(origin_of(text if "://" in text else f"http://{text}").host, Match.HOST)
    return Entry(Match.URL, entry)


def _named(text: str, match: Match) -> Entry | Fault:
    """A host name in its normal form; an address has no subdomains."""
    name = text if _is_plain(text) else _normal(text)
    return Fault("no usable host name") if name is None else _entry(name, match)


def _is_plain(text: str) -> bool:
    """Whether a name is in its normal form already, as nearly all are."""
    return _PLAIN.fullmatch(text) is not None and len(text) <= 253


def _entry(name: str, match: Match) -> Entry | Fault:
    if ":" in name or name.rpartition(".")[2].isdigit():
        return Entry(Match.HOST, name) if _is_address(name) else Fault("no name of a site")
    if "." not in name:
        return Fault("no name of a site")
    # Under a public suffix anybody may have a site, so whoever lists one can only mean the host itself.
    return Entry(Match.HOST if match is Match.DOMAIN and name in _suffixes() else match, name)


def _normal(text: str) -> str | None:
    if any(character in text for character in "/?@\\ "):
        return None
    try:
        return origin_of(f"http://[{text}]" if text.count(":") > 1 and "[" not in text else f"http://{text}").host
    except MalformedUrl:
        return None


def _is_address(text: str) -> bool:
    return text.count(":") > 1 or _ADDRESS.fullmatch(text) is not None


@lru_cache(maxsize=1)
def _suffixes() -> frozenset[str]:
    return frozenset(TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True).tlds)
