"""Importing a published list into a store: sniffed, read line by line, indexed, put in place whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from optout.acquisition import list_forms
from optout.acquisition.list_builder import Builder
from optout.acquisition.list_forms import CSV, FORMS, MAX_LINE, Entry
from optout.acquisition.lists import Version, version_path, versions
from optout.errors import UnreadableInput
from optout.syntax.list_index import Description, header, header_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date
    from pathlib import Path

    from optout.acquisition.list_forms import Found, Parser
    from optout.syntax.listing import Kind

NOTED_EVERY_BYTES = 64 * 1024 * 1024
"""How much of a source is read again at most after an interruption."""

_ENDLESS = b"\0"
_SNIFFED_LINES = 200
_TOLD_EVERY_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be imported, as its keeper describes it.

    Attributes:
        path: the file.
        name: what the list is called.
        issuer: who keeps it.
        kind: what it means to stand on it.
        basis: the legal basis on which it is used.
        as_of: the date of its contents.
        form: one of `list_forms.NAMES`; None looks at the first lines.
    """

    path: Path
    name: str
    issuer: str
    kind: Kind
    basis: str
    as_of: date
    form: str | None = None


def import_list(
    source: Source, store: Path, on_fault: Callable[[int, str], None], on_progress: Callable[[int, int], None]
) -> Version:
    """Add a version of a list to a store; the same import again changes nothing.

    Args:
        source: what to import.
        store: the directory of lists.
        on_fault: told the number of a line and why it cannot be used.
        on_progress: told how many bytes were read, and of how many.

    Raises:
        UnreadableInput: the file cannot be read, is in no form that we know or holds no entry; a text that the list
            needs is missing; or there is another version of this date.
    """
    target = version_path(store, source.name, source.as_of)
    for label, text in (("issuer", source.issuer), ("legal basis", source.basis)):
        if not text.strip():
            raise UnreadableInput(f"the list {source.name} has no {label}", mend="say who and on what ground")
    try:
        return _import(source, target, on_fault, on_progress)
    except OSError as fault:
        raise UnreadableInput(f"cannot import {source.path}", place=str(fault), mend="see to the file") from fault


def _import(
    source: Source, target: Path, on_fault: Callable[[int, str], None], on_progress: Callable[[int, int], None]
) -> Version:
    with source.path.open("rb") as file:
        digest = _digest(file)
        form = source.form or list_forms.sniff(_first_lines(file), str(source.path))
        if target.exists():
            return _already_there(source, form, digest, target)
        label = sha256(f"{digest} {form} {source.as_of} {source.name}".encode()).hexdigest()[:16]
        builder = Builder(target.parents[1] / f".import-{label}")
        _read(file, _parser(form, file, source.path), builder, on_fault, on_progress)
    description = _write(source, form, digest, builder, target)
    builder.discard()
    return Version(target, description)


def _already_there(source: Source, form: str, digest: str, target: Path) -> Version:
    found = next(version for version in versions(target.parents[1]) if version.path == target)
    has, wants = found.description, source
    same = (has.source, has.form, has.issuer, has.kind, has.basis)
    if same != (digest, form, wants.issuer, wants.kind, wants.basis):
        message = f"there is another version of {source.name} as of {source.as_of}"
        raise UnreadableInput(message, mend="remove that one first, or give the date of this one")
    return found


def _digest(file: BinaryIO) -> str:
    digest = sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _first_lines(file: BinaryIO) -> list[str]:
    file.seek(0)
    return [text for _, text in islice(_lines(file), _SNIFFED_LINES)]


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Each line with its size in bytes; an endless one as a line that no form can use."""
    while raw := file.readline(MAX_LINE):
        size, piece = len(raw), raw
        while len(piece) == MAX_LINE and not piece.endswith(b"\n"):
            piece = file.readline(MAX_LINE)
            size, raw = size + len(piece), _ENDLESS
        yield size, raw.decode("utf-8-sig" if raw.startswith(b"\xef\xbb\xbf") else "utf-8", "replace")


def _parser(form: str, file: BinaryIO, path: Path) -> Parser:
    if form != CSV:
        return FORMS[form]
    header_line = next((line for line in _first_lines(file) if line.strip() and not line.startswith("#")), "")
    parse = list_forms.table(header_line)
    if parse is None:
        raise UnreadableInput(f"{path} has no column of sites", place="its first line", mend="name one url or domain")

    def row(line: str) -> Found:
        return list_forms.NOTHING if line == header_line or line.startswith("#") else parse(line)

    return row


def _read(
    file: BinaryIO,
    parse: Parser,
    builder: Builder,
    on_fault: Callable[[int, str], None],
    on_progress: Callable[[int, int], None],
) -> None:
    """Read a source from where an earlier import stopped."""
    progress = builder.progress
    whole, noted = os.fstat(file.fileno()).st_size, progress.offset
    file.seek(progress.offset)
    for size, line in _lines(file):
        progress.offset += size
        progress.lines += 1
        faults = []
        for item in parse(line):
            if isinstance(item, Entry):
                builder.add(item)
            else:
                faults.append(item)
        if faults:
            progress.faults += 1
            on_fault(progress.lines, faults[0].reason)
        if progress.lines % _TOLD_EVERY_LINES == 0:
            on_progress(progress.offset, whole)
            if progress.offset - noted >= NOTED_EVERY_BYTES:
                builder.note()
                noted = progress.offset
    on_progress(whole, whole)


def _write(source: Source, form: str, digest: str, builder: Builder, target: Path) -> Description:
    length = header_length(source.name, source.issuer, source.basis)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    with temporary.open("wb") as file:
        file.seek(length)
        written = builder.write(file)
        description = Description(
            name=source.name,
            issuer=source.issuer,
            kind=source.kind,
            basis=source.basis,
            as_of=source.as_of,
            form=form,
            source=digest,
            lines=builder.progress.lines,
            faults=builder.progress.faults,
            counts=written.counts,
            bits=written.bits,
            body=written.body,
        )
        file.seek(0)
        file.write(header(description, length))
        file.flush()
        os.fsync(file.fileno())
    if not description.entries:
        temporary.unlink()
        builder.discard()
        raise UnreadableInput(f"{source.path} holds no entry in the form {form}", mend="choose another --form")
    temporary.replace(target)
    _sync(target.parent)
    return description


def _sync(directory: Path) -> None:
    """Make a new name in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(store: Path, name: str, as_of: date | None) -> list[Version]:
    """Remove one version of a list, or all of them, and give what was removed.

    Raises:
        UnreadableInput: there is no such version.
    """
    found = [
        version
        for version in versions(store)
        if version.description.name == name and as_of in {None, version.description.as_of}
    ]
    if not found:
        dated = f" as of {as_of}" if as_of else ""
        raise UnreadableInput(f"there is no list {name}{dated} in {store}", mend="see optout lists show")
    for version in found:
        version.path.unlink()
        if not any(version.path.parent.iterdir()):
            version.path.parent.rmdir()
    return found
