"""Properties of the head reader: skipping loses nothing, it agrees with a full parser, and it never raises."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from optout.syntax import html_head
from optout.syntax.html_head import DEFAULT_WORDS, read_head
from optout.syntax.html_search import compile_words, openings
from optout.syntax.html_tokens import attributes, tokens, unescape
from optout.syntax.html_tree import Position

PIECES = (
    "<head>", "</head>", "<body>", "</body>", "<html lang=de>", "</html>", "<title>", "</title>",
    "<script>", "</script>", "<script ", "<script", "</script", "<script><!--", "<style>", "</style>",
    "<!--", "-->", "--!>", "<!-->", "<!", "<?", "</", "<", ">", '"', "'", "=", " ", "\n", "\r", "\f", "/",
    "-", "!", "text", "&nbsp;", "&#32;", "&lt;", "\0", "<meta name=robots content=noai>",
    '<meta content="noai" name="robots">', "<META NAME='a>b' CONTENT=x/>",
    "<meta name=a content=&#110;oai>", '<meta name="a" content="x&copy=1&copy;&amp&notit;">', "<meta ",
    "<meta\fname=f>", '<meta name=b content="', "<meta/name=sl/content=2>", "<meta =a name=q content=noai>",
    "<meta name=d name=e content=f>", "<meta name = n content = v >", '<meta name="x"content="y">',
    'content="no', 'ai">', "<metadata name=x content=y>", '<meta property="og:a" content="noai">',
    '<meta property="og:a" content="noai" name=robots>', "<meta name= content=1>",
    '<meta name=r content="&#x80;&#0;&#xD800;&#x110000;&#x41">',
    '<meta data-x="<meta >" name=robots content="noai">',
    "<link rel=license type=application/rsl+xml href=a>", '<link rel="stylesheet" href="rsl">',
    '<script src="x" type="rsl">', '<script src="rsl" async>',
    "<script type='rsl'>", "<template>", "</template>", "<noscript>", "</noscript>", "<div>", "</div>",
    "<p>", "</p>", "<br>", "</br>", "<x ", '<a href="', "<img src=x>", "<base href=x>", "<svg>", "</svg>",
    "<textarea>", "</textarea>", "<iframe>", "</iframe>", "<xmp>", "</xmp>", "<noframes>", "</noframes>",
    "<!doctype html>", "<![CDATA[", "]]>",
)  # fmt: skip
pages = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=24).map("".join)


def of_everything(body, content_type):
    """The same reading without skipping a tag."""
    page = html_head._open(html_head._Key(body, content_type, len(body)))
    reader = html_head._Reader(page, compile_words(DEFAULT_WORDS), openings(page.data))
    for token in tokens(page.data, page.start):
        reader.feed(token)
    return reader.head(())


@given(pages)
@example('<!-- <meta content="x --><meta data-x="a>b" name="robots" content="noai">')
@example('<meta property="og:a" content="b" name="robots" content="noai">')
def test_skipping_loses_nothing(page):
    body = page.encode("utf-8", "surrogatepass")
    found, everything = read_head(body, "text/html;charset=utf-8"), of_everything(body, "text/html;charset=utf-8")
    assert (found.metas, found.links, found.scripts) == (everything.metas, everything.links, everything.scripts)


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=40)))
def test_never_raises_and_offsets_lie_inside(body, content_type):
    head = read_head(body, content_type, words=frozenset((b"a", b"e")))
    for item in (*head.metas, *head.links, *head.scripts, *head.problems):
        assert 0 <= item.offset < len(body)


@given(pages, st.sampled_from(["utf-16-le", "utf-16-be"]))
def test_utf_16_gives_what_utf_8_gives(page, codec):
    plain = page.encode("utf-8", "replace")
    wide = "\ufeff".encode(codec) + plain.decode().encode(codec)
    ours, other = read_head(b"\xef\xbb\xbf" + plain), read_head(wide)
    assert [(meta.name, meta.content, meta.in_head) for meta in other.metas] == [
        (meta.name, meta.content, meta.in_head) for meta in ours.metas
    ]
    for meta in other.metas:
        assert wide[meta.offset :].decode(codec, "replace").lower().startswith("<meta")


@given(pages, st.sampled_from(["utf-8", "utf-16le", "utf-16be", "iso-2022-jp"]))
@example('<meta name="robots" data-x="a>b" content="noai">text', "utf-8")
@example('<meta name="robots" content="noai">text', "utf-16le")
@example("<script data-x='</script' type='rsl'>a<</SCRIPT >text", "utf-8")
def test_the_beginning_that_is_enough_reads_the_same(page, charset):
    body, content_type = page.encode(charset, "replace"), f"text/html;charset={charset}"
    whole = read_head(body, content_type)
    again = read_head(body[: whole.end], content_type)
    assert (again.metas, again.links, again.scripts) == (whole.metas, whole.links, whole.scripts)
    assert (again.base_href, again.end) == (whole.base_href, whole.end)


class WithoutScripting(Position):
    """The standard's reading of `<noscript>` alone, which is the parsers' that we compare with."""

    __slots__ = ()

    def _start(self, name, at):
        super()._start(name, at)
        self._noscript = False


def our_metas(text):
    body = text.encode("utf-8")
    position = WithoutScripting()
    for token in tokens(body, 0):
        position.text(body[token.gap : token.start], token.gap)
        if token.name:
            position.tag(token)
        if token.name == b"meta" and not token.closing and not position.hidden:
            found = attributes(body[token.start : token.end], 4)
            values = (unescape(found.get(key, b"").decode()).replace("\0", "\ufffd") for key in (b"name", b"content"))
            yield (*values, position.in_head)


def their_metas(text):
    lexbor = pytest.importorskip("selectolax.lexbor")
    for node in lexbor.LexborHTMLParser(text).css("meta"):
        above = node.parent
        while above is not None and above.tag not in {"head", "body", "template"}:
            above = above.parent
        if above is None or above.tag != "template":
            found = node.attributes
            yield found.get("name") or "", found.get("content") or "", above is not None and above.tag == "head"


# Not compared: framesets, in which the standard drops what we report as standing in the body; and raw text in a
# `<title>` or `<desc>` of SVG, where we read markup.
comparable = (
    st.lists(st.sampled_from([piece for piece in PIECES if "\r" not in piece]), max_size=16)
    .map("".join)
    .filter(lambda page: "<svg" not in page or not any(raw in page for raw in ("<title", "<noframes", "<template")))
    .filter(lambda page: "<noscript" not in page or not any(end in page for end in ("</body", "</html", "</br")))
)


@given(comparable)
@example("<head></head><noscript></noscript><meta name=a content=b>")
@example("<svg></p><meta name=a content=b>")
def test_agrees_with_a_full_parser(page):
    assert list(our_metas(page)) == list(their_metas(page))


@given(st.text(alphabet="&#x;=109afzmpcoyltgun ", max_size=20))
@example("&copy=1&copy;&copya&amp&notit;&#128;&#x0;&#99999999999;&#xD800;")
def test_references_are_resolved_as_a_full_parser_does_in_attributes(text):
    lexbor = pytest.importorskip("selectolax.lexbor")
    node = lexbor.LexborHTMLParser(f'<p title="{text}">').css_first("p")
    assert unescape(text) == (node.attributes["title"] or "")
