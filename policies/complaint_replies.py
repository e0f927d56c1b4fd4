"""What goes out of the register: drafts of answers, the list of reservations, the list of what is to be removed.

A draft says only what the register holds; a person reads and sends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.complaint_removal import removal_line
from policies.complaints import Ground, State
from policies.document import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from policies.complaint_record import Record, Step
    from policies.complaint_search import Hit

_GROUNDS = {
    Ground.UNFOUNDED: "We consider it manifestly unfounded.",
    Ground.IDENTICAL: "It repeats a complaint of yours that we have answered already.",
    Ground.PERMITTED: "The use that you complain of is permitted.",
    Ground.NOT_USED: "In what we searched we found no copy that was kept.",
    Ground.OTHER: "",
}


def draft(record: Record) -> str:
    """The answer that the state of a complaint calls for, as plain text."""
    lines = [f"Subject: Your complaint no. {record.number} of {record.received.date().isoformat()}", ""]
    lines += [f"Dear {visible(record.complaint.name, 200)}," if record.complaint.name else "Dear Sir or Madam,", ""]
    lines += list(_BODIES[record.state](record))
    return "\n".join([*lines, "", f"Please give the number {record.number} when you write to us about this.", ""])


def _received(record: Record) -> Iterator[str]:
    yield f"we have received your complaint. We will answer by {record.due.date().isoformat()}."
    yield from _questions(record)


def _asked(record: Record) -> Iterator[str]:
    yield "before we can decide about your complaint we need to know more."
    yield f"Reason: {visible(_last(record).said['reason'])}"
    yield from _questions(record)


def _questions(record: Record) -> Iterator[str]:
    if record.complaint.lacks:
        yield ""
        yield "So that it is sufficiently precise, please tell us:"
        yield from (f"- {question}" for question in record.complaint.lacks)
    if record.complaint.unread:
        yield ""
        yield "We could not make out what is meant by:"
        yield from (f"- {visible(word, 200)}" for word in record.complaint.unread)


def _upheld(record: Record) -> Iterator[str]:
    yield "we uphold your complaint."
    yield f"Reason: {visible(_last(record).said['reason'])}"
    yield from _findings(record)
    yield ""
    yield "It is on our list of reservations, which crawls and audits follow that use the list:"
    yield from _named([text for kind, text in record.complaint.subjects if kind != "post"])
    posts = [text for kind, text in record.complaint.subjects if kind == "post"]
    if posts:
        yield "and, as far as we have found their addresses, these posts:"
        yield from _named(posts)


def _named(texts: Sequence[str]) -> Iterator[str]:
    yield from (f"- {visible(text, 300)}" for text in texts[:50])
    if len(texts) > 50:
        yield f"- and {len(texts) - 50:,} more"


def _rejected(record: Record) -> Iterator[str]:
    said = _last(record).said
    yield "we do not uphold your complaint."
    yield from filter(None, [_GROUNDS[Ground(said["ground"])]])
    if "same_as" in said:
        yield f"That was complaint no. {said['same_as']}."
    yield f"Reason: {visible(said['reason'])}"
    yield from _findings(record)
    yield ""
    yield "If you can show that this is wrong, please write to us again."


def _removed(record: Record) -> Iterator[str]:
    said = _last(record).said
    yield "what you complained of is no longer in what we keep."
    if said["looked_through"]:
        yield "We looked through all of the files below afterwards, and found nothing of it:"
        for file in said["looked_through"]:
            yield f"- {visible(file['file'], 300)} ({file['items']:,} items, SHA-256 {file['sha256']})"
    if said.get("declared_deleted"):
        yield "These have been deleted as a whole, as we declare:"
        yield from (f"- {visible(name, 300)}" for name in said["declared_deleted"])
    gone = said["gone"]
    yield f"Copies that had been found before: {gone['items']:,} (SHA-256 of their list: {gone['sha256']})."
    yield "Models that were trained before are not changed by this."


def _findings(record: Record) -> Iterator[str]:
    searches = [step for step in record.steps if step.what == "searched"]
    if searches:
        said = searches[-1].said
        yield ""
        yield f"We searched {', '.join(visible(place, 200) for place in said['places'])}:"
        yield f"{said['log_rows']:,} entries of logs and {said['dataset_rows']:,} rows of datasets are about it;"
        yield f"{said['kept']:,} of them say that a copy was kept."


def _last(record: Record) -> Step:
    return next(step for step in reversed(record.steps) if step.what == record.state)


_BODIES = {
    State.RECEIVED: _received,
    State.ASKED: _asked,
    State.UPHELD: _upheld,
    State.REJECTED: _rejected,
    State.REMOVED: _removed,
}


def opt_outs(reserved: Sequence[tuple[Record, Sequence[str]]], issuer: str) -> str:
    """A plain list for `optout lists import`; its comments tell who keeps it and which complaint a line rests on."""
    lines = [f"# issuer: {visible(issuer, 200)}", "# basis: upheld complaints of rightsholders (Measure 1.5)"]
    written: set[str] = set()
    for record, entries in reserved:
        lines.append(f"# complaint {record.number}, upheld {_upheld_on(record)}")
        lines += [entry for entry in entries if entry not in written]
        written.update(entries)
    return "\n".join(lines) + "\n"


def removals(record: Record, hits: Iterable[Hit]) -> Iterator[str]:
    """What is to be removed, as JSON lines."""
    yield from (removal_line(record.number, hit) for hit in hits if hit.kept)


def _upheld_on(record: Record) -> str:
    return next(step.at.date().isoformat() for step in reversed(record.steps) if step.what == State.UPHELD)
