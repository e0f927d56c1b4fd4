"""Make the golden log of a release: python tests/golden/make.py NUMBER.

It has everything in it that a log can hold: segments of two nodes, a journal, an archive with revisits and failures, a
cosigned and timestamped checkpoint, an erased row and an erased URL, new keys, a proof and an export. Once made it is
never made again: it stays in the tests, and every later release must verify it.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

import evidence_samples as samples
from evidence_samples import ORIGIN, begin, decide, later, robots
from test_evidence_countersign import WITNESS, Authority, Server

from optout.evidence import bundle, redaction, rotation, trust, witness
from optout.evidence.countersign import countersign
from optout.evidence.find import by_url
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout
from optout.model import Exchange

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        made = make(Path(name))
        with tarfile.open(HERE / f"evidence-{sys.argv[1]}.tar.gz", "w:gz") as archive:
            for part in ("crawl", "proof.json", "export.json", "expected.json"):
                archive.add(made / part, arcname=part, filter=anonymous)


def anonymous(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
    item.uid = item.gid = 0
    item.uname = item.gname = ""
    return None if item.name.endswith(".lock") else item


def make(place: Path) -> Path:
    layout = Layout(samples.small(place / "crawl"))
    store = KeyStore(layout.private)
    first_keys = [key.text for key in trust.parse(layout.policy.read_bytes()).logs]
    authority = Authority(place / "authority")
    one = witness.Witness(place / "witness", WITNESS, trust.parse(layout.policy.read_bytes()).logs)
    server = Server(one, at=int(later(261).timestamp()))
    policy = layout.policy.read_text().replace(
        "quorum none", f"witness w1 {WITNESS.verifier.text} {server.url}\nquorum w1"
    )
    layout.policy.write_text(policy)
    result = countersign(layout, store, later(261), [authority.url])
    server.close()
    authority.close()
    if result.problems:
        sys.exit(f"the golden log needs its witness and its authority: {result.problems}")
    write(place / "proof.json", bundle.prove_url(layout, "https://site-2.example/p/0"))
    erase(layout, store, "https://site-1.example/p/0", "row", 300)
    erase(layout, store, "https://site-1.example/q/1", "url", 310)
    rotation.rotate(layout, store, ORIGIN, later(320))
    more(place / "crawl")
    write(place / "export.json", bundle.export(layout, "example,site-2)/"))
    write(place / "expected.json", {
        "first_keys": first_keys,
        "keys": [key.text for key in trust.parse(layout.policy.read_bytes()).logs],
        "checkpoint": layout.checkpoint.read_text(),
        "authority": authority.certificate.decode(),
        "rows": {"sealed": 28, "waiting": 3},
    })  # fmt: skip
    return place


def erase(layout: Layout, store: KeyStore, url: str, scope: str, at: float) -> None:
    chosen = [(found.file, found.at) for found in by_url(layout, url)]
    redaction.redact(layout, store, ORIGIN, chosen, scope=scope, basis="Art. 17(1)(b) GDPR", now=later(at))


def more(crawl: Path) -> None:
    """A further node: the same bytes again, a fetch that failed, and rows that are not sealed yet."""
    log = begin(crawl, node="n3", at=400)
    decide(log, 5, 5, at=401)
    failed = Exchange("https://gone.example/robots.txt", "/robots.txt", error="timeout", fetched_at=later(402))
    listed = log.write_set([failed, robots(6)])
    log.add({"v": 1, "kind": "decision", "t": 0, "url": "https://gone.example/", "effect": "deny", "exchanges": listed})
    log.checkpoint(later(403))
    decide(log, 7, 3, at=404)
    log.release()


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")))


if __name__ == "__main__":
    main()
