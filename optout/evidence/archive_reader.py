"""Finding exchanges in an archive by the identifiers that rows name."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Self

from optout.errors import EvidenceError
from optout.evidence.canonical import decode
from optout.evidence.exchange_record import exchange_of, is_list, list_identifier, payload_of
from optout.evidence.warc import (
    REVISIT,
    Broken,
    Located,
    archive_files,
    index_entries,
    index_path,
    iterate,
    pair_fault,
    read_at,
    read_index,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from optout.evidence import cdxj
    from optout.model import Exchange


class ArchiveReader:
    """Finds exchanges in an archive directory by record identifier. It keeps an index, not the records, in memory."""

    def __init__(self, directory: Path, places: Mapping[str, tuple[str, int]] | None = None) -> None:
        """Use an index, or by default those of sealed files, reading the others.

        Args:
            directory: where the files are.
            places: for each record identifier the name of a file and an offset.

        Raises:
            EvidenceError: an index or a file is damaged.
        """
        self._directory = directory
        self._places = _places(_entries(directory)) if places is None else places

    @classmethod
    def scanned(cls, directory: Path) -> Self:
        """Read all files as far as they can be read, and no index."""
        found = (found for path in archive_files(directory) for found in iterate(path))
        located = (item for item in found if isinstance(item, Located))
        return cls(directory, _places(entry for item in located for entry in _entries_if_ours(item)))

    def __contains__(self, identifier: str) -> bool:
        """Whether a record is archived."""
        return identifier in self._places

    def located(self, identifier: str) -> Located:
        """One record and where it is.

        Raises:
            EvidenceError: it is not archived, or another record stands where the index says.
        """
        if identifier not in self._places:
            raise EvidenceError(f"no record {identifier} is archived in {self._directory}")
        name, offset = self._places[identifier]
        found = read_at(self._directory / name, offset)
        if found.record.identifier != identifier:
            raise EvidenceError(
                f"{self._directory / name} holds another record than {identifier}", place=f"byte {offset}"
            )
        return found

    def request(self, identifier: str) -> Located:
        """The request that led to a record: it stands behind it.

        Raises:
            EvidenceError: it does not.
        """
        answer = self.located(identifier)
        path, offset = self._directory / answer.file, answer.offset + answer.length
        found = read_at(path, offset)
        if found.record.fields.get("WARC-Concurrent-To") != f"<{identifier}>":
            raise EvidenceError(f"{path} does not hold the request that led to {identifier}", place=f"byte {offset}")
        return found

    def holder(self, identifier: str) -> Located:
        """The record with the payload of a record: itself, or the earlier response for a revisit.

        Raises:
            EvidenceError: it is not archived.
        """
        found = self.located(identifier)
        return (
            found if found.record.kind != "revisit" else self.located(found.record.fields["WARC-Refers-To"].strip("<>"))
        )

    def exchange(self, identifier: str) -> Exchange:
        """The exchange that a record was made from.

        Raises:
            EvidenceError: it is not archived, or the records do not add up to the exchange that they name.
        """
        answer, request = self.located(identifier).record, self.request(identifier).record
        fault = pair_fault(answer, request, payload_of(self.holder(identifier).record))
        if fault:
            raise EvidenceError(f"the record {identifier} does not hold its exchange", place=fault)
        return exchange_of(answer, request, payload_of(self.holder(identifier).record))

    def listed(self, digest: str) -> list[dict[str, str]]:
        """The list of exchanges that a row names by its SHA-256.

        Raises:
            EvidenceError: it is not archived, or does not have that digest.
        """
        found = self.located(list_identifier(digest))
        if not is_list(found.record) or sha256(found.record.block).hexdigest() != digest:
            raise EvidenceError(
                f"the list {digest} is not what it should be", place=f"{found.file} byte {found.offset}"
            )
        try:
            return [dict(item) for item in decode(found.record.block)]
        except (ValueError, TypeError) as fault:
            raise EvidenceError(f"the list {digest} is no list", place=f"{found.file} byte {found.offset}") from fault

    def raw_exchange(self, identifier: str) -> tuple[bytes, ...]:
        """The records of an exchange as they stand in their files: the answer, its request, and the body's holder.

        Raises:
            EvidenceError: one is not archived.
        """
        answer = self.located(identifier)
        holder = () if answer.record.kind != "revisit" else (self.holder(identifier),)
        return tuple(self._raw(item) for item in (answer, self.request(identifier), *holder))

    def raw_list(self, digest: str) -> bytes:
        """The record of a list of exchanges as it stands in its file.

        Raises:
            EvidenceError: it is not archived.
        """
        return self._raw(self.located(list_identifier(digest)))

    def _raw(self, located: Located) -> bytes:
        with (self._directory / located.file).open("rb") as file:
            file.seek(located.offset)
            return file.read(located.length)


def _entries_if_ours(located: Located) -> list[cdxj.Entry]:
    """The index lines of a record; none for one that lacks what ours have."""
    try:
        return index_entries(located)
    except (LookupError, ValueError, TypeError):
        return []


def _entries(directory: Path) -> Iterator[cdxj.Entry]:
    for path in archive_files(directory):
        yield from read_index(path) if index_path(path).exists() else _index_of_open(path)


def _places(entries: Iterable[cdxj.Entry]) -> dict[str, tuple[str, int]]:
    """Where each record is; where the same exchange was archived twice, the record with the body."""
    places: dict[str, tuple[str, int]] = {}
    for entry in entries:
        fields = entry.fields
        if fields["mime"] != REVISIT or fields["rec"] not in places:
            places[fields["rec"]] = fields["filename"], int(fields["offset"])
    return places


def _index_of_open(path: Path) -> Iterator[cdxj.Entry]:
    for found in iterate(path):
        if isinstance(found, Broken):
            if found.torn:
                return
            raise EvidenceError(f"{path} is damaged", place=f"byte {found.offset}: {found.what}")
        yield from index_entries(found)
