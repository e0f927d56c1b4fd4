"""Check a proof or an export of an evidence log, trusting nobody.

    python standalone.py FILE.json --key VKEY [--known CHECKPOINT] [--witness VKEY] [--authority CERTIFICATE.pem]

This one file imports nothing of the program that wrote the evidence: only Python's own library and `cryptography`.
It can be read in a sitting, copied, and run anywhere.

What you have to bring is what you trust, because nothing that stands in the file can make it trustworthy:

- the log's public key (a line `NAME+xxxxxxxx+...`, as published by the log's operator, or as you wrote it down
  earlier). Without one the key in the file is used, and the answer is "incomplete": the file is then only consistent
  with itself;
- to know that the log was not rewritten: a checkpoint that you, or somebody you trust, kept from earlier (`--known`);
- to know who else saw it: the public keys of witnesses (`--witness`) and certificates of timestamp authorities.
  Witnesses that only the file itself names are shown as such; anybody can invent one.

Exit codes: 0 valid, 1 invalid, 2 not such a file, 3 incomplete (nothing is wrong, and not everything was checked).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

Json = dict[str, Any]

BUNDLE, EXPORT = "evidence/bundle/1", "evidence/export/1"
VALID, INVALID, UNREADABLE, INCOMPLETE = 0, 1, 2, 3
LEAF = "sha256(00|sha256(salt16|jcs)|host)"
SEGMENT, GAP, PREDECESSOR = "evidence/segment/1", "evidence/gap/1", "evidence/predecessor/1"
REDACTION, PURGE = "evidence/redaction/1", "evidence/purge/1"
SILENT = {
    "evidence/archive/1", "evidence/document/1", "evidence/erasure/1", "evidence/rotation/1", "evidence/heartbeat/1",
    "evidence/countersigned/1", "evidence/audit/1", "evidence/shard/1", "evidence/report/1",
}  # fmt: skip
"""Entries that say nothing about which rows there are."""

LARGEST_RECORD = 1 << 28
CLOCKS = 300
"""How many seconds two honest clocks may lie apart."""


class Wrong(Exception):
    """The evidence is not what it claims to be."""


class Unchecked(Exception):
    """Nothing was found to be wrong, but something could not be looked at."""


# Hashes and the Merkle tree of RFC 6962 and RFC 9162.


def sha256(*parts: bytes) -> bytes:
    """SHA-256 over the parts one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def canonical(value: object) -> bytes:
    """The canonical bytes of JSON without floats and with ASCII keys (RFC 8785)."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def unbase64(text: str) -> bytes:
    """The bytes of standard base64."""
    return base64.b64decode(text, validate=True)


def moment(microseconds: int) -> str:
    """A time of the log, for people."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).isoformat()


def row_leaf(salt: bytes, row: Json, host: str) -> bytes:
    """The leaf of a disclosed row."""
    return sha256(b"\x00", sha256(salt, canonical(row)), host.encode())


