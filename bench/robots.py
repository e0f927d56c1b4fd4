"""Reading and matching robots.txt: ours against Protego, urllib.robotparser and Google's matcher.

Use: python bench/robots.py [--quick]

Files are made from a seed. Where the acceptance corpus lies beside the checkout, real files are measured as well. All
programs do the same work in the same run, in interleaved rounds of CPU time, and the medians are compared. Google's
library reads the whole file for every question, so its figures are those of one question each.
"""

from __future__ import annotations

import gc
import json
import platform
import random
import sys
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice, permutations
from pathlib import Path
from statistics import median
from time import process_time
from urllib.robotparser import RobotFileParser

from protego import Protego

sys.path.insert(0, str(Path(__file__).parents[1]))

from optout.syntax import robots_txt
from optout.syntax.robots_txt import Rules
from optout.urls import match_target, origin_of
from tools.robots_differences import PEERS, Question, differences, google, ours

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "robots" / "robots.parquet"
TOKEN = "ExampleTrainBot"
WORDS = ("news", "sport", "video", "archive", "tags", "images", "static", "script", "admin", "login", "page", "shop")
WHOLE = 10_000_000
ATTACKS = ("twelve stars", "eight stars", "eight near misses")

Figures = dict[str, float]


def measure(jobs: dict[str, Callable[[], object]], rounds: int) -> Figures:
    """The median CPU seconds of each job over interleaved rounds."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            gc.collect()
            begun = process_time()
            job()
            taken[name].append(process_time() - begun)
    return {name: median(times) for name, times in taken.items()}


def repeat(job: Callable[[], object], times: int) -> Callable[[], None]:
    def all_of_them() -> None:
        for _ in range(times):
            job()

    return all_of_them


def made_file(rules: int, seed: int) -> str:
    """A file with one group, three in ten of whose rules have wildcards."""
    draw = random.Random(seed)
    lines = ["User-agent: *"]
    for number in range(rules):
        folder, leaf = draw.choice(WORDS), f"{draw.choice(WORDS)}-{number}"
        wild = (f"/*/{folder}/{leaf}", f"/{folder}/*{leaf}.html$", f"/*?{leaf}=", f"/{folder}/*/{leaf}/")[number % 4]
        path = wild if number % 10 < 3 else f"/{folder}/{draw.choice(WORDS)}/{leaf}"
        lines.append(f"{'Allow' if number % 7 == 0 else 'Disallow'}: {path}")
    return "\n".join(lines) + "\n"


def made_urls(rules: int, count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    pick = lambda: draw.choice(WORDS)  # noqa: E731
    return [
        f"https://example.com/{pick()}/{pick()}/{pick()}-{draw.randrange(rules * 2)}/{pick()}.html?{pick()}=1"
        for _ in range(count)
    ]


def read_ours(body: bytes) -> robots_txt.RobotsFile:
    return robots_txt.parse.__wrapped__(body, WHOLE)


def rules_of(body: bytes) -> Rules:
    return Rules(record for group in robots_txt.select(read_ours(body), TOKEN) for record in group.rules)


def read_urllib(text: str) -> RobotFileParser:
    parser = RobotFileParser()
    parser.parse(text.splitlines())
    return parser


def parsing(texts: list[str], times: int, rounds: int) -> Figures:
    """Seconds to read each text once."""
    bodies = [text.encode() for text in texts]
    jobs: dict[str, Callable[[], object]] = {
        "ours": lambda: [read_ours(body) for body in bodies],
        "ours, compiled": lambda: [rules_of(body) for body in bodies],
        "protego": lambda: [Protego.parse(text) for text in texts],
        "urllib": lambda: [read_urllib(text) for text in texts],
    }
    taken = measure({name: repeat(job, times) for name, job in jobs.items()}, rounds)
    return {name: seconds / times / len(texts) for name, seconds in taken.items()}


def matching(text: str, urls: list[str], rounds: int, few: int) -> Figures:
    """Seconds a question, the file being read already; for Google a question is a reading too."""
    rules, protego, urllib = rules_of(text.encode()), Protego.parse(text), read_urllib(text)
    urllib.modified()
    jobs: dict[str, Callable[[], object]] = {
        "ours": lambda: [rules.first(match_target(url)) for url in urls],
        "protego": lambda: [protego.can_fetch(url, TOKEN) for url in urls],
        "urllib": lambda: [urllib.can_fetch(TOKEN, url) for url in urls],
    }
    figures = {name: seconds / len(urls) for name, seconds in measure(jobs, rounds).items()}
    if "google" in PEERS:
        asked = measure({"google": lambda: [google(Question(text, TOKEN, url)) for url in urls[:few]]}, rounds)
        figures["google"] = asked["google"] / few
    return figures


def disagreements(text: str, urls: Iterable[str]) -> list[str]:
    """URLs of a made file on which a peer that follows the same rules answers unlike ours."""
    questions = [Question(text, TOKEN, url) for url in urls]
    return [question.url for question in questions for peer in PEERS.values() if peer(question) != ours(question)]


def hostile(rounds: int) -> dict[str, Figures]:
    """Seconds a question for files that are made to be slow, each beside a harmless one of the same size."""
    short, long = "/" + "a" * 59, "/" + "abcdefgh" * 250
    orders = list(islice(permutations("abcdefgh"), 2000))
    made = {
        "twelve stars": (short, [f"/*{'a*' * 12}b{at:05}" for at in range(2000)]),
        "twelve stars, harmless": (short, [f"/*{'c' * 24}b{at:05}" for at in range(2000)]),
        "eight stars": (long, [f"/{'*a' * 8}{at:05}" for at in range(2000)]),
        "eight stars, harmless": (long, [f"/*{'c' * 15}{at:05}" for at in range(2000)]),
        "eight near misses": (long, [f"/*{'*'.join(order)}*~" for order in orders]),
        "eight near misses, harmless": (long, [f"/*{''.join(order)}{'c' * 7}*~" for order in orders]),
    }
    jobs: dict[str, Callable[[], object]] = {}
    for name, (target, rules) in made.items():
        compiled = rules_of(("User-agent: *\n" + "".join(f"Disallow: {rule}\n" for rule in rules)).encode())
        jobs[name] = repeat(partial(compiled.first, target), 50)
    return {
        "match": {name: seconds / 50 for name, seconds in measure(jobs, rounds).items()},
        "100,000 agent lines": against_protego("".join(f"User-agent: b{at}\n" for at in range(100_000)) + "Allow: /\n"),
        "one line of 1 MB": against_protego("User-agent: *\nDisallow: /" + "a" * 1_000_000 + "\n"),
    }


def against_protego(text: str) -> Figures:
    return measure({"ours": lambda: rules_of(text.encode()), "protego": lambda: Protego.parse(text)}, 5)


def corpus(count: int) -> list[str]:
    """Real files where they are at hand."""
    if not CORPUS.is_file():
        return []
    from pyarrow.parquet import read_table  # noqa: PLC0415

    bodies = read_table(CORPUS, columns=["body"])["body"].to_pylist()
    return [body.decode("utf-8", "replace") for body in islice(bodies, 0, None, max(1, len(bodies) // count))]


def show(title: str, figures: Figures, unit: str, scale: float) -> None:
    base = figures["protego"]
    print(f"\n{title}")
    for name, seconds in figures.items():
        print(f"  {name:16}{seconds * scale:12.1f} {unit}   {base / seconds:8.1f} x Protego")


def main(quick: bool) -> int:  # noqa: FBT001
    rounds, count = (5, 300) if quick else (11, 3000)
    small, large = made_file(101, 1), made_file(5000, 2)
    small_urls, large_urls = made_urls(101, 1000, 3), made_urls(5000, 200 if quick else 1000, 4)
    figures: Figures = {}

    def keep(name: str, found: Figures, unit: str, scale: float) -> None:
        show(name, found, unit, scale)
        figures.update({f"{name}: {peer} ({unit})": round(seconds * scale, 3) for peer, seconds in found.items()})
        figures[f"{name}: x protego"] = round(found["protego"] / found["ours"], 2)

    print(f"Python {platform.python_version()}, {rounds} rounds; {len(small)} and {len(large)} bytes of rules")
    keep("read 101 rules", parsing([small], 20, rounds), "us", 1e6)
    keep("read 5,000 rules", parsing([large], 1, rounds), "ms", 1e3)
    keep("match 101 rules", matching(small, small_urls, rounds, 100), "us", 1e6)
    keep("match 5,000 rules", matching(large, large_urls, 3, 10), "us", 1e6)
    wrong = disagreements(small, small_urls[:200]) + disagreements(large, large_urls[:20])

    texts = corpus(count)
    if texts:
        keep(f"read real files (mean of {len(texts)})", parsing(texts, 1, 3), "us", 1e6)
        wrong += [
            each.question.url for text in texts[:: 10 if quick else 5] for each in differences(text) if not each.classes
        ]

    slow = hostile(rounds)
    for name in ("100,000 agent lines", "one line of 1 MB"):
        keep(name, slow[name], "ms", 1e3)
    for name in ATTACKS:
        seconds = slow["match"][name]
        ratio = figures[f"hostile: {name}: x harmless"] = round(seconds / slow["match"][f"{name}, harmless"], 2)
        figures[f"hostile: {name} (ms)"] = round(seconds * 1e3, 3)
        print(f"\n2,000 rules with {name}: {seconds * 1e3:.2f} ms, {ratio:.1f} x a harmless file of the same size")
    ordinary = small_urls[:200]
    urls = measure({"split": lambda: [(origin_of(url), match_target(url)) for url in ordinary]}, rounds)
    figures["origin and target of a URL (us)"] = round(urls["split"] / len(ordinary) * 1e6, 2)

    targets = {
        "reads at least as fast as Protego": figures["read 101 rules: x protego"] >= 1,
        "matches 101 rules at least as fast as Protego": figures["match 101 rules: x protego"] >= 1,
        "matches 5,000 rules in under 500 us": figures["match 5,000 rules: ours (us)"] < 500,
        **{f"{name} cost at most 20 x": figures[f"hostile: {name}: x harmless"] <= 20 for name in ATTACKS},
        "100,000 agent lines at least as fast as Protego": figures["100,000 agent lines: x protego"] >= 1,
        "origin and target of a URL in under 10 us": figures["origin and target of a URL (us)"] < 10,
        "no unexplained difference": not wrong,
    }
    print()
    for target, met in targets.items():
        print(f"{'met ' if met else 'MISSED'} {target}")
    for url in wrong[:10]:
        print("differs:", ascii(url))
    print(json.dumps({"figures": figures, "targets": targets, "ok": all(targets.values())}))
    return int(not all(targets.values()))


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv[1:]))
