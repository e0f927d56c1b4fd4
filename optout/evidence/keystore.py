"""What must stay private: signing keys, salts, and the signer's memory of what it signed.

The directory has mode 0700 and its files 0600. The memory is written before each signature is released. Whatever
crash came before, or backup of the rest was restored, the signer therefore knows the largest tree that it ever put its
name to. Where this directory was restored with the rest, only a witness still knows.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from optout.errors import EvidenceError
from optout.evidence import note, salts
from optout.evidence.canonical import decode, encode
from optout.evidence.files import PRIVATE_DIRECTORY, PRIVATE_FILE, disk_errors, write_durably
from optout.evidence.note import Algorithm, SignerKey

if TYPE_CHECKING:
    from pathlib import Path

    from optout.evidence.salts import Salts

_UNTIL = " until "


class TreeHead(NamedTuple):
    """The size and root hash of a tree."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class LogKey:
    """A signing key and, once it is being replaced, the POSIX time after which it signs no more."""

    signer: SignerKey
    until: int | None = None

    def signs_at(self, seconds: int) -> bool:
        """Whether it still signs."""
        return self.until is None or seconds < self.until


class KeyStore:
    """The private directory of one log."""

    def __init__(self, directory: Path) -> None:
        """Name the directory; nothing is read or written yet."""
        self.directory = directory
        self._keys = directory / "log.keys"
        self._next = directory / "next.keys"
        self._memory = directory / "signed.json"

    @property
    def exists(self) -> bool:
        """Whether there are keys to sign with."""
        return self._keys.exists()

    def make_directory(self) -> None:
        """Make the directory, for its owner only."""
        with disk_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
            self.directory.chmod(PRIVATE_DIRECTORY)

    def create(self, origin: str) -> None:
        """Make keys for a new log: Ed25519, and ML-DSA-44 where this installation has it.

        Raises:
            EvidenceError: there are keys already.
        """
        if self.exists:
            raise EvidenceError(f"{self._keys} exists", mend="rotate keys instead of making new ones")
        self.make_directory()
        self.keep_keys(tuple(LogKey(signer) for signer in new_signers(origin)))

    def log_keys(self) -> tuple[LogKey, ...]:
        """Every key that may still sign, the oldest first.

        Raises:
            EvidenceError: there are none, they are damaged, or others can read them.
        """
        lines = self._read_private(self._keys).decode("utf-8", "replace").splitlines()
        return tuple(_parse_key(line) for line in lines if line)

    def keep_keys(self, keys: tuple[LogKey, ...]) -> None:
        """Write the keys."""
        lines = [key.signer.text + (f"{_UNTIL}{key.until}" if key.until is not None else "") for key in keys]
        write_durably(self._keys, "\n".join([*lines, ""]).encode(), PRIVATE_FILE)

    def next_signers(self, origin: str) -> tuple[SignerKey, ...]:
        """The keys that come next: those that an interrupted rotation has made, or fresh ones."""
        if not self._next.exists():
            lines = [signer.text for signer in new_signers(origin)]
            write_durably(self._next, "\n".join([*lines, ""]).encode(), PRIVATE_FILE)
        return tuple(note.parse_signer(line) for line in self._read_private(self._next).decode().splitlines())

    def forget_next(self) -> None:
        """The next keys have become the present ones."""
        with disk_errors(self._next):
            self._next.unlink(missing_ok=True)

    def signed(self) -> TreeHead | None:
        """The largest tree that was ever signed; None where no memory was ever made.

        Raises:
            EvidenceError: the memory is damaged.
        """
        if not self._memory.exists():
            return None
        try:
            data = self._read_private(self._memory)
            said = decode(data)
            head = TreeHead(int(said["size"]), bytes.fromhex(said["root"]))
        except (ValueError, KeyError, TypeError) as fault:
            raise EvidenceError(f"{self._memory} is damaged", mend="restore it from a copy") from fault
        if _head_bytes(head) != data:
            raise EvidenceError(f"{self._memory} is damaged", mend="restore it from a copy")
        return head

    def remember(self, head: TreeHead) -> None:
        """Write down what is about to be signed."""
        write_durably(self._memory, _head_bytes(head), PRIVATE_FILE)

    def salts(self, segment: str) -> Salts | None:
        """What is known of the salts of a segment; None where there is nothing.

        Raises:
            EvidenceError: the file is damaged.
        """
        path = self.salts_path(segment)
        if not path.exists():
            return None
        try:
            data = path.read_bytes()
            known = salts.from_json(decode(data))
        except ValueError as fault:
            raise EvidenceError(f"{path} is damaged", place=str(fault)) from fault
        if encode(known.json) != data:
            raise EvidenceError(f"{path} is damaged", place="it is not in the form that we write")
        return known

    def keep_salts(self, segment: str, known: Salts) -> None:
        """Write the salts of a segment; what was known before is overwritten and forgotten."""
        path = self.salts_path(segment)
        self.make_directory()
        with disk_errors(path):
            path.parent.mkdir(exist_ok=True, mode=PRIVATE_DIRECTORY)
        write_durably(path, encode(known.json), PRIVATE_FILE)

    def forget_salts(self, segment: str) -> None:
        """Destroy every salt of a segment."""
        with disk_errors(self.directory):
            self.salts_path(segment).unlink(missing_ok=True)

    def salts_path(self, segment: str) -> Path:
        """Where the salts of a segment are."""
        return self.directory / "salts" / f"{segment.removesuffix('.parquet')}.json"

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a small private file of ours; empty where there is none."""
        path = self.directory / name
        try:
            return dict(decode(path.read_bytes()))
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError) as fault:
            raise EvidenceError(f"{path} is damaged", place=str(fault)) from fault

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a small private file of ours."""
        write_durably(self.directory / name, encode(value), PRIVATE_FILE)

    def _read_private(self, path: Path) -> bytes:
        try:
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise EvidenceError(f"others can read {path}", mend=f"chmod 600 {path}, and rotate the keys")
            return path.read_bytes()
        except FileNotFoundError as fault:
            raise EvidenceError(f"there is no {path}", mend="run `optout evidence keygen`") from fault


def new_signers(origin: str) -> tuple[SignerKey, ...]:
    """Fresh keys for a log."""
    kinds = [Algorithm.ED25519] + ([Algorithm.COSIGNATURE_ML_DSA_44] if note.MLDSA_AVAILABLE else [])
    return tuple(SignerKey(origin, kind, secrets.token_bytes(32)) for kind in kinds)


def new_seed() -> bytes:
    """A fresh seed for a segment's salts."""
    return os.urandom(salts.SALT_SIZE)


def _head_bytes(head: TreeHead) -> bytes:
    return encode({"root": head.root.hex(), "size": head.size})


def _parse_key(line: str) -> LogKey:
    text, _, until = line.partition(_UNTIL)
    if until and not (until.isascii() and until.isdigit()):
        raise EvidenceError("a key's last day is not a number")
    return LogKey(note.parse_signer(text), int(until) if until else None)
