"""Finding reservations in a page's head: ours against BeautifulSoup, lxml and lexbor.

Use: python bench/head.py [--quick]

Pages are made from a seed; a third of them carry a reservation, some late in a large head, some where it does not
count. Where the acceptance corpus lies beside the checkout, real page heads are measured as well. All programs answer
the same question in the same run, in interleaved rounds of CPU time, and the medians are compared: which `<meta>`
elements of the document hold one of the words?

Ours is measured as it runs, with a page that it has not seen before each time, and as the second protocol on the same
page. lexbor is measured on the whole page, and on what stands before `</head>`, which misses what stands elsewhere.
"""

from __future__ import annotations

import gc
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, median
from time import process_time
from typing import Any

from bs4 import BeautifulSoup
from lxml import html as lxml_html
from selectolax.lexbor import LexborHTMLParser

sys.path.insert(0, str(Path(__file__).parents[1]))

from optout.syntax.html_head import DEFAULT_WORDS, read_head

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "html_heads" / "pages.parquet"
CONTENT_TYPE = "text/html; charset=utf-8"
WORDS = tuple(word.decode() for word in sorted(DEFAULT_WORDS))
OTHERS = ("al:", "article:", "description", "fb:", "generator", "keywords", "msapplication-", "news_keywords", "og:")
OTHERS += ("theme-color", "twitter:", "viewport")
TEXT = (
    "the report of a committee on water in the valley was read before council and members asked for more time to "
    "consider what had been said about its cost"
)
WORDS_OF_TEXT = TEXT.split()
RESERVATIONS = (
    '<meta name="robots" content="noai, noimageai">',
    '<meta content="1" name="tdm-reservation"/>',
    "<meta name='googlebot' content='max-snippet: 0'>",
    "<META NAME=ROBOTS CONTENT=NOARCHIVE>",
    '<meta name="robots" content="no&#97;i">',
)
HIDDEN = ('<!-- <meta name="robots" content="noai"> -->', "<script>x('<meta name=robots content=noai>')</script>")

Answer = frozenset[tuple[str, str]]
Reader = Callable[[bytes], Answer]


def sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS_OF_TEXT) for _ in range(words))


def made_head(draw: random.Random) -> Iterator[str]:
    """The elements of a usual head, scripts and all."""
    for name in ("viewport", "description", "author", "generator", "theme-color", "msapplication-TileColor"):
        yield f'<meta name="{name}" content="{sentence(draw, draw.randrange(1, 20))}">'
    yield '<meta name="robots" content="index, follow, max-image-preview:large, max-snippet:-1">'
    for name in ("title", "type", "url", "image", "description", "site_name", "locale"):
        yield f'<meta property="og:{name}" content="{sentence(draw, draw.randrange(1, 20))}" />'
    for name in ("card", "site", "title", "image"):
        yield f'<meta name="twitter:{name}" content="{sentence(draw, 6)}">'
    for number in range(draw.randrange(4, 24)):
        yield f'<link rel="stylesheet" href="/assets/css/{number}-{draw.randrange(10**8)}.css" media="all">'
        yield f'<link rel="alternate" hreflang="x{number}" href="https://example.com/{number}/page">'
    for _ in range(draw.randrange(3, 20)):
        code = f"if (a < {draw.randrange(99)} && b) {{ load('{sentence(draw, 8)}') }};\n" * draw.randrange(1, 90)
        yield f"<script>{code}</script>" if draw.random() < 0.5 else '<script src="/js/app.js" async></script>'
    yield f"<style>{'.a > .b { display: none }' * draw.randrange(1, 200)}</style>"


