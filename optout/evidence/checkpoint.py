"""Checkpoints (C2SP tlog-checkpoint v1.0.0), their cosignatures (tlog-cosignature) and proofs (tlog-proof).

A checkpoint is a note whose text names the log, the number of its entries and the root hash of its tree. Whoever
holds one can later tell whether the log was rewritten.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.evidence import note as notes
from optout.evidence.note import Algorithm, MalformedNote, Note, Signature, SignerKey, VerifierKey
from optout.evidence.tlog import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROOF_HEADER = "c2sp.org/tlog-proof@v1"
MOST_HASHES = 63
"""A tree with more levels has more leaves than anybody can count; longer proofs are refused."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_COSIGNATURE_HEADER = "cosignature/v1"
_SUBTREE_LABEL = b"subtree/v1\n\0"


class WrongSignature(MalformedNote):
    """No trusted key signed, or a line under a trusted key's name is not by it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log committed to: its name, how many entries it had, and the root hash over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text to be signed. There are no extension lines, because nobody audits them."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Opened:
    """A checkpoint under at least one trusted signature.

    Attributes:
        checkpoint: what was signed.
        note: the note as it stood, with signatures of strangers too.
        signers: the trusted keys that signed, each with the time it states in POSIX seconds, where it states one.
    """

    checkpoint: Checkpoint
    note: Note
    signers: Mapping[VerifierKey, int | None]


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry is in a log: its index, the inclusion proof, and a signed checkpoint."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    @property
    def text(self) -> str:
        """The proof as a file (C2SP tlog-proof)."""
        lines = [PROOF_HEADER, f"index {self.index}", *(b64encode(item).decode() for item in self.hashes), "", ""]
        return "\n".join(lines) + self.checkpoint.decode()


def parse(text: str) -> Checkpoint:
    """Read the text of a checkpoint; extension lines are passed over.

    Raises:
        MalformedNote: it is none.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise MalformedNote("a checkpoint has three lines at least and no empty ones")
    origin, size, root = lines[:3]
    return Checkpoint(origin, _decimal(size), _hash(root))


def sign(checkpoint: Checkpoint, signer: SignerKey, at: int) -> Signature:
    """Sign a checkpoint.

    Args:
        checkpoint: what to sign; the caller has made sure that it contradicts nothing signed before.
        signer: the key; a plain log key states no time.
        at: the time to state, in POSIX seconds.
    """
    stamped = signer.algorithm is not Algorithm.ED25519
    bare = signer.sign(_message(signer.algorithm, signer.name, checkpoint.text, at))
    return Signature(signer.name, signer.verifier.key_id, (at.to_bytes(8, "big") if stamped else b"") + bare)


def open_note(data: bytes, trusted: Iterable[VerifierKey]) -> Opened:
    """Read a signed checkpoint and verify every line that claims to be by a trusted key.

    Raises:
        WrongSignature: no trusted key signed, or a line under the name and identifier of one does not verify.
        MalformedNote: it is not a checkpoint.
    """
    note = notes.parse(data)
    checkpoint = parse(note.text)
    signers: dict[VerifierKey, int | None] = {}
    for key in trusted:
        for signature in note.signatures:
            if key.checkable and key.made(signature):
                signers[key] = _verified(key, note.text, signature)
    if not signers:
        raise WrongSignature(f"no trusted key signed this checkpoint of {checkpoint.origin}")
    return Opened(checkpoint, note, signers)


def parse_proof(data: bytes) -> Proof:
    """Read a tlog-proof file; extra data, which nobody signs, is passed over.

    Raises:
        MalformedNote: it is none.
    """
    head, separator, checkpoint = data.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not separator or lines[0] != PROOF_HEADER:
        raise MalformedNote("this is not a tlog-proof")
    if len(lines) > 1 and lines[1].startswith("extra "):
        del lines[1]
    if len(lines) < 2 or not lines[1].startswith("index ") or len(lines) - 2 > MOST_HASHES:
        raise MalformedNote("a tlog-proof has an index and at most 63 hashes")
    hashes = tuple(_hash(line) for line in lines[2:])
    return Proof(_decimal(lines[1].removeprefix("index ")), hashes, checkpoint)


def format_request(old: int, proof: Sequence[bytes], signed: bytes) -> bytes:
    """What a log sends to a witness: the size that it cosigned last, a consistency proof, and the checkpoint."""
    lines = [f"old {old}", *(b64encode(item).decode() for item in proof), "", ""]
    return "\n".join(lines).encode() + signed


def parse_request(data: bytes) -> tuple[int, tuple[bytes, ...], bytes]:
    """Read what a log sends to a witness (C2SP tlog-witness, add-checkpoint).

    Raises:
        MalformedNote: it is none.
    """
    head, separator, signed = data.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not separator or not lines[0].startswith("old ") or len(lines) - 1 > MOST_HASHES:
        raise MalformedNote("this is not an add-checkpoint request")
    return _decimal(lines[0].removeprefix("old ")), tuple(_hash(line) for line in lines[1:]), signed


def _verified(key: VerifierKey, text: str, signature: Signature) -> int | None:
    stamped = key.algorithm is not Algorithm.ED25519
    at = int.from_bytes(signature.blob[:8], "big") if stamped else 0
    bare = signature.blob[8:] if stamped else signature.blob
    if at >= 1 << 63 or not key.verify(_message(key.algorithm, key.name, text, at), bare):
        raise WrongSignature(f"the signature under the name {key.name} is not by its key")
    return at if stamped else None


def _message(algorithm: Algorithm, name: str, text: str, at: int) -> bytes:
    """What a key of this kind signs (C2SP tlog-cosignature, signed messages)."""
    if algorithm is Algorithm.ED25519:
        return text.encode()
    if algorithm is Algorithm.COSIGNATURE_ED25519:
        return f"{_COSIGNATURE_HEADER}\ntime {at}\n{text}".encode()
    checkpoint = parse(text)
    numbers = (0).to_bytes(8, "big") + checkpoint.size.to_bytes(8, "big")
    named, origin = _opaque(name), _opaque(checkpoint.origin)
    return _SUBTREE_LABEL + named + at.to_bytes(8, "big") + origin + numbers + checkpoint.root


def _opaque(text: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= 255:
        raise MalformedNote(f"the name {text!r} is longer than 255 bytes")
    return bytes([len(data)]) + data


def _decimal(text: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise MalformedNote(f"{text[:30]!r} is not a number in canonical form")
    return int(text)


def _hash(text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError as fault:
        raise MalformedNote("a hash is not base64") from fault
    if len(data) != HASH_SIZE or b64encode(data).decode() != text:
        raise MalformedNote("a hash has not 32 bytes in canonical base64")
    return data
