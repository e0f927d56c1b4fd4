"""Proof that what a complaint is about is gone: what was looked through afterwards, and what had been found before.

An audit that is run again tells in its manifests the SHA-256 of every file that it wrote; each is hashed again here,
so that decisions that say *not kept* belong to the very files that the dataset now consists of. Of a crawl every
archived page is read. What cannot be looked through, because it has been deleted as a whole, is declared by whoever
proves the removal, and stands there as declared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from fastwarc.warc import ArchiveIterator, WarcRecordType

from optout.errors import EvidenceError
from optout.evidence.files import file_hash
from optout.evidence.layout import find, read_description
from optout.evidence.warc import index_path, read_index
from policies.complaint_search import DATASET, PAGE, Finder, Hit, in_audit
from policies.complaints import ComplaintError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from policies.complaint_record import Record


class File(NamedTuple):
    """A file, by its directory's name and its place there, and how many items it holds."""

    name: str
    digest: str
    items: int

    @property
    def said(self) -> Mapping[str, Any]:
        """It as a step says it."""
        return {"file": self.name, "sha256": self.digest, "items": self.items}


@dataclass(frozen=True, slots=True)
class Removal:
    """What was looked through for what should be gone.

    Attributes:
        files: everything that was read.
        left: how many items are still there.
        first: the first of them; None where nothing is left.
        gone: how many items earlier searches had found as kept.
        gone_digest: SHA-256 of the removal list of them.
        before: the files in which they were.
        uncovered: where items were that nothing of what was looked through answers for.
        deleted: what is declared to have been deleted as a whole.
        emptied: crawls that keep no page any more.
    """

    files: tuple[File, ...]
    left: int
    first: Hit | None
    gone: int
    gone_digest: str
    before: tuple[Mapping[str, Any], ...]
    uncovered: tuple[str, ...]
    deleted: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()

    def check(self, number: int) -> None:
        """Refuse what proves nothing.

        Raises:
            ComplaintError: something is left, or was not looked for.
        """
        if not (self.files or self.emptied or self.deleted):
            raise ComplaintError("nothing was looked through", mend="name --evidence DIR or --audit OUT")
        if self.first is not None:
            raise ComplaintError(
                f"{self.left:,} items of complaint {number} are still there",
                place=f"{self.first.source}, {self.first.url[:200]}", mend="remove them, then prove it again",
            )  # fmt: skip
        if self.uncovered:
            raise ComplaintError(
                f"items of complaint {number} were found where nobody has looked again",
                place=", ".join(self.uncovered[:5]),
                mend="name its new audit or its crawl, or declare with --deleted NAME that it is gone as a whole",
            )

    @property
    def said(self) -> Mapping[str, Any]:
        """What the step says of it."""
        said: dict[str, Any] = {
            "looked_through": [file.said for file in self.files], "left": 0,
            "gone": {"items": self.gone, "sha256": self.gone_digest}, "before": list(self.before),
        }  # fmt: skip
        said |= {"emptied": list(self.emptied)} if self.emptied else {}
        return said | ({"declared_deleted": list(self.deleted)} if self.deleted else {})


def removal_line(number: int, hit: Hit) -> str:
    """A line of the removal list: rows of logs are the proof of what was done, and stay."""
    said = {
        "complaint": number, "place": hit.place, "source": hit.source, "item": hit.item, "url": hit.url,
        "subject": list(hit.subject),
    }  # fmt: skip
    return json.dumps(said, sort_keys=True) + "\n"


def look_again(
    record: Record, found: Iterable[Hit], crawls: Sequence[Path], audits: Sequence[Path], deleted: Sequence[str] = ()
) -> Removal:
    """Read every kept page and every decision on a row, and tell what of the subjects is among them.

    Args:
        record: the complaint.
        found: what its newest search has found.
        crawls: crawl directories; every WARC file in their `pages/` is read, whatever an index says.
        audits: audits that were run after the removal.
        deleted: logs, audits and input files that are declared to be gone as a whole.

    Raises:
        ComplaintError: a directory holds neither pages nor an audit, a file is not the one that the audit wrote, or an
            archive cannot be read to its end.
    """
    finder = Finder(record.complaint.subjects)
    answered, files = set(deleted), list[File]()
    left, first, emptied = 0, None, list[str]()
    for directory in crawls:
        answered.add(_log_name(directory))
        archives = _archives(directory)
        emptied += [] if archives else [directory.name]
        for path in archives:
            count, hits = _pages(finder, path)
            files.append(File(f"{directory.name}/pages/{path.name}", _digest(path), count))
            left, first = left + len(hits), first or next(iter(hits), None)
    for directory in audits:
        for manifest in _manifests(directory):
            answered.add(manifest["file"])
            files += _written(directory, manifest)
        for hit in in_audit(finder, {}, directory):
            left, first = left + hit.kept, first or (hit if hit.kept else None)
    gone, digest, uncovered = _before(record.number, found, answered)
    searches = [step.said for step in record.steps if step.what == "searched"]
    before = tuple(searches[-1].get("kept_files", ())) if searches else ()
    return Removal(tuple(files), left, first, gone, digest, before, uncovered, tuple(deleted), tuple(emptied))