def made_page(seed: int) -> bytes:
    """A page; a third of its bytes are head. Half of the pages are below 70 KB and the mean is above 100 KB."""
    draw = random.Random(seed)
    head = list(made_head(draw))
    if seed % 3 == 0:
        head.insert(draw.randrange(len(head) + 1), RESERVATIONS[seed // 3 % len(RESERVATIONS)])
    if seed % 5 == 0:
        head.insert(draw.randrange(len(head) + 1), HIDDEN[seed // 5 % len(HIDDEN)])
    body = "\n".join(
        f'<div class="c{n}"><p>{sentence(draw, 20)} <a href="/p/{n}">{sentence(draw, 3)}</a></p></div>'
        for n in range(int(60 * 2 ** (draw.random() * 4.6)))
    )
    head_text = "\n".join(head)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{sentence(draw, 6)}</title>\n'
        f"{head_text}\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    ).encode()


def counted(found: Iterator[tuple[str, str]]) -> Answer:
    """Those elements that hold a word and are not for display, with white space made one."""
    chosen = set()
    for name, content in found:
        flat = (" ".join(name.lower().split()), " ".join(content.split()))
        if flat[0] and not flat[0].startswith(OTHERS):
            loose = "\n".join(flat).lower().replace(": ", ":")
            if any(word in loose for word in WORDS):
                chosen.add(flat)
    return frozenset(chosen)


def ours(page: bytes) -> Answer:
    found = read_head(page, CONTENT_TYPE).metas
    return frozenset((" ".join(meta.name.split()), " ".join(meta.content.split())) for meta in found)


def by_soup(parser: str) -> Reader:
    def read(page: bytes) -> Answer:
        elements: Any = BeautifulSoup(page, parser, from_encoding="utf-8").find_all("meta")
        return counted(
            (element[key], element.get("content") or "")
            for element in elements
            for key in ("name", "property", "http-equiv")
            if element.get(key)
        )

    return read


def by_lxml(page: bytes) -> Answer:
    parser = lxml_html.HTMLParser(encoding="utf-8")
    elements = lxml_html.document_fromstring(page, parser=parser).iter("meta")
    return counted(
        (element.get(key) or "", element.get("content") or "")
        for element in elements
        for key in ("name", "property", "http-equiv")
    )


def by_lexbor(page: bytes) -> Answer:
    elements = [element.attributes for element in LexborHTMLParser(page).css("meta")]
    return counted(
        (element.get(key) or "", element.get("content") or "")
        for element in elements
        for key in ("name", "property", "http-equiv")
    )


def by_lexbor_on_the_head(page: bytes) -> Answer:
    end = page.find(b"</head")
    return by_lexbor(page if end < 0 else page[:end])


PEERS: dict[str, Reader] = {
    "bs4_html_parser": by_soup("html.parser"),
    "bs4_lxml": by_soup("lxml"),
    "lxml": by_lxml,
    "lexbor": by_lexbor,
    "lexbor_head": by_lexbor_on_the_head,
}


def fresh(pages: list[bytes]) -> list[bytes]:
    """The same pages as new objects: ours keeps the last page it saw, by identity."""
    return [bytes(bytearray(page)) for page in pages]


def measure(pages: list[bytes], readers: dict[str, Reader], rounds: int) -> dict[str, float]:
    """The median of each reader's mean CPU time, in microseconds a page."""
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, reader in readers.items():
            batch = fresh(pages)
            gc.collect()
            begun = process_time()
            for page in batch:
                reader(page)
            taken[name].append((process_time() - begun) / len(pages) * 1e6)
    return {name: median(times) for name, times in taken.items()}


def other_protocol(page: bytes) -> Answer:
    """What each further protocol costs on a page: ours for its words, less the first."""
    read_head(page, CONTENT_TYPE)
    read_head(page, CONTENT_TYPE, words=frozenset((b"tdm",)))
    return frozenset()


def disagreements(pages: list[bytes], names: tuple[str, ...]) -> list[str]:
    """Which peers answer otherwise than ours, and on which page."""
    return [
        f"{name} on page {number}: {sorted(PEERS[name](page) ^ ours(page))[:3]}"
        for number, page in enumerate(pages)
        for name in names
        if PEERS[name](page) != ours(page)
    ]


def real_pages() -> list[bytes]:
    """Real page heads where they are to hand; the first 48 KiB each."""
    if not CORPUS.exists():
        return []
    from pyarrow import parquet  # noqa: PLC0415 - only where there is something to read

    return parquet.read_table(CORPUS)["html_head"].to_pylist()


def table(title: str, pages: list[bytes], figures: dict[str, float]) -> None:
    print(f"\n{title}: {len(pages)} pages, mean {mean(map(len, pages)):,.0f} bytes")
    for name, value in figures.items():
        print(f"  {name:20} {value:10.1f} us a page   {value / figures['ours']:8.1f} x ours")


def main() -> int:
    quick = "--quick" in sys.argv
    rounds = 3 if quick else 9
    made = [made_page(seed) for seed in range(40 if quick else 120)]
    faults = disagreements(made, tuple(PEERS))
    whole = measure(made, {"ours": ours} | PEERS, rounds)
    table("made pages, whole", made, whole)
    further = measure(made, {"ours": ours, "two": other_protocol}, rounds)
    figures = {f"made_{name}_us": value for name, value in whole.items()}
    figures["further_protocol_us"] = further["two"] - further["ours"]
    if real := real_pages()[:: 3 if quick else 1]:
        faults += disagreements(real, ("lexbor",))
        silent = [page for page in real if not ours(page)]
        for title, pages in (("real", real), ("silent", silent)):
            readers = {"ours": ours, "lexbor": by_lexbor, "lxml": by_lxml}
            found = measure(pages, readers, rounds)
            table(f"real heads, {title}", pages, found)
            figures |= {f"{title}_{name}_us": value for name, value in found.items()}
    targets = {
        "bs4_ratio": (whole["bs4_html_parser"] / whole["ours"], 50.0),
        "lexbor_ratio": (whole["lexbor"] / whole["ours"], 3.0),
    }
    for fault in faults:
        print("DIFFERENT ANSWER:", fault)
    good = not faults and all(value >= target for value, target in targets.values())
    print(json.dumps({
        **{name: round(value, 2) for name, value in figures.items()},
        **{name: round(value, 2) for name, (value, _) in targets.items()},
        "targets": {name: target for name, (_, target) in targets.items()},
        "different_answers": len(faults),
        "ok": good,
    }))  # fmt: skip
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
