"""Signed notes (C2SP signed-note v1.0.0): a text, a blank line, and lines of signatures by named keys.

Three kinds of key sign here: the plain Ed25519 signature of a log, and the timestamped cosignatures of a witness
with Ed25519 or ML-DSA-44 (C2SP tlog-cosignature). A log may carry an ML-DSA-44 line as its second signature.
`optout.evidence.checkpoint` says what exactly each kind signs.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from optout.errors import OptoutError

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
except ImportError:
    MLDSA_AVAILABLE = False
else:
    MLDSA_AVAILABLE = True

MOST_SIGNATURES = 64
"""A note with more is refused; the specification asks for 16 at least."""

_SEPARATOR = "\n\n"
_DASH = "— "
_PRIVATE = "PRIVATE+KEY+"


class Algorithm(IntEnum):
    """The signature types used here, by their assigned bytes."""

    ED25519 = 0x01
    COSIGNATURE_ED25519 = 0x04
    COSIGNATURE_ML_DSA_44 = 0x06


_PUBLIC_SIZE = {Algorithm.ED25519: 32, Algorithm.COSIGNATURE_ED25519: 32, Algorithm.COSIGNATURE_ML_DSA_44: 1312}


class MalformedNote(OptoutError, ValueError):
    """Bytes that are not a signed note, or a key that is not one."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name and identifier, and what it made."""

    name: str
    key_id: bytes
    blob: bytes

    @property
    def line(self) -> str:
        """The line, with its line feed."""
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.blob).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a line feed, and its signatures, none of them verified yet."""

    text: str
    signatures: tuple[Signature, ...] = ()

    @property
    def bytes(self) -> bytes:
        """The signed note."""
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}".encode()

    def signed(self, *signatures: Signature) -> Note:
        """The note with further signatures; one that is there already is not repeated."""
        return Note(self.text, tuple(dict.fromkeys([*self.signatures, *signatures])))


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name under which it signs."""

    name: str
    algorithm: Algorithm
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The verifier key (vkey) as it stands in policy files."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.algorithm]) + self.public).decode()}"

    @property
    def checkable(self) -> bool:
        """Whether this installation can verify signatures of the key."""
        return self.algorithm is not Algorithm.COSIGNATURE_ML_DSA_44 or MLDSA_AVAILABLE

    def made(self, signature: Signature) -> bool:
        """Whether a signature line claims to be by this key."""
        return signature.name == self.name and signature.key_id == self.key_id

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the bare signature over the message is by this key."""
        try:
            if self.algorithm is Algorithm.COSIGNATURE_ML_DSA_44:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(signature, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class SignerKey:
    """A private key with the name under which it signs. It shows its name only."""

    name: str
    algorithm: Algorithm
    seed: bytes

    def __repr__(self) -> str:
        return f"SignerKey({self.name!r}, {self.algorithm!r})"

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.algorithm, self._private.public_key().public_bytes_raw())

    @property
    def text(self) -> str:
        """The private key in the form that Go's `note` package reads; secret."""
        encoded = b64encode(bytes([self.algorithm]) + self.seed).decode()
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{encoded}"

    def sign(self, message: bytes) -> bytes:
        """The bare signature over a message."""
        return self._private.sign(message)

    @property
    def _private(self) -> Ed25519PrivateKey | MLDSA44PrivateKey:
        if self.algorithm is Algorithm.COSIGNATURE_ML_DSA_44:
            return MLDSA44PrivateKey.from_seed_bytes(self.seed)
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def parse(data: bytes) -> Note:
    """Read a signed note. Nothing is verified.

    Raises:
        MalformedNote: it is none.
    """
    try:
        whole = data.decode()
    except UnicodeDecodeError as fault:
        raise MalformedNote("a note is not UTF-8") from fault
    if any(character < " " and character != "\n" for character in whole):
        raise MalformedNote("a note holds control characters")
    text, separator, lines = whole.rpartition(_SEPARATOR)
    if not separator or not lines.endswith("\n"):
        raise MalformedNote("a note has no signatures")
    return Note(text + "\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Read signature lines, as they end a note and as a witness answers.

    Raises:
        MalformedNote: one of them is none, or there are too many.
    """
    found = tuple(_signature(line) for line in lines.removesuffix("\n").split("\n"))
    if len(found) > MOST_SIGNATURES:
        raise MalformedNote(f"a note has {len(found)} signatures")
    return found


def parse_verifier(text: str) -> VerifierKey:
    """Read a verifier key (vkey).

    Raises:
        MalformedNote: it is none, of an unknown type, or its identifier does not belong to it.
    """
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not is_name(parts[0]):
        raise MalformedNote(f"{text!r} is not a verifier key", mend="it has the form name+identifier+base64")
    algorithm, public = _encoded(parts[2])
    key = VerifierKey(parts[0], algorithm, public)
    if len(public) != _PUBLIC_SIZE[algorithm] or key.key_id.hex() != parts[1]:
        raise MalformedNote(f"the verifier key of {parts[0]} is damaged")
    return key


def parse_signer(text: str) -> SignerKey:
    """Read a private key.

    Raises:
        MalformedNote: it is none; the message does not show it.
    """
    parts = text.strip().removeprefix(_PRIVATE).split("+", 2)
    if not text.startswith(_PRIVATE) or len(parts) != 3 or not is_name(parts[0]):
        raise MalformedNote("this is not a private key")
    algorithm, seed = _encoded(parts[2])
    if len(seed) != 32:
        raise MalformedNote(f"the private key of {parts[0]} is damaged")
    key = SignerKey(parts[0], algorithm, seed)
    if key.verifier.key_id.hex() != parts[1]:
        raise MalformedNote(f"the private key of {parts[0]} is damaged")
    return key


def is_name(text: str) -> bool:
    """Whether a key may have this name: not empty, no spaces, no plus."""
    return bool(text) and "+" not in text and text.isprintable() and not any(map(str.isspace, text))


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not is_name(name):
        raise MalformedNote("a signature line is malformed")
    blob = _base64(encoded)
    if len(blob) < 5:
        raise MalformedNote(f"the signature of {name} is too short")
    return Signature(name, blob[:4], blob[4:])


def _encoded(text: str) -> tuple[Algorithm, bytes]:
    data = _base64(text)
    try:
        return Algorithm(data[0]), data[1:]
    except (ValueError, IndexError) as fault:
        raise MalformedNote("a key is of a type that is not used here") from fault


def _base64(text: str) -> bytes:
    """Standard base64, in the one form that the bytes have."""
    try:
        data = b64decode(text, validate=True)
    except ValueError as fault:
        raise MalformedNote("this is not base64") from fault
    if b64encode(data).decode() != text:
        raise MalformedNote("this is not canonical base64")
    return data
