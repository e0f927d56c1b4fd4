"""Web sites as Hypothesis sees them: files made of the words that protocols use, well and badly."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from optout.model import RESOURCE, Exchange

ORIGIN = "https://example.com"
TOKENS = ["*", "ExampleBot", "GPTBot", "CCBot", "ClaudeBot", "Google-Extended", "GPTBot, ExampleBot"]
PATHS = ["/", "/a", "/a/", "/a/b", "/a*", "/*b", "/a/*/c", "/a$", "/*.gif$", "", "/%61", "a", "/a?x=1"]
PREFERENCES = ["train-ai=n", "train-ai=y", "ai-use=n, search=y", "Train-AI=n", "", "bots=n", "search=n;x=y"]
SIGNALS = ["ai-train=no", "search=yes, ai-train=no", "ai-train=yes", "use=immediate", "ai-input = NO"]
DIRECTIVES = ["noai", "noindex", "ExampleBot: noai", "max-snippet:0, noai", "otherbot: noai", "noml", "all"]

agent_lines = st.sampled_from(TOKENS).map("User-agent: {}".format)
misspelt_lines = st.builds(
    "{} {}".format, st.sampled_from(["User agent:", "Useragent:", "User-agent"]), st.sampled_from(TOKENS)
)
rule_lines = st.builds(
    "{}: {}".format, st.sampled_from(["Disallow", "Allow", "disallow ", "ALLOW"]), st.sampled_from(PATHS)
)
usage_lines = st.builds(
    "Content-Usage: {}{}".format, st.sampled_from(["", "/a ", "/a/ "]), st.sampled_from(PREFERENCES)
)
signal_lines = st.builds("Content-Signal: {}{}".format, st.sampled_from(["", "/a ", "/a/ "]), st.sampled_from(SIGNALS))
other_lines = st.sampled_from(
    [
        "",
        "# comment",
        "# We reserve our content for text and data mining.",
        "Crawl-delay: 1",
        "Sitemap: /s.xml",
        "nonsense",
        "DisallowAITraining: /",
    ]
)
robots_bodies = st.lists(st.one_of(agent_lines, rule_lines, usage_lines, signal_lines, other_lines), max_size=14).map(
    lambda lines: "\n".join(lines).encode()
)

tdmrep_rules = st.fixed_dictionaries(
    {"location": st.sampled_from(PATHS), "tdm-reservation": st.sampled_from([0, 1, "1", "0", None, 2])}
)
tdmrep_bodies = st.one_of(st.lists(tdmrep_rules, max_size=4), tdmrep_rules).map(
    lambda value: json.dumps(value).encode()
)

headers = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["X-Robots-Tag", "x-robots-tag"]), st.sampled_from(DIRECTIVES)),
        st.tuples(st.just("TDM-Reservation"), st.sampled_from(["0", "1", "yes"])),
        st.tuples(st.just("Content-Usage"), st.sampled_from(PREFERENCES)),
    ),
    max_size=3,
).map(tuple)
metas = st.lists(
    st.one_of(
        st.sampled_from(DIRECTIVES).map('<meta name="robots" content="{}">'.format),
        st.sampled_from(["0", "1", "x"]).map('<meta name="tdm-reservation" content="{}">'.format),
    ),
    max_size=2,
).map(lambda found: ("<html><head>" + "".join(found) + "</head><body>x</body></html>").encode())
outcomes = st.one_of(
    st.just((200, None)), st.sampled_from([(404, None), (503, None), (403, None), (429, None), (None, "timeout")])
)
targets = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/x.gif", "/%61", "/a?x=1", "/b"])


def file(role: str, bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[Exchange]:
    return st.builds(
        lambda body, outcome: Exchange(ORIGIN + role, role, status=outcome[0], error=outcome[1], body=body),
        bodies,
        outcomes,
    )


origins = st.tuples(
    file("/robots.txt", robots_bodies),
    file("/.well-known/tdmrep.json", tdmrep_bodies),
    file("/ai.txt", robots_bodies),
)
urls = targets.map(ORIGIN.__add__)


def page(url: str) -> st.SearchStrategy[Exchange]:
    return st.builds(
        lambda status, fields, body: Exchange(
            url, RESOURCE, status=status, headers=(("Content-Type", "text/html"), *fields), body=body
        ),
        st.sampled_from([200, 200, 200, 402, 403, 404]),
        headers,
        metas,
    )
