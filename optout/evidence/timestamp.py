"""Trusted time: RFC 3161 tokens over signed checkpoints.

What is stamped is the checkpoint with the log's own signatures and nobody else's, so cosignatures that come later
do not change it. A token is verified offline, at the time that it states, against authorities that the verifier
names; certificates that have run out since do not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, VerificationError, VerifierBuilder
from rfc3161_client import decode_timestamp_response as decode

from optout.errors import EvidenceError
from optout.evidence import checkpoint, note
from optout.evidence.http_post import TIMEOUT_SECONDS, post
from optout.evidence.note import Note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class NoAuthorityError(EvidenceError):
    """A token is about the right bytes, and nobody named an authority to verify it with."""


def stamped(signed: bytes) -> bytes:
    """The part of a signed checkpoint that is stamped.

    Raises:
        MalformedNote: it is no checkpoint.
    """
    found = note.parse(signed)
    origin = checkpoint.parse(found.text).origin
    return Note(found.text, tuple(line for line in found.signatures if line.name == origin)).bytes


def request(url: str, data: bytes, timeout: float = TIMEOUT_SECONDS) -> bytes:
    """Ask a timestamp authority for a token over these bytes (RFC 3161 section 3.4).

    Args:
        url: of the authority, http or https.
        data: what is to be stamped.
        timeout: in seconds.

    Raises:
        EvidenceError: it does not answer, or answers something else.
    """
    asked = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    answer = post(url, asked.as_bytes(), "application/timestamp-query", timeout)
    if answer.status != 200:
        raise EvidenceError(f"{url} gives no timestamp", place=f"status {answer.status}")
    token = answer.body
    try:
        answered = decode(token)
        if answered.tst_info.nonce != asked.nonce:
            raise EvidenceError(f"{url} answered another request")
        _hold_to(token, data)
    except ValueError as fault:
        # OpenSSL does not sort the certificates of a token, as DER asks, so two of them cannot be read by everybody.
        mend = "let the authority put only its own certificate into a token" if "Ordering" in str(fault) else None
        raise EvidenceError(f"{url} gives no timestamp", place=str(fault), mend=mend) from fault
    return token


def check(token: bytes, data: bytes, authorities: Sequence[bytes]) -> datetime:
    """The time at which an authority saw these bytes.

    Args:
        token: the authority's answer.
        data: the bytes.
        authorities: certificates, in PEM; any of them may have signed the authority's own.

    Raises:
        NoAuthorityError: the token is about these bytes, and no authority was named.
        EvidenceError: the token is damaged, about other bytes, or by somebody else.
    """
    try:
        when = _hold_to(token, data)
    except ValueError as fault:
        raise EvidenceError("the token is damaged", place=str(fault)) from fault
    if not authorities:
        raise NoAuthorityError("no timestamp authority was named", mend="give its certificate")
    roots = [certificate for pem in authorities for certificate in x509.load_pem_x509_certificates(pem)]
    problems = []
    for root in roots:
        try:
            VerifierBuilder(roots=[root]).build().verify_message(decode(token), data)
        except VerificationError as fault:
            problems.append(str(fault))
            continue
        return when
    raise EvidenceError("the token is not by a named authority", place=problems[0] if problems else None)


def _hold_to(token: bytes, data: bytes) -> datetime:
    """The time that a token states, once its imprint has been found to be that of the bytes."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - only a token needs them

    said = decode(token).tst_info
    names = {"2.16.840.1.101.3.4.2.1": hashes.SHA256(), "2.16.840.1.101.3.4.2.3": hashes.SHA512()}
    algorithm = names.get(said.message_imprint.hash_algorithm.dotted_string)
    if algorithm is None:
        raise EvidenceError("the token has an imprint by an unknown hash")
    digest = hashes.Hash(algorithm)
    digest.update(data)
    if digest.finalize() != said.message_imprint.message:
        raise EvidenceError("the token is about other bytes")
    return said.gen_time
