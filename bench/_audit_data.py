"""What bench/audit.py judges: hosts with their signal files, and URLs on them, drawn from a seed.

Where the acceptance corpus lies beside the checkout, robots.txt, tdmrep.json and licences are real ones and the paths
are those of real URLs; elsewhere all of them are made, in the proportions that real ones have. A tenth of the hosts
each has TDMRep, Content-Usage and Content-Signal with paths, a twentieth an RSL licence.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from urllib.parse import urlsplit

from optout.acquisition import policy_files
from optout.acquisition.history import Store
from optout.engine import required_paths
from optout.model import Exchange
from optout.signals.rsl import DOCUMENT

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
SEED = 6
TODAY = date(2026, 11, 23)
SEEN = datetime(2026, 11, 1, tzinfo=UTC)
APART = timedelta(seconds=7)
"""Hosts are visited one after the other, so each has a date of its own."""
POLICY = "eu-gpai"
WORDS = ("news", "sport", "video", "archive", "tags", "images", "static", "script", "admin", "login", "page", "shop")
CRAWLERS = ("GPTBot", "CCBot", "Google-Extended", "ClaudeBot", "Bytespider", "PerplexityBot", "Applebot-Extended")
SCOPED = ("/", "/blog/", "/*.pdf$", "/news/*", "/images/", "/*/archive/", "/docs/api/")
OWN_PATHS = 0.15
TDMREP, USAGE, SIGNAL, LICENCE = 0.1, 0.1, 0.1, 0.05


@dataclass(frozen=True, slots=True)
class Host:
    """A host and its signal files; None for one that it does not have."""

    name: str
    robots: bytes
    tdmrep: bytes | None
    licence: bytes | None
    seen: datetime

    def exchanges(self, paths: tuple[str, ...]) -> list[Exchange]:
        """What a visit to the host sees."""
        origin = f"https://{self.name}"
        bodies = {"/robots.txt": self.robots, "/.well-known/tdmrep.json": self.tdmrep}
        found = [
            Exchange(origin + path, path, 200, (), body, fetched_at=self.seen)
            if (body := bodies.get(path)) is not None
            else Exchange(origin + path, path, 404, fetched_at=self.seen)
            for path in paths
        ]
        if self.licence is not None:
            found.append(Exchange(f"{origin}/license.xml", DOCUMENT, 200, (), self.licence, fetched_at=self.seen))
        return found


@dataclass(frozen=True, slots=True)
class Sources:
    """What hosts and URLs are drawn from."""

    robots: list[bytes]
    tdmreps: list[bytes]
    licences: list[bytes]
    paths: list[str]
    real: bool


def sources() -> Sources:
    """Real files and paths where they are at hand, made ones elsewhere."""
    return _real() if (CORPUS / "robots" / "robots.parquet").is_file() else _made(random.Random(SEED))


def _real() -> Sources:
    from pyarrow.parquet import read_table  # noqa: PLC0415

    bodies = read_table(CORPUS / "robots" / "robots.parquet", columns=["body"])["body"].to_pylist()
    urls = read_table(CORPUS / "urls" / "urls.parquet", columns=["url"])["url"].to_pylist()
    parts = [urlsplit(url) for url in urls[:50_000] if "[" not in url]
    paths = [part.path + (f"?{part.query}" if part.query else "") for part in parts]
    tdmreps = [path.read_bytes() for path in sorted((CORPUS / "tdm" / "tdmrep").glob("*.json"))]
    # A licence that names its own host speaks about no other; the made ones name paths.
    licences = [path.read_bytes() for path in sorted((CORPUS / "rsl").glob("*.xml"))]
    draw = random.Random(SEED)
    return Sources(bodies, tdmreps + _tdmreps(draw, 30), licences + _licences(draw, 30), paths, real=True)


def _made(draw: random.Random) -> Sources:
    paths = ["/".join(["", *draw.choices(WORDS, k=draw.randint(1, 5))]) for _ in range(20_000)]
    ends = ["", "/", ".html", ".pdf", "?id=7", "?utm_source=x&page=2", "/caf%c3%a9", "/b%C3%BCcher-2024", "/a%2Fb"]
    paths = [path + draw.choice(ends) + str(draw.randrange(1000)) for path in paths]
    return Sources([_robots(draw) for _ in range(5_000)], _tdmreps(draw, 30), _licences(draw, 30), paths, real=False)


def _robots(draw: random.Random) -> bytes:
    """Of ten files one allows all, one refuses some crawlers alone, and eight have rules, a few of them many."""
    kind = draw.random()
    rules = [] if kind < 0.2 else [_rule(draw) for _ in range(min(int(draw.paretovariate(0.8) * 4), 600))]
    lines = ["User-agent: *", *(rules or ["Disallow:"])]
    if kind > 0.1 and draw.random() < 0.4:
        lines += ["", *(f"User-agent: {name}" for name in draw.sample(CRAWLERS, 4)), "Disallow: /"]
    return "\n".join(lines).encode()


def _rule(draw: random.Random) -> str:
    folder, leaf = draw.choice(WORDS), f"{draw.choice(WORDS)}-{draw.randrange(300)}"
    wild = draw.choice((f"/*/{folder}/{leaf}", f"/{folder}/*.html$", f"/*?{folder}=", f"/*.{leaf}$", f"/{folder}$"))
    path = wild if draw.random() < 0.17 else f"/{folder}/{leaf}" if draw.random() < 0.7 else f"/{folder}/"
    return f"{draw.choices(('Disallow', 'Allow'), (6, 1))[0]}: {path}"


def _tdmreps(draw: random.Random, count: int) -> list[bytes]:
    return [
        json.dumps(
            [
                {"location": path, "tdm-reservation": draw.randint(0, 1)}
                for path in draw.sample(SCOPED, draw.randint(1, 5))
            ]
        ).encode()
        for _ in range(count)
    ]


def _licences(draw: random.Random, count: int) -> list[bytes]:
    head = '<rsl xmlns="https://rslstandard.org/rsl">'
    kind = '<license><{0} type="usage">{1}</{0}></license>'
    made = []
    for _ in range(count):
        contents = (
            f'<content url="{path}">'
            f"{kind.format(draw.choice(('permits', 'prohibits')), draw.choice(('all', 'ai-train')))}"
            "</content>"
            for path in draw.sample(SCOPED, draw.randint(1, 4))
        )
        made.append(f"{head}{''.join(contents)}</rsl>".encode())
    return made


def hosts(found: Sources, count: int) -> list[Host]:
    """Hosts, each with a robots.txt of its own and some with further files."""
    draw = random.Random(SEED)
    made = []
    for number in range(count):
        name, robots, licence = f"www.site-{number}.example", draw.choice(found.robots), None
        tdmrep = draw.choice(found.tdmreps) if draw.random() < TDMREP else None
        added = []
        if draw.random() < USAGE:
            added += [f"Content-Usage: {path} train-ai={draw.choice('ny')}" for path in draw.sample(SCOPED, 3)]
        if draw.random() < SIGNAL:
            added += [
                f"Content-Signal: {path} ai-train={draw.choice(('no', 'yes'))}" for path in draw.sample(SCOPED, 2)
            ]
        group = ["", "User-agent: *", *added] if added else []
        if draw.random() < LICENCE:
            licence = draw.choice(found.licences)
            group.append(f"License: https://{name}/license.xml")
        made.append(
            Host(name, b"\n".join([robots, *(line.encode() for line in group)]), tdmrep, licence, SEEN + number * APART)
        )
    return made


def urls(found: Sources, sites: list[Host], count: int) -> list[str]:
    """URLs of hosts by Zipf's law, in random order; some with paths of the host's own rules."""
    draw = random.Random(SEED + 1)
    own = [_own_paths(site.robots) for site in sites]
    weights = list(accumulate(1 / rank for rank in range(1, len(sites) + 1)))
    made = []
    for host in draw.choices(range(len(sites)), cum_weights=weights, k=count):
        path = draw.choice(found.paths)
        if own[host] and draw.random() < OWN_PATHS:
            path = draw.choice(own[host]).replace("*", "x").rstrip("$") + draw.choice(("", "a", "/b", "?c=1"))
        made.append(f"https://{sites[host].name}{path if path.startswith('/') else '/' + path}")
    return made


def _own_paths(body: bytes) -> list[str]:
    """The paths that a file's own rules name."""
    rules = (line for line in body.splitlines() if line.lower().startswith((b"disallow:", b"allow:")))
    return [rule.split(b":", 1)[1].strip().decode("utf-8", "replace") for rule in rules]


def texts(found: Sources, count: int) -> list[str]:
    """Texts of fifty words that stand in paths, the same for no two rows."""
    draw = random.Random(SEED + 2)
    words = [word for path in found.paths[:5_000] for word in path.replace("-", "/").split("/") if word.isalpha()]
    return [" ".join(draw.choices(words, k=50)) for _ in range(count)]


def fill(folder: Path, sites: list[Host]) -> None:
    """Put what all hosts answer into a store."""
    paths = required_paths(policy_files.load(POLICY, as_of=TODAY))
    with Store.open(folder, create=True) as store:
        store.put(exchange for site in sites for exchange in site.exchanges(paths))
