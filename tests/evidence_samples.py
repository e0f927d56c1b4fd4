"""Evidence for tests: exchanges, rows and whole directories, small and always the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from optout.evidence.ledger import EvidenceLog
from optout.evidence.rows import decision_row
from optout.model import Exchange

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ORIGIN = "evidence.example/crawl-decisions/2026"
POLICY, REGISTRY, AGENTS, IDENTITY = b"[policy]\n", b"[registry]\n", b"[agents]\n", b'{"token":"ExampleBot"}'


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def robots(site: int, body: bytes | None = None) -> Exchange:
    return Exchange(
        url=f"https://site-{site}.example/robots.txt",
        role="/robots.txt",
        status=200,
        headers=(("Content-Type", "text/plain"),),
        body=b"User-agent: *\nDisallow: /p/\n" if body is None else body,
        fetched_at=later(site),
        request_headers=(("User-Agent", "ExampleBot/1.2"),),
    )


def no_tdmrep(site: int) -> Exchange:
    url = f"https://site-{site}.example/.well-known/tdmrep.json"
    return Exchange(url=url, role="/.well-known/tdmrep.json", status=404, fetched_at=later(site + 0.5))


def begin(directory: Path, node: str = "n1", at: float = 0, rows_per_segment: int = 65_536) -> EvidenceLog:
    log = EvidenceLog(
        directory / "evidence", node=node, now=later(at), origin=ORIGIN, rows_per_segment=rows_per_segment
    )
    try:
        log.document("policy", [POLICY], later(at))
        log.document("registry", [REGISTRY, AGENTS], later(at))
        log.document("identity", [IDENTITY], later(at))
    except BaseException:
        log.release()
        raise
    return log


def decide(log: EvidenceLog, site: int, pages: int, at: float = 1) -> None:
    """Archive what a site says and log decisions on some of its pages."""
    digests = {
        "policy": log.document("policy", [POLICY], later(at)),
        "registry": log.document("registry", [REGISTRY, AGENTS], later(at)),
        "identity": log.document("identity", [IDENTITY], later(at)),
        "exchanges": log.write_set([robots(site), no_tdmrep(site)]),
    }
    for page in range(pages):
        deny = page % 3 == 0
        log.add(decision_row(
            url=f"https://site-{site}.example/{'p' if deny else 'q'}/{page}", decided_at=later(at + page / 1000),
            stage="request", agent="ExampleBot", purpose="ai-train", effect="deny" if deny else "permit",
            reason="robots.group.disallow" if deny else "silence",
            signals=[{"k": "robots", "state": "reserved", "value": "Disallow: /p/"}] if deny else [],
            coverage={"/robots.txt": "retrieved", "/.well-known/tdmrep.json": "unavailable"}, **digests,
        ))  # fmt: skip
    log.commit()


def small(directory: Path) -> Path:
    """Two nodes, three segments, two runs, everything sealed and signed; give the evidence directory."""
    log = begin(directory)
    decide(log, 1, 5)
    decide(log, 2, 4)
    log.tick(later(61))
    decide(log, 3, 6, at=70)
    log.close(later(140))
    log = begin(directory, node="n2", at=200)
    decide(log, 4, 7, at=201)
    log.close(later(260))
    return directory / "evidence"
