"""The evidence of an audit: what it was asked, what it read, and what it made of that, in `OUT/evidence/`.

The log is the one that crawls write, with entries of its own kinds. The process that hands out the work writes it,
while the shards come in. It needs no journal: a shard that was made and not logged yet is found again by whoever runs
the audit the next time, and an entry that the log has is not written twice.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from optout.acquisition import policy_files
from optout.acquisition.history import Store
from optout.audit.job import RETROACTIVE
from optout.audit.store_digest import digest_of_states
from optout.evidence import entries
from optout.evidence.entries import AUDIT, AUDIT_REPORT, SHARD
from optout.evidence.files import write_durably
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout, read_description
from optout.evidence.ledger import described
from optout.evidence.publisher import Publisher, pending
from optout.evidence.redaction import finish
from optout.evidence.rows import microseconds
from optout.evidence.sealing import put_pending

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Self

    from optout.audit.job import Input, Job
    from optout.audit.shard import Manifest

_NOTHING = {
    "rows": 0, "kept": 0, "content": 0, "decisions": "", "decisions_sha256": "", "kept_file": "", "kept_sha256": "",
    "unreadable": "the file is cut otherwise",
}  # fmt: skip
"""What an entry says about a shard that is no more."""

_LAST_LOOKS = 8
"""How often the writer looks again for what was left while it signed."""

_LONGEST = 2_000
"""Characters of a message that an entry holds; an entry has at most 65,535 bytes."""


class AuditLog:
    """The writing end. Where another process writes the log, entries are left for that one."""

    def __init__(self, home: Path, job: Job, digest: str, now: datetime) -> None:
        """Open or begin the log of an output folder, and log what the audit was asked.

        Args:
            home: the folder that it lies in, as `optout.audit.log_home.home_of` tells.
            job: what is asked.
            digest: of the job.
            now: the time.

        Raises:
            EvidenceError: the disk refuses, or the log is damaged.
            PolicyError: a policy cannot be read.
            StoreError: the store cannot be read.
        """
        self._digest = digest
        self._layout, self._now = Layout(home / "evidence"), now
        new = read_description(self._layout) is None
        name = f"evidence.invalid/audit-decisions/{now.year}/{secrets.token_hex(6)}" if new else None
        store = KeyStore(self._layout.private)
        self._publisher = Publisher(self._layout, store, described(self._layout, name, None, now).origin)
        with ExitStack() as undo:
            undo.callback(self._publisher.close)
            if self._publisher.acquire():
                finish(self._layout, store, self._publisher.index.redactions)
            self._put(f"audit-{digest[:16]}", self._asked(job))
            undo.pop_all()

    def __enter__(self) -> Self:
        """Give the log itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Sign what has been logged, whatever else went wrong, and what others have left in the meantime."""
        seconds = int(self._now.timestamp())
        try:
            self._publisher.publish(seconds, due_only=False)
            for _ in range(_LAST_LOOKS):
                # Whoever found the log taken while we signed has left its entries and gone.
                self._publisher.close()
                if not any(pending(self._layout)) or not self._publisher.acquire():
                    break
                self._publisher.take_up()
                self._publisher.sign(seconds)
        finally:
            self._publisher.close()

    def add(self, manifest: Manifest, item: Input, now: datetime) -> None:
        """Log what was made of an input, unless the log has it, and sign when it is due.

        Raises:
            EvidenceError: the disk refuses.
        """
        self._now = now
        self._shard(_shard(manifest, item))
        self._publisher.publish(int(now.timestamp()), due_only=True)

    def drop_others(self, files: Sequence[Input]) -> None:
        """Log that the shards are gone that are not of these files; see `optout.audit.parts.clear`."""
        shards = {item.shard for item in files}
        known = [entry for (kind, _), entry in self._publisher.index.newest.items() if kind == SHARD]
        for entry in known:
            if entry["shard"] not in shards and entry["decisions"]:
                self._shard(entry | _NOTHING)

    def report(self, rows: int, kept: int, digest: str, now: datetime) -> None:
        """Log the report of an audit that came to its end, by the SHA-256 of its file."""
        self._now = now
        said = {"v": AUDIT_REPORT, "job": self._digest, "rows": rows, "kept": kept, "report_sha256": digest}
        self._put(f"report-{self._digest[:16]}", said | self._time)

    @property
    def _time(self) -> dict[str, int]:
        return {"t": microseconds(self._now)}

    def _shard(self, entry: dict[str, Any]) -> None:
        self._put(f"shard-{sha256(entry['shard'].encode()).hexdigest()[:32]}", entry | self._time)

    def _put(self, name: str, entry: dict[str, Any]) -> None:
        if self._publisher.acquire():
            self._publisher.append(entry)
        else:
            put_pending(self._layout, name, entry)

    def _document(self, kind: str, parts: Sequence[bytes], digest: str | None = None) -> str:
        """Log a file that is in force, and keep it."""
        names = [sha256(part).hexdigest() for part in parts]
        for name, part in zip(names, parts, strict=True):
            if not (self._layout.documents / name).exists():
                write_durably(self._layout.documents / name, part)
        found = digest or names[0]
        self._put(f"document-{kind}-{found[:16]}", entries.document(kind, found, names, microseconds(self._now)))
        return found

    def _asked(self, job: Job) -> dict[str, Any]:
        """The entry that says what was asked, after the documents that it names."""
        readings = job.readings()
        own = readings[0].policy
        policy, registry, agents = policy_files.texts(job.policy)
        identity = orjson.dumps({"product_token": job.token, "user_agent": job.token}, option=orjson.OPT_INDENT_2)
        lists = orjson.dumps([one.json() for one in job.in_force().descriptions], option=orjson.OPT_INDENT_2)
        for name, reading in zip(job.what_if, readings[1:], strict=True):
            if name != RETROACTIVE:
                self._document(f"policy if {reading.name}", policy_files.texts(name)[:1])
        with Store.open(job.store) as store:
            states = digest_of_states(store)
        return {
            "v": AUDIT, "job": self._digest,
            "policy": self._document("policy", [policy], own.digest),
            "registry": self._document("registry", [registry, agents], own.registry_digest),
            "identity": self._document("identity", [identity + b"\n"]),
            "agent": job.token, "as_of": str(job.as_of.text), "retroactive": job.retroactive, "today": str(job.today),
            "columns": _columns(job),
            "compared": [
                {"name": one.name, "policy": one.policy.digest, "retroactive": one.retroactive} for one in readings[1:]
            ],
            "lists": [self._document("lists", [lists + b"\n"])] if job.lists is not None else [],
            "store": states.json(),
            **self._time,
        }  # fmt: skip


def _columns(job: Job) -> dict[str, Any]:
    names = ("url", "html", "headers", "date", "tokens", "language")
    return {name: getattr(job.columns, name) for name in names}


def _shard(manifest: Manifest, item: Input) -> dict[str, Any]:
    """What an entry says about a shard, but for the time."""
    outputs = dict(manifest.outputs or {})
    decisions = next((name for name in outputs if name.startswith("decisions/")), "")
    kept = next((name for name in outputs if name.startswith("kept/")), "")
    return {
        "v": SHARD, "shard": item.shard, "job": manifest.job, "file": item.file, "start": manifest.start,
        "length": manifest.length, "input_sha256": manifest.sha256, "rows": manifest.rows, "kept": manifest.kept,
        "content": manifest.content, "faults": manifest.faults, "unreadable": (manifest.unreadable or "")[:_LONGEST],
        "decisions": decisions, "decisions_sha256": outputs.get(decisions, ""),
        "kept_file": kept, "kept_sha256": outputs.get(kept, ""),
    }  # fmt: skip