def _before(number: int, found: Iterable[Hit], answered: set[str]) -> tuple[int, str, tuple[str, ...]]:
    """How many items had been kept, the digest of their list, and the places that nobody answers for."""
    count, digest, uncovered = 0, sha256(), dict[str, None]()
    for hit in found:
        if hit.kept:
            count += 1
            digest.update(removal_line(number, hit).encode())
            place = hit.item.rpartition(" ")[0] if hit.place == DATASET else hit.source
            if not {place, hit.source} & answered:
                uncovered[place] = None
    return count, digest.hexdigest(), tuple(uncovered)


def kept_files(hits: Iterable[Hit], crawls: Sequence[Path], audits: Sequence[Path]) -> list[Mapping[str, Any]]:
    """The files that hold what a search has found as kept, each with the SHA-256 that it has now.

    Raises:
        ComplaintError: a file or an audit's manifest cannot be read.
    """
    kept = [hit for hit in hits if hit.kept]
    rows = {(hit.source, hit.item.rpartition(" ")[0]) for hit in kept if hit.place == DATASET}
    urls = {hit.url for hit in kept if hit.place != DATASET}
    found: list[File] = []
    for directory in crawls:
        found += [File(f"{directory.name}/pages/{path.name}", _digest(path), count)
                  for path in (_archives(directory) if (directory / "pages").is_dir() else ())
                  if (count := _indexed(path, urls))]  # fmt: skip
    for directory in audits:
        for manifest in _manifests(directory) if directory.name in {source for source, _ in rows} else ():
            if (directory.name, manifest["file"]) in rows:
                found += _kept_parts(directory, manifest)
    return [file.said for file in found]


def _kept_parts(directory: Path, manifest: Mapping[str, Any]) -> Iterator[File]:
    names = sorted(name for name in manifest["outputs"] if name.startswith("kept/"))
    yield from (File(f"{directory.name}/{name}", _digest(directory / name), manifest["kept"]) for name in names)


def files_of(crawls: Iterable[Path], audits: Iterable[Path]) -> Iterator[File]:
    """The files of crawls and audits that a removal is proven by, as they are now.

    Raises:
        ComplaintError: a directory holds neither.
    """
    for directory in crawls:
        for path in _archives(directory):
            yield File(f"{directory.name}/pages/{path.name}", _digest(path), 0)
    for directory in audits:
        for manifest in _manifests(directory):
            for name in sorted(manifest["outputs"]):
                yield File(f"{directory.name}/{name}", _digest(directory / name), 0)


def _indexed(path: Path, urls: set[str]) -> int:
    """How many pages of an archive have one of these URLs, as its index says; nothing where it has none yet."""
    if not urls or not index_path(path).exists():
        return 0
    return sum(entry.fields.get("url") in urls or entry.fields.get("requested") in urls for entry in read_index(path))


def _log_name(directory: Path) -> str:
    """The name of a crawl's log, or of its directory where it has none."""
    try:
        description = read_description(find(directory))
    except EvidenceError:
        description = None
    return description.origin if description else directory.name


def _manifests(directory: Path) -> Iterator[Mapping[str, Any]]:
    """What an audit says that it has written, shard by shard.

    Raises:
        ComplaintError: there is no audit, or a manifest is damaged.
    """
    paths = sorted((directory / "shards").glob("*.json"))
    if not paths:
        raise ComplaintError(f"{directory} holds no audit", mend="name the directory that was its --out")
    for path in paths:
        try:
            said = json.loads(path.read_bytes())
            yield {"file": str(said["file"]), "rows": int(said["rows"]), "kept": int(said["kept"]),
                   "outputs": {str(name): str(digest) for name, digest in (said["outputs"] or {}).items()}}  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ComplaintError(f"{path} is damaged", place=str(error), mend="run the audit again") from error


def _written(directory: Path, manifest: Mapping[str, Any]) -> Iterator[File]:
    """The files of a shard, hashed again."""
    for name, digest in sorted(manifest["outputs"].items()):
        path = directory / name
        if _digest(path) != digest:
            mend = "run the audit again, and leave its files as they are"
            raise ComplaintError(f"{path} is not the file that the audit wrote", mend=mend)
        yield File(f"{directory.name}/{name}", digest, manifest["kept" if name.startswith("kept/") else "rows"])


def _digest(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise ComplaintError(f"{path} cannot be read: {error.strerror or error}") from error


def _archives(directory: Path) -> list[Path]:
    folder = directory / "pages"
    if not folder.is_dir():
        raise ComplaintError(f"{directory} holds no pages", mend="name the directory that was the crawl's --out")
    return sorted([*folder.glob("*.warc.gz"), *folder.glob("*.warc")])


def _pages(finder: Finder, path: Path) -> tuple[int, list[Hit]]:
    """How many pages an archive holds, and those that are meant."""
    found: list[Hit] = []
    count = 0
    try:
        with path.open("rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
                count += 1
                url = record.headers.get("WARC-Target-URI") or ""
                meant = finder.of_url(url)
                if meant is None and finder.digests:
                    meant = finder.of_digest(sha256(record.reader.read()).hexdigest())
                if meant is not None:
                    found.append(Hit(meant, PAGE, path.name, record.record_id or "", url, kept=True))
    except (OSError, ValueError, RuntimeError) as error:
        mend = "restore it, or remove it"
        raise ComplaintError(f"{path.name} cannot be read", place=str(error), mend=mend) from error
    return count, found