def root_from_path(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to, from the root's side down (RFC 9162 section 2.1.3)."""
    if not 0 <= index < size:
        raise Wrong(f"leaf {index} of {size}")
    turns = []
    start, end = 0, size
    while end - start > 1:
        split = 1 << (end - start - 1).bit_length() - 1
        if index < start + split:
            turns.append("right")
            end = start + split
        else:
            turns.append("left")
            start += split
    if len(turns) != len(path):
        raise Wrong(f"an inclusion proof of {len(path)} hashes, where there must be {len(turns)}")
    for turn, sibling in zip(reversed(turns), path, strict=True):
        leaf = sha256(b"\x01", leaf, sibling) if turn == "right" else sha256(b"\x01", sibling, leaf)
    return leaf


def root_of_range(first: int, leaves: list[bytes], size: int, proof: list[bytes]) -> bytes:
    """The root of a tree from a stretch of its leaves and the hashes of everything outside, left to right."""
    rest = list(proof)

    def node(start: int, end: int) -> bytes:
        if start >= first + len(leaves) or end <= first:
            if not rest:
                raise Wrong("the range proof is too short")
            return rest.pop(0)
        if end - start == 1:
            return leaves[start - first]
        split = start + (1 << (end - start - 1).bit_length() - 1)
        left = node(start, split)
        return sha256(b"\x01", left, node(split, end))

    if not leaves or first < 0 or first + len(leaves) > size:
        raise Wrong("the stretch is not inside the segment")
    root = node(0, size)
    if rest:
        raise Wrong("the range proof is too long")
    return root


def root_of(leaves: list[bytes]) -> bytes:
    """The root over all leaves."""
    return root_of_range(0, leaves, len(leaves), []) if leaves else sha256()


def continues(old: int, old_root: bytes, new: int, new_root: bytes, path: list[bytes]) -> bool:
    """Whether a consistency proof shows that the larger tree begins with the smaller one (RFC 9162 section 2.1.4.2)."""
    if not 0 < old < new:
        return old <= new and not path and (old == 0 or old_root == new_root)
    rest = list(path)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    if first and not rest:
        return False
    one = other = rest.pop(0) if first else old_root
    for sibling in rest:
        if last == 0:
            return False
        if first & 1 or first == last:
            one, other = sha256(b"\x01", sibling, one), sha256(b"\x01", sibling, other)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            other = sha256(b"\x01", other, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and (one, other) == (old_root, new_root)


# Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature).


class Key:
    """A public key as written in policy files: NAME+IDENTIFIER+BASE64."""

    def __init__(self, text: str) -> None:
        parts = text.strip().split("+", 2)
        data = unbase64(parts[2]) if len(parts) == 3 else b""
        if not data:
            raise Wrong(f"this is no public key: {text[:80]!r}")
        self.name, identifier = parts[:2]
        self.kind, self.public = data[0], data[1:]
        self.identifier = sha256(self.name.encode(), b"\n", data)[:4]
        if self.identifier.hex() != identifier:
            raise Wrong(f"the key of {self.name} is damaged")

    def verify(self, text: str, blob: bytes) -> int | None:
        """The time that a cosignature states, in POSIX seconds; None for a log's plain signature."""
        if self.kind == 1:
            ed25519.Ed25519PublicKey.from_public_bytes(self.public).verify(blob, text.encode())
            return None
        at = int.from_bytes(blob[:8], "big")
        if self.kind == 4:
            message = f"cosignature/v1\ntime {at}\n{text}".encode()
            ed25519.Ed25519PublicKey.from_public_bytes(self.public).verify(blob[8:], message)
            return at
        if self.kind == 6:
            _verify_ml_dsa(self, text, at, blob[8:])
            return at
        raise Unchecked(f"a key of kind {self.kind}")


def _verify_ml_dsa(key: Key, text: str, at: int, signature: bytes) -> None:
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa  # noqa: PLC0415 - older ones lack it
    except ImportError as fault:
        raise Unchecked("this cryptography has no ML-DSA-44") from fault
    origin, size, root = text.split("\n")[:3]
    name, log = key.name.encode(), origin.encode()
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + at.to_bytes(8, "big") + bytes([len(log)]) + log
    message += bytes(8) + int(size).to_bytes(8, "big") + unbase64(root)
    mldsa.MLDSA44PublicKey.from_public_bytes(key.public).verify(signature, message)


def policy_keys(text: str) -> tuple[list[Key], list[Key]]:
    """The keys of the log and of its witnesses in a policy file."""
    lines = [line.split() for line in text.splitlines()]
    logs = [Key(words[1]) for words in lines if words[:1] == ["log"]]
    return logs, [Key(words[2]) for words in lines if words[:1] == ["witness"]]


def open_checkpoint(note: str, keys: list[Key], step: Step) -> tuple[str, int, bytes, dict[Key, int | None]]:
    """Origin, size and root of a checkpoint, and who signed it when."""
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    signed: dict[Key, int | None] = {}
    for line in lines.splitlines():
        dash, name, encoded = line.split(" ")
        blob = unbase64(encoded)
        for key in keys:
            if dash == "—" and key.name == name and key.identifier == blob[:4]:
                try:
                    signed[key] = key.verify(text, blob[4:])
                except InvalidSignature as fault:
                    raise Wrong(f"the signature of {name} does not verify") from fault
                except Unchecked as fault:
                    step.missing.append(str(fault))
    return *read_checkpoint(text), signed


def read_checkpoint(text: str) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint's text."""
    origin, size, root = text.split("\n")[:3]
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size):
        raise Wrong(f"a checkpoint of the size {size[:80]!r}")
    return origin, int(size), unbase64(root)


# Archived records (WARC 1.1).


class Record:
    """One archived record, from the gzip member that it is."""

    def __init__(self, encoded: str) -> None:
        member = zlib.decompressobj(zlib.MAX_WBITS + 16)
        data = member.decompress(unbase64(encoded), LARGEST_RECORD)
        if not member.eof or member.unused_data:
            raise Wrong("a record is cut off, not alone, or endless")
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.fields = dict(line.split(": ", 1) for line in lines[1:])
        length = int(self.fields["Content-Length"])
        self.block, end = rest[:length], rest[length:]
        self.identifier = self.fields["WARC-Record-ID"].strip("<>")
        self.kind = self.fields["WARC-Type"]
        if lines[0] != "WARC/1.1" or end != b"\r\n\r\n":
            raise Wrong(f"the record {self.identifier} is damaged")
        if self.fields.get("WARC-Block-Digest") != f"sha256:{sha256(self.block).hex()}":
            raise Wrong(f"the record {self.identifier} does not have its digest")

    @property
    def payload(self) -> bytes:
        """What follows the HTTP header section."""
        return self.block.partition(b"\r\n\r\n")[2]

    @property
    def fetched(self) -> int:
        """When, in microseconds since 1970."""
        at = datetime.strptime(self.fields["WARC-Date"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        return int(at.timestamp()) * 1_000_000 + at.microsecond


def content_digest(record: Record, request: Record, body: bytes) -> bytes:
    """The digest of everything an exchange holds, by which the log commits to status and header fields too."""
    fields = record.fields
    asked = (
        json.loads(fields["Optout-Requested-URI"]) if "Optout-Requested-URI" in fields else fields["WARC-Target-URI"]
    )
    status, headers = (None, []) if record.kind == "metadata" else response_of(record)
    everything = [
        "exchange", asked, json.loads(fields["Optout-Role"]), status, headers, sha256(body).hex(),
        json.loads(fields.get("Optout-Redirects", "[]")), json.loads(fields.get("Optout-Error", "null")),
        fields["WARC-Date"], "WARC-Truncated" in fields, headers_of(request),
    ]  # fmt: skip
    return sha256(json.dumps(everything, separators=(",", ":")).encode())


def response_of(record: Record) -> tuple[int, list[list[str]]]:
    """Status and header fields as they were received, before the archive renamed some."""
    headers = [[name.removeprefix("X-Archive-Orig-"), value] for name, value in headers_of(record)]
    return int(record.block.split(b"\r\n", 1)[0].split(b" ")[1]), headers


def headers_of(record: Record) -> list[list[str]]:
    """The header fields of an HTTP message."""
    if "Optout-Headers" in record.fields:
        return list(json.loads(record.fields["Optout-Headers"]))
    lines = record.block.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape").split("\r\n")[1:]
    return [[name, value] for name, _, value in (line.partition(": ") for line in lines)]


class Archive:
    """The records that came along, and whether they are what rows rest on."""

    def __init__(self, encoded: list[str]) -> None:
        self.records: dict[str, Record] = {}
        for record in map(Record, encoded):
            if record.identifier not in self.records or self.records[record.identifier].kind == "revisit":
                self.records[record.identifier] = record
        everything = self.records.values()
        self.requests = {record.fields["WARC-Concurrent-To"].strip("<>"): record
                         for record in everything if record.kind == "request"}  # fmt: skip
        self.lists = {sha256(record.block).hex(): json.loads(record.block) for record in everything
                      if record.fields.get("Content-Type", "").startswith("application/json")}  # fmt: skip

    def check(self, shown: Json, step: Step) -> None:
        """Everything that a row rests on is here, byte for byte, and was fetched before the row was decided."""
        row, disclosed = shown["row"], "url" in shown
        named, latest = row.get("exchanges"), (row.get("t", 0) + CLOCKS * 1_000_000)
        if not named and row.get("kind") == "decision":
            step.notes.append(
                f"row {row.get('seq')} rests on no exchange; it shows what was decided, not what was said"
            )
        if named in self.lists:
            for item in self.lists[named]:
                self._exchange(item, latest)
                step.checked += 1
        elif named:
            step.missing.append(f"the list of exchanges {named}")
        page = (row.get("fetch") or {}).get("rec")
        if page is not None and page not in self.records and not disclosed:
            step.missing.append(f"the page that row {row.get('seq')} rests on, which is not here, as its URL is not")
        elif page is not None:
            digest = self._whole(page, latest)[1]
            if page != identifier_of(digest):
                raise Wrong(f"the record {page} does not hold the page that the row names")
            step.checked += 1

    def _exchange(self, item: Json, latest: int) -> None:
        body, digest = self._whole(item["rec"], latest)
        if sha256(body).hex() != item["body"]:
            raise Wrong(f"the record {item['rec']} does not hold the bytes that the row rests on")
        if digest.hex() != item["whole"]:
            raise Wrong(f"the record {item['rec']} does not hold the exchange that the row rests on")

    def _whole(self, identifier: str, latest: int) -> tuple[bytes, bytes]:
        """The payload of a record, and the digest of the whole exchange."""
        record = self.records.get(identifier)
        if record is None or identifier not in self.requests:
            raise Wrong(f"the record {identifier} that a row rests on is not here")
        if record.fetched > latest:
            raise Wrong(f"the record {identifier} was fetched after the decision that is said to rest on it")
        holder = record
        if record.kind == "revisit":
            holder = self.records.get(record.fields["WARC-Refers-To"].strip("<>"), record)
        body = b"" if record.kind == "metadata" else holder.payload
        return body, content_digest(record, self.requests[identifier], body)


def identifier_of(digest: bytes) -> str:
    """The record identifier that is computed from an exchange's digest: a version 8 UUID (RFC 9562 section 5.8)."""
    data = bytearray(digest[:16])
    data[6], data[8] = 0x80 | data[6] & 0x0F, 0x80 | data[8] & 0x3F
    text = data.hex()
    return f"urn:uuid:{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# Timestamps (RFC 3161), read as far as a check needs: a small DER reader and one signature.


class Der:
    """One element of DER: its tag, its content, and the bytes that it is."""

    def __init__(self, data: bytes) -> None:
        self.tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start = 2 + (length & 0x7F)
            length = int.from_bytes(data[2:start], "big")
        self.content, self.whole, self.rest = (
            data[start : start + length],
            data[: start + length],
            data[start + length :],
        )
        if len(self.content) != length:
            raise Wrong("a timestamp is cut off")

    @property
    def inside(self) -> list[Der]:
        """The elements that the content is made of."""
        found, rest = [], self.content
        while rest:
            found.append(Der(rest))
            rest = found[-1].rest
        return found

    def find(self, whole: bytes) -> list[Der]:
        """The element after each one with these bytes, anywhere inside."""
        found = []
        if self.tag & 0x20:
            children = self.inside
            found = [after for one, after in pairwise(children) if one.whole == whole]
            for child in children:
                found += child.find(whole)
        return found


SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
TST_INFO = bytes.fromhex("060b2a864886f70d0109100104")
MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")
HASHES = {"2.16.840.1.101.3.4.2.1": hashes.SHA256(), "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
          "2.16.840.1.101.3.4.2.3": hashes.SHA512()}  # fmt: skip


def check_timestamp(token: bytes, data: bytes, authorities: list[x509.Certificate]) -> datetime:
    """The time that a token states, once it is found to be by an authority and about the data."""
    signed = Der(Der(token).find(SIGNED_DATA)[0].content)
    info_bytes = Der(Der(signed.whole).find(TST_INFO)[0].content).content
    info = Der(info_bytes).inside
    algorithm, imprint = info[2].inside
    if _digest(_hash_name(algorithm), data) != imprint.content:
        raise Wrong("a timestamp is about other bytes")
    stated = datetime.strptime(info[4].content.decode().split(".")[0].rstrip("Z"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    if not authorities:
        raise Unchecked("no timestamp authority was named (--authority)")
    signer = next(item for item in reversed(signed.inside) if item.tag == 0x31).inside[0].inside
    attributes = next(item for item in signer if item.tag == 0xA0)
    name = _hash_name(signer[2])
    if Der(attributes.whole).find(MESSAGE_DIGEST)[0].inside[0].content != _digest(name, info_bytes):
        raise Wrong("a timestamp's signature is about another token")
    certificate = _signer_certificate(signed, authorities)
    signature = next(item for item in reversed(signer) if item.tag == 0x04)
    _verify_with(certificate, signature.content, b"\x31" + attributes.whole[1:], name)
    if not certificate.not_valid_before_utc <= stated <= certificate.not_valid_after_utc:
        raise Wrong("a timestamp states a time at which its authority had no valid certificate")
    return stated


def _signer_certificate(signed: Der, authorities: list[x509.Certificate]) -> x509.Certificate:
    """The certificate in a token that a named authority issued for timestamping."""
    held = next((item for item in signed.inside if item.tag == 0xA0), None)
    for element in held.inside if held else []:
        certificate = x509.load_der_x509_certificate(element.whole)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        for authority in authorities:
            try:
                certificate.verify_directly_issued_by(authority)
            except (InvalidSignature, ValueError, TypeError):
                continue
            if ExtendedKeyUsageOID.TIME_STAMPING in usage:
                return certificate
    raise Wrong("a timestamp is not by a named authority")


def _verify_with(certificate: x509.Certificate, signature: bytes, message: bytes, name: str) -> None:
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), HASHES[name])
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(HASHES[name]))
        else:
            raise Unchecked("a timestamp authority with an unusual kind of key")
    except InvalidSignature as fault:
        raise Wrong("the signature of a timestamp does not verify") from fault


def _hash_name(algorithm: Der) -> str:
    data = algorithm.inside[0].content
    parts, number = [data[0] // 40, data[0] % 40], 0
    for octet in data[1:]:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            parts.append(number)
            number = 0
    name = ".".join(map(str, parts))
    if name not in HASHES:
        raise Unchecked(f"a timestamp by the unknown hash {name}")
    return name


def _digest(name: str, data: bytes) -> bytes:
    digest = hashes.Hash(HASHES[name])
    digest.update(data)
    return digest.finalize()


# The checks, step by step.


class Step:
    """One step of the check and what came of it."""

    def __init__(self, name: str) -> None:
        self.name, self.checked = name, 0
        self.wrong: list[str] = []
        self.missing: list[str] = []
        self.notes: list[str] = []

    @property
    def outcome(self) -> str:
        """In words."""
        return "fails" if self.wrong else "cannot be checked" if self.missing else "holds"


class Trusted:
    """What the reader brings: public keys of the log, of witnesses, authorities' certificates, earlier checkpoints."""

    def __init__(
        self, keys: Sequence[str], authorities: Sequence[bytes], witnesses: Sequence[str], known: Sequence[bytes]
    ) -> None:
        self.keys, self.witnesses = [Key(key) for key in keys], [Key(key) for key in witnesses]
        self.authorities = [item for pem in authorities for item in x509.load_pem_x509_certificates(pem)]
        self.known = [data.decode() for data in known]


class Check:
    """A file under check."""

    def __init__(self, data: Json, trusted: Trusted) -> None:
        self.data, self.trusted = data, trusted
        self.steps: list[Step] = []
        self.checkpoint: tuple[int, bytes] | None = None
        self.seen: list[int] = []

    @property
    def code(self) -> int:
        """The exit code that the steps come to."""
        if any(step.wrong for step in self.steps):
            return INVALID
        return INCOMPLETE if any(step.missing for step in self.steps) else VALID

    @property
    def outcome(self) -> str:
        """In a word."""
        return {VALID: "valid", INVALID: "INVALID", INCOMPLETE: "incomplete"}[self.code]

    @property
    def text(self) -> str:
        """Every step and what came of it, for people."""
        lines = []
        for number, step in enumerate(self.steps, 1):
            lines.append(f"{number}. {step.name}: {step.outcome} ({step.checked} checked)")
            lines += [
                f"   {line}" for line in [*step.wrong, *(f"not checked: {item}" for item in step.missing), *step.notes]
            ]
        # What a stranger wrote must not steer the terminal of whoever reads it.
        return "\n".join(
            "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in [*lines, self.outcome]
        )

    @property
    def json(self) -> list[Json]:
        """Every step and what came of it, for machines."""
        return [
            {
                "number": number, "name": step.name, "outcome": step.outcome, "checked": step.checked,
                "faults": step.wrong, "gaps": step.missing, "notes": step.notes,
            }
            for number, step in enumerate(self.steps, 1)
        ]  # fmt: skip

    def run(self) -> None:
        """Do every step."""
        kind = str(self.data.get("v"))
        steps = {BUNDLE: BUNDLE_STEPS, EXPORT: EXPORT_STEPS}.get(kind)
        if steps is None:
            raise Wrong(f"this is neither a proof nor an export: {kind!r}")
        for name, do in steps:
            step = Step(name)
            self.steps.append(step)
            try:
                do(self, step)
            except Wrong as fault:
                step.wrong.append(str(fault))
            except Unchecked as fault:
                step.missing.append(str(fault))
            except Exception as fault:  # noqa: BLE001 - a stranger's bytes can be anything; then they are not evidence
                step.wrong.append(f"malformed: {type(fault).__name__}: {str(fault)[:200]}")

    # Both kinds of file.

    def _signed(self, note: str, step: Step) -> None:
        logs, named = policy_keys(self.data["policy"])
        trusted = self.trusted.keys or logs
        brought = {key.identifier for key in self.trusted.witnesses}
        others = [*self.trusted.witnesses, *(key for key in named if key.identifier not in brought)]
        origin, size, root, signed = open_checkpoint(note, [*trusted, *others], step)
        if not any(key in trusted for key in signed):
            raise Wrong("no trusted key signed the checkpoint")
        if not all(key.name == origin for key in signed if key in trusted):
            raise Wrong(f"the checkpoint is of another log: {origin}")
        self.checkpoint = size, root
        step.checked = len(signed)
        step.notes.append(f"log {origin}, {size} entries, root {root.hex()}")
        self._note_signers(origin, signed, step)
        if not self.trusted.keys:
            step.missing.append("no key was given; the log's key was taken from the file itself")

    def _note_signers(self, origin: str, signed: dict[Key, int | None], step: Step) -> None:
        """Say who signed when, and how far that is to be believed."""
        for key, at in signed.items():
            if at is None:
                continue
            brought = key in self.trusted.witnesses
            strange = "" if brought or key.name == origin else ", a witness that only this file names"
            step.notes.append(f"{key.name} says that it signed at {moment(at * 1_000_000)}{strange}")
            self.seen += [at] if brought else []
        for key in self.trusted.witnesses:
            if key not in signed:
                step.missing.append(f"the witness {key.name} has not cosigned this checkpoint")

    def known_checkpoints(self, step: Step) -> None:
        """The log's state here and every checkpoint from earlier are of one history."""
        logs, _ = policy_keys(self.data["policy"])
        size, root = self.checkpoint or (0, b"")
        for note in self.trusted.known:
            _, known, known_root, signed = open_checkpoint(note, self.trusted.keys or logs, step)
            if not signed:
                raise Wrong("no trusted key signed the checkpoint that you kept")
            if not self._of_one_history((known, known_root), (size, root)):
                raise Wrong(
                    f"the log was rewritten: the checkpoint of size {known} that you kept is of another history"
                )
            step.checked += 1
            step.notes.append(
                f"nothing up to entry {min(size, known) - 1} has changed since the checkpoint that you kept"
            )
        if not self.trusted.known:
            step.notes.append("no checkpoint from earlier was given (--known), so a rewritten log would not show")

    def _of_one_history(self, one: tuple[int, bytes], other: tuple[int, bytes]) -> bool:
        (old, old_root), (new, new_root) = sorted([one, other])
        if "entries" in self.data and other[0] >= one[0]:
            leaves = [sha256(b"\x00", entry.encode()) for entry in self.data["entries"]]
            return root_of(leaves[: one[0]]) == one[1]
        if old == new:
            return old_root == new_root
        for proof in self.data.get("consistency", []):
            if (proof["old"], proof["new"]) == (old, new):
                return continues(old, old_root, new, new_root, [unbase64(item) for item in proof["hashes"]])
        raise Unchecked(f"the proof that a log of {new} entries begins with that of {old} is not in the file; "
                        "ask for one that is made with --known and your checkpoint")  # fmt: skip

    def _disclosed(self, item: Json, step: Step) -> bytes:
        """The leaf of a disclosed row, once its URL is found to be the one that it commits to, and of its host."""
        row = item["row"]
        if "url" in item:
            if sha256(bytes.fromhex(item["url_salt"]), item["url"].encode()).hex() != row["url_c"]:
                raise Wrong(f"row {row.get('seq')} is not about the URL {item['url']}")
            if surt(item["url"]) not in {None, row["host"]}:
                raise Wrong(f"row {row.get('seq')} stands under the host {row['host']}, which is not that of its URL")
        elif "url_c" in row:
            step.notes.append(f"the URL of row {row.get('seq')} is not disclosed")
        return row_leaf(bytes.fromhex(item["salt"]), row, row["host"])

    # A proof of one decision.

    def bundle_row(self, step: Step) -> None:
        """The row commits to its URL, and is in the segment."""
        manifest, path = self.data["manifest"], [unbase64(item) for item in self.data["proof"]]
        if manifest["v"] != SEGMENT:
            raise Wrong(f"an entry of the type {manifest['v']} has no rows")
        if manifest["leaf"] != LEAF:
            raise Unchecked(f"leaves made in another way: {manifest['leaf']}")
        root = root_from_path(self.data["index"], manifest["rows"], self._disclosed(self.data, step), path)
        if root.hex() != manifest["rows_root"]:
            raise Wrong("the row is not in the segment")
        step.checked = 1
        row = self.data["row"]
        if "url" in self.data:
            step.notes.append(f"about {self.data['url']}")
        step.notes.append(f"decided at {moment(row['t'])}, says the log: {row.get('effect')}, {row.get('reason')}")
        step.notes.append(json.dumps(row, sort_keys=True))

    def bundle_log(self, step: Step) -> None:
        """The segment's manifest is in the log, and the log's checkpoint is signed."""
        head, _, note = self.data["log_proof"].partition("\n\n")
        lines = head.split("\n")
        if lines[0] != "c2sp.org/tlog-proof@v1" or not re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[1]):
            raise Wrong("the proof of the log is malformed")
        self._signed(note, step)
        size, root = self.checkpoint or (0, b"")
        leaf = sha256(b"\x00", canonical(self.data["manifest"]))
        if root_from_path(int(lines[1][6:]), size, leaf, [unbase64(line) for line in lines[2:]]) != root:
            raise Wrong("the manifest is not in the log")

    def bundle_time(self, step: Step) -> None:
        """Timestamp tokens are about the checkpoint."""
        note = self.data["log_proof"].partition("\n\n")[2]
        text, _, lines = note.rpartition("\n\n")
        name = text.split("\n")[0]
        own = [line for line in lines.splitlines() if line.split(" ")[1] == name]
        stamped = "\n".join([text, "", *own, ""]).encode()
        for token in self.data["timestamps"]:
            stated = check_timestamp(unbase64(token), stamped, self.trusted.authorities)
            step.checked += 1
            step.notes.append(f"seen by a timestamp authority at {stated.isoformat()}")
            self.seen.append(int(stated.timestamp()))
        decided = self.data["row"]["t"] // 1_000_000
        if not self.seen:
            step.notes.append("nobody whom you named states a time, so only the log's word says when this was decided")
        elif decided > min(self.seen) + CLOCKS:
            raise Wrong("the row says that it was decided after others saw it in the log")
        else:
            late = (min(self.seen) - decided) // 60
            step.notes.append(f"others saw it in the log {late} minutes after the time at which it says it was decided")

    def bundle_records(self, step: Step) -> None:
        """The archived bytes are those that the row rests on."""
        Archive(self.data["records"]).check(self.data, step)

    # All decisions about a host.

    def export_log(self, step: Step) -> None:
        """The checkpoint is signed, and these are all the log's entries."""
        self._signed(self.data["checkpoint"], step)
        size, root = self.checkpoint or (0, b"")
        leaves = [sha256(b"\x00", entry.encode()) for entry in self.data["entries"]]
        if len(leaves) != size or root_of(leaves) != root:
            raise Wrong("these are not all entries of the log")
        step.checked = size

    def export_numbers(self, step: Step) -> None:
        """The rows of each writer follow each other; what was lost, erased or removed is said by the log."""
        entries = self._entries
        ends: dict[str, int] = {}
        continued = any(entry["v"] == PREDECESSOR for entry in entries)
        for index, entry in enumerate(entries):
            if entry["v"] in {SEGMENT, GAP}:
                node, first = entry["node"], entry["first_seq"]
                if first != ends.get(node, first if continued else 0):
                    raise Wrong(f"entry {index}: the rows of {node} before {first} are not in the log")
                ends[node] = first + entry["rows"]
                step.checked += 1
            if entry["v"] == GAP:
                step.notes.append(f"the log says that {entry['rows']} rows of {entry['node']} were lost before "
                                  f"{moment(entry['t'])}: {entry['reason']}")  # fmt: skip
            elif entry["v"] not in {SEGMENT, PREDECESSOR, REDACTION, PURGE} | SILENT:
                step.missing.append(f"entry {index} is of the type {entry['v']}, which this program does not know")

    def export_segments(self, step: Step) -> None:
        """Of every segment the stretch about the host is here, between neighbours on either side."""
        purged = {entry["file"]: entry for entry in self._entries if entry["v"] == PURGE}
        for entry in self._entries:
            if entry["v"] != SEGMENT:
                continue
            if entry["file"] in purged:
                gone = purged[entry["file"]]
                step.missing.append(f"{entry['file']}, with {entry['rows']} rows up to {moment(entry['t_max'])}: "
                                    f"purged at {moment(gone['t'])} ({gone['basis']})")  # fmt: skip
                continue
            if entry["file"] not in self.data["segments"]:
                raise Wrong(f"the segment {entry['file']} is left out")
            self._stretch(entry, self.data["segments"][entry["file"]], step)
        step.notes.append(f"{step.checked} decisions about {self.data['host']}")

    @property
    def _entries(self) -> list[Json]:
        return [json.loads(entry) for entry in self.data["entries"]]

    def _erased(self, file: str) -> dict[int, Json]:
        """The rows of a segment that the log says were erased, each with the entry that says so."""
        found = [entry for entry in self._entries if entry["v"] == REDACTION and entry["file"] == file]
        return {at: entry for entry in found for at in entry["rows"]}

    def _stretch(self, manifest: Json, stretch: Json, step: Step) -> None:
        host, file, items = self.data["host"], manifest["file"], stretch["items"]
        if manifest["leaf"] != LEAF:
            raise Unchecked(f"leaves made in another way: {manifest['leaf']}")
        erased = self._erased(file) if any("leaf" in item for item in items) else {}
        leaves = [self._item_leaf(item, file, erased.get(at), step) for at, item in enumerate(items, stretch["first"])]
        proof = [unbase64(item) for item in stretch["proof"]]
        if root_of_range(stretch["first"], leaves, manifest["rows"], proof).hex() != manifest["rows_root"]:
            raise Wrong(f"the rows of {file} are not as the log has them, or one is left out")
        shown = [item.get("host", host) for item in items if "leaf" not in item]
        if shown != sorted(shown):
            raise Wrong(f"the hosts in {file} are not in order")
        if stretch["first"] and not (items[0].get("host", host) < host):
            raise Wrong(f"the neighbour before the rows of {file} is left out")
        at_end = stretch["first"] + len(items) == manifest["rows"]
        if not at_end and not (items[-1].get("host", host) > host):
            raise Wrong(f"the neighbour after the rows of {file} is left out")

    def _item_leaf(self, item: Json, file: str, erased: Json | None, step: Step) -> bytes:
        host = self.data["host"]
        if "leaf" in item:
            if erased is None:
                raise Wrong(f"a row of {file} is withheld, and the log does not say that it was erased")
            step.missing.append(f"a row of {file} that was redacted at {moment(erased['t'])} ({erased['basis']}) "
                                "stands here; it may have been about this host")  # fmt: skip
            return bytes.fromhex(item["leaf"])
        if "host" in item:
            if item["host"] == host:
                raise Wrong(f"a row about the host is withheld in {file}")
            return sha256(b"\x00", bytes.fromhex(item["inner"]), item["host"].encode())
        if item["row"]["host"] != host:
            raise Wrong(f"a row of {file} is about another host")
        step.checked += 1
        return self._disclosed(item, step)

    def export_records(self, step: Step) -> None:
        """The archived bytes are those that the rows rest on."""
        archive = Archive(self.data["records"])
        for stretch in self.data["segments"].values():
            for item in stretch["items"]:
                if "row" in item:
                    archive.check(item, step)


def surt(url: str) -> str | None:
    """The host of an ordinary URL as rows name it, its labels turned round; None where that takes a URL parser."""
    found = re.fullmatch(
        r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([0-9]{1,5}))?(?:[/?#].*)?", url.lower(), re.DOTALL
    )
    if found is None or "xn--" in found[2]:
        return None
    host = found[2] if found[2].replace(".", "").isdigit() else ",".join(reversed(found[2].split(".")))
    port = found[3] if found[3] and int(found[3]) != {"http": 80, "https": 443}[found[1]] else None
    return f"{host}{f':{int(port)}' if port else ''})/"


BUNDLE_STEPS = (
    ("The row is about this URL and stands in its segment", Check.bundle_row),
    ("The segment is in the log, and the log is signed", Check.bundle_log),
    ("The log was not rewritten since the checkpoints that you kept", Check.known_checkpoints),
    ("Timestamps are about this state of the log", Check.bundle_time),
    ("The archived bytes are those that the decision rests on", Check.bundle_records),
)
EXPORT_STEPS = (
    ("The log is signed, and its entries are complete", Check.export_log),
    ("The log was not rewritten since the checkpoints that you kept", Check.known_checkpoints),
    ("Rows are numbered without gaps", Check.export_numbers),
    ("All rows about the host are here, and none is left out", Check.export_segments),
    ("The archived bytes are those that the decisions rest on", Check.export_records),
)


def check(
    data: bytes,
    keys: Sequence[str],
    authorities: Sequence[bytes],
    witnesses: Sequence[str] = (),
    known: Sequence[bytes] = (),
) -> Check:
    """Check a file; the steps and the exit code are in what comes back.

    Args:
        data: the file.
        keys: the log's public keys.
        authorities: certificates of timestamp authorities, in PEM.
        witnesses: public keys of witnesses; each must have cosigned.
        known: signed checkpoints of the log from earlier.

    Raises:
        Wrong: it is not such a file, or a key is none.
        ValueError: a certificate or checkpoint is none.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise Wrong("this is not JSON") from fault
    if not isinstance(value, dict):
        raise Wrong("this is neither a proof nor an export")
    checked = Check(value, Trusted(keys, authorities, witnesses, known))
    checked.run()
    return checked


def main() -> int:
    """Check the file named on the command line."""
    parser = argparse.ArgumentParser(description="Check a proof or an export of an evidence log.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", action="append", default=[], help="the log's public key, NAME+xxxxxxxx+BASE64")
    parser.add_argument(
        "--witness", action="append", default=[], help="the public key of a witness that must have cosigned"
    )
    parser.add_argument(
        "--known", action="append", default=[], type=Path, help="a checkpoint that you kept from earlier"
    )
    parser.add_argument(
        "--authority", action="append", default=[], type=Path, help="certificate of a timestamp authority"
    )
    options = parser.parse_args()
    try:
        authorities, known = ([path.read_bytes() for path in paths] for paths in (options.authority, options.known))
        checked = check(options.file.read_bytes(), options.key, authorities, options.witness, known)
    except (OSError, Wrong, ValueError) as fault:
        print(f"{options.file}: {fault}", file=sys.stderr)  # noqa: T201 - a program
        return UNREADABLE
    print(checked.text)  # noqa: T201 - a program
    return checked.code


if __name__ == "__main__":
    sys.exit(main())
