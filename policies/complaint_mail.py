"""What an e-mail says: sender, subject, text, and the names of what is attached and was not read.

Python's parser of mail is thorough and not made for enemies: nested messages exhaust its stack, and a header of a few
hundred kilobytes its patience. So it runs in a process of its own, with an end to time and memory. This file is that
process as well; it imports nothing of ours.
"""

from __future__ import annotations

import csv
import email
import email.policy
import io
import json
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20
"""CPU time that a message may cost; more wall time only where the machine is busy."""

_WALL_SECONDS = 90
_MEMORY = 512 * 1024**2
_MOST_PARTS, _MOST_ATTACHMENTS = 1_000, 100
_MOST_CHARACTERS = 4_000_000
_READ = {"text/plain", "text/csv", "text/html", "text/tab-separated-values"}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]+")
_COMMAND = (sys.executable, "-I", str(Path(__file__)))


class UnreadableMailError(Exception):
    """A message that cannot be read within its bounds; says why."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What a message says.

    Attributes:
        name: the sender's, on one line.
        contact: the address for an answer; `Reply-To` where it is given.
        title: the subject, on one line.
        text: the body.
        attached: the text of attachments that are text.
        unread: the names of the other attachments.
    """

    name: str = ""
    contact: str = ""
    title: str = ""
    text: str = ""
    attached: str = ""
    unread: tuple[str, ...] = ()


def read(data: bytes) -> Mail:
    """Read a message in a process of its own.

    Raises:
        UnreadableMailError: it takes too much time or memory, or is nested too deeply.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own file under our own interpreter
            _COMMAND, input=data, capture_output=True, timeout=_WALL_SECONDS, check=False,
            env={"HOME": "/", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UnreadableMailError("it takes too long to read") from error
    if done.returncode:
        raise UnreadableMailError("it is nested too deeply, or takes too much time or memory to read")
    said = json.loads(done.stdout)
    return Mail(**{**said, "unread": tuple(said["unread"])})


def main() -> None:
    """Read the message on standard input, and write what it says as JSON."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    sys.stdout.write(json.dumps(_read(sys.stdin.buffer.read())))


def _read(data: bytes) -> dict[str, Any]:
    message: EmailMessage = email.message_from_bytes(data, policy=email.policy.default)
    name, contact = _sender(message)
    body = _body(message)
    text, attached, unread = _content(body) if body is not None else "", "", list[str]()
    for part in _parts(message):
        if part is body or part.is_multipart():
            continue
        if _kind(part) in _READ and len(attached) < _MOST_CHARACTERS:
            attached += f"{_content(part)}\n"
        elif len(unread) < _MOST_ATTACHMENTS and _is_attached(part):
            unread.append(f"attachment {_line(_file_name(part)) or 'without a name'} ({_kind(part)})")
    return {"name": name, "contact": contact, "title": _line(_field(message, "Subject")),
            "text": text[:_MOST_CHARACTERS], "attached": attached[:_MOST_CHARACTERS], "unread": unread}  # fmt: skip


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    for number, part in enumerate(message.walk()):
        if number == _MOST_PARTS:
            return
        if isinstance(part, EmailMessage):
            yield part


def _sender(message: EmailMessage) -> tuple[str, str]:
    """Name and address; the reply address where one is given. A header that breaks the rules gives nothing."""
    try:
        senders = getattr(message["From"], "addresses", ())
        answers = getattr(message["Reply-To"], "addresses", ()) or senders
        name = _line(str(senders[0].display_name)) if senders else ""
        return name, _line(str(answers[0].addr_spec)) if answers else ""
    except Exception:  # noqa: BLE001 - the standard parser of headers fails on hostile ones in many ways
        return "", ""


def _field(message: EmailMessage, name: str) -> str:
    try:
        return str(message[name] or "")
    except Exception:  # noqa: BLE001 - as above
        return ""


def _line(text: str) -> str:
    """One line: a decoded header may hold line ends, which would begin another header in an answer."""
    return _CONTROLS.sub(" ", text).strip()


def _body(message: EmailMessage) -> EmailMessage | None:
    try:
        found = message.get_body(("plain", "html"))
    except Exception:  # noqa: BLE001 - as above
        return message
    return found if isinstance(found, EmailMessage) else None


def _kind(part: EmailMessage) -> str:
    try:
        return part.get_content_type()
    except Exception:  # noqa: BLE001 - as above
        return "unknown"


def _is_attached(part: EmailMessage) -> bool:
    try:
        return part.is_attachment() or bool(part.get_filename())
    except Exception:  # noqa: BLE001 - as above
        return True


def _file_name(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except Exception:  # noqa: BLE001 - as above
        return ""


def _content(part: EmailMessage) -> str:
    text = _decoded(part)
    if _kind(part) == "text/html":
        return _words_of(text)
    if _kind(part) == "text/csv":
        return _cells_of(text)
    return _unfolded(text, joined=_said(part, "delsp") == "yes") if _said(part, "format") == "flowed" else text


def _decoded(part: EmailMessage) -> str:
    """The text of a part; UTF-8 or octets for characters where its charset or encoding is unknown or not so."""
    try:
        text = part.get_content()
    except Exception:  # noqa: BLE001 - as above: an unknown charset, a broken encoding
        text = None
    if isinstance(text, str) and "\ufffd" not in text:
        return text
    octets = part.get_payload(decode=True)
    if not isinstance(octets, bytes):
        return text if isinstance(text, str) else ""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return text if isinstance(text, str) else octets.decode("latin-1")


def _said(part: EmailMessage, name: str) -> str:
    """A parameter of the content type, in lower case."""
    try:
        return str(part.get_param(name, "")).lower()
    except Exception:  # noqa: BLE001 - as above
        return ""


def _unfolded(text: str, *, joined: bool) -> str:
    """Lines that a sender has broken, as they were (RFC 3676 section 4): a long address goes on in the next one.

    Args:
        text: lines; one that ends in a space goes on, unless it begins a signature.
        joined: whether that space was put in by the sender (`DelSp=yes`).
    """
    made: list[str] = []
    goes_on = ""
    for line in text.splitlines():
        marks = line[: len(line) - len(line.lstrip(">"))]
        own = line[len(marks) :].removeprefix(" ")
        if made and goes_on == f"{marks} ":
            made[-1] += own
        else:
            made.append(f"{marks} {own}" if marks else own)
        flows = own.endswith(" ") and own != "-- "
        goes_on = f"{marks} " if flows else ""
        if flows and joined:
            made[-1] = made[-1][:-1]
    return "\n".join(made)


def _cells_of(text: str) -> str:
    """The cells of a table, one a line; its first line tells what stands between them."""
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        return "\n".join(cell for row in csv.reader(io.StringIO(text), delimiter=separator) for cell in row)
    except csv.Error:
        return text


def _words_of(source: str) -> str:
    """The words of a page and the addresses that it links to, as its readers are led to them."""
    from selectolax.lexbor import LexborHTMLParser  # noqa: PLC0415 - native code, for this alone

    tree = LexborHTMLParser(source)
    links = [value for node in tree.css("[href], [src]") for name in ("href", "src")
             if (value := node.attributes.get(name))]  # fmt: skip
    tree.strip_tags(["script", "style", "template"])
    return "\n".join([tree.body.text(separator=" ") if tree.body else "", *links])


if __name__ == "__main__":
    main()
