"""Witnesses (C2SP tlog-witness): somebody else remembers how large the log was, and signs that it only grew.

`ask` is the log's side. `Witness` is the other side for private witnesses: an auditor, a collecting society, a
colleague in another building. It keeps one tree head for each log it knows, and never answers before that is on
the disk.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from optout.errors import EvidenceError
from optout.evidence import checkpoint as checkpoints
from optout.evidence import note as notes
from optout.evidence import tlog
from optout.evidence.canonical import decode, encode
from optout.evidence.files import PRIVATE_FILE, write_durably
from optout.evidence.http_post import Answer, post
from optout.evidence.keystore import TreeHead

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from aiohttp.web import AppRunner

    from optout.evidence.canonical import JSON
    from optout.evidence.log import LogReader
    from optout.evidence.note import Signature, SignerKey, VerifierKey

LARGEST_MESSAGE = 1 << 20
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"


class ForkError(EvidenceError):
    """A witness has seen another history of this log than the one that is here. Nothing may be signed any more."""


def ask(url: str, key: VerifierKey, signed: bytes, reader: LogReader, old: int) -> tuple[Signature, ...]:
    """Ask a witness to cosign a checkpoint; give its cosignatures, verified.

    Args:
        url: where the witness takes checkpoints (its submission prefix).
        key: its public key.
        signed: the signed checkpoint.
        reader: the log of that size.
        old: the size that the witness cosigned last, as far as is known.

    Raises:
        ForkError: the witness has seen a larger log, or another one of the same size, or rejects the proof.
        EvidenceError: it cannot be reached, does not know the log, or signs with another key.
    """
    address = f"{url.rstrip('/')}/add-checkpoint"
    answer = post(address, checkpoints.format_request(old, reader.consistency(old), signed), TEXT_TYPE)
    if answer.status == 409:
        seen = _size(url, answer)
        if seen > reader.size or seen == old:
            place = f"it has seen size {seen}, the log has {reader.size}"
            raise ForkError(f"the witness {key.name} knows another history of this log", place=place)
        answer = post(address, checkpoints.format_request(seen, reader.consistency(seen), signed), TEXT_TYPE)
    if answer.status in {409, 422}:
        raise ForkError(f"the witness {key.name} refuses the proof that the log only grew", place=str(answer.status))
    if answer.status != 200:
        reason = answer.body.decode("utf-8", "replace").strip()[:200]
        raise EvidenceError(f"the witness {key.name} does not cosign", place=f"{answer.status} {reason}".strip())
    return _cosignatures(key, signed, answer.body)


class Witness:
    """The witness's side: what it remembers, and its answers."""

    def __init__(self, directory: Path, signer: SignerKey, logs: Sequence[VerifierKey]) -> None:
        """Open a witness.

        Args:
            directory: where it remembers; one file.
            signer: its key, of a cosignature kind.
            logs: the public keys of the logs that it witnesses; their names are the logs' origins.
        """
        self._path, self._signer = directory / "witnessed.json", signer
        self._logs = {key.name: [other for other in logs if other.name == key.name] for key in logs}
        self._one_at_a_time = threading.Lock()

    def add_checkpoint(self, body: bytes, seconds: int) -> Answer:
        """Answer an `add-checkpoint` request.

        Args:
            body: the request.
            seconds: the time to state, in POSIX seconds.

        Raises:
            EvidenceError: the disk refuses; nothing has been signed then.
        """
        try:
            old, proof, signed = checkpoints.parse_request(body)
            origin = checkpoints.parse(notes.parse(signed).text).origin
        except notes.MalformedNote as fault:
            return Answer(400, f"{fault}\n".encode())
        if origin not in self._logs:
            return Answer(404, b"this log is not known here\n")
        try:
            found = checkpoints.open_note(signed, self._logs[origin]).checkpoint
        except notes.MalformedNote as fault:
            return Answer(403, f"{fault}\n".encode())
        if old > found.size:
            return Answer(400, b"the old size is larger than the checkpoint's\n")
        with self._one_at_a_time:
            return self._witnessed(found, old, proof, seconds)

    def _witnessed(self, found: checkpoints.Checkpoint, old: int, proof: Sequence[bytes], seconds: int) -> Answer:
        known = self._remembered()
        before = known.get(found.origin, TreeHead(0, tlog.EMPTY_ROOT))
        if old != before.size:
            return Answer(409, f"{before.size}\n".encode(), SIZE_TYPE)
        if old == found.size and before.root != found.root:
            return Answer(409, f"{before.size}\n".encode(), SIZE_TYPE)
        if not tlog.check_consistency(old, before.root, found.size, found.root, proof):
            return Answer(422, b"the consistency proof does not hold\n")
        self._remember(known | {found.origin: TreeHead(found.size, found.root)})
        return Answer(200, checkpoints.sign(found, self._signer, seconds).line.encode())

    def _remembered(self) -> dict[str, TreeHead]:
        try:
            said = decode(self._path.read_bytes())
            return {name: TreeHead(int(size), bytes.fromhex(root)) for name, (size, root) in said.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as fault:
            raise EvidenceError(f"{self._path} is damaged", mend="restore it from a copy") from fault

    def _remember(self, heads: Mapping[str, TreeHead]) -> None:
        said: dict[str, JSON] = {name: [head.size, head.root.hex()] for name, head in heads.items()}
        write_durably(self._path, encode(said), PRIVATE_FILE)


async def serve(witness: Witness, host: str, port: int, clock: Callable[[], float]) -> AppRunner:
    """Answer requests over HTTP until the runner that comes back is cleaned up.

    Args:
        witness: who answers.
        host: the address to listen at.
        port: the port; 0 for any.
        clock: gives POSIX seconds.
    """
    from aiohttp import web  # noqa: PLC0415 - only a witness serves

    async def add_checkpoint(request: web.Request) -> web.Response:
        answer = witness.add_checkpoint(await request.read(), int(clock()))
        headers = {"Content-Type": answer.content_type}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    application = web.Application(client_max_size=LARGEST_MESSAGE)
    application.router.add_post("/add-checkpoint", add_checkpoint)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _size(url: str, answer: Answer) -> int:
    text = answer.body.decode("ascii", "replace").strip()
    if answer.content_type.split(";")[0].strip() != SIZE_TYPE or not re.fullmatch(r"0|[1-9][0-9]{0,18}", text):
        raise EvidenceError(f"the witness at {url} answers a conflict without a size")
    return int(text)


def _cosignatures(key: VerifierKey, signed: bytes, body: bytes) -> tuple[Signature, ...]:
    try:
        lines = notes.parse_signatures(body.decode())
        own = tuple(line for line in lines if key.made(line))
        checkpoints.open_note(notes.Note(notes.parse(signed).text, own).bytes, [key])
    except (notes.MalformedNote, UnicodeDecodeError) as fault:
        raise EvidenceError(f"the witness {key.name} did not cosign with its key", place=str(fault)) from fault
    return own
