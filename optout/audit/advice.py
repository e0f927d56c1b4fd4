"""What to do next about an audit, in the order of what it is worth, each with the command that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Figures = Mapping[str, Any]

_OFTEN = 0.005
"""The share of rows from which on a thing is worth a step of its own."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A thing to do.

    Attributes:
        text: what, and why.
        command: what does it, with OUT, STORE and DATA for what the audit was given, and COPY for a copy of OUT on
            this machine; empty where no command does.
    """

    text: str
    command: str = ""

    def json(self) -> dict[str, str]:
        """As the report holds it."""
        return {"text": self.text, "command": self.command}


def advice(figures: Figures, *, is_remote: bool) -> list[Advice]:
    """What to do next; of a log that lies on another file system, a copy is verified."""
    found = [*_inputs(figures), *_unknown(figures), *_coverage(figures), *_time(figures), *_choices(figures)]
    if not figures["rows"]["judged"]:
        return [Advice("No row was judged. Name files that hold rows."), *found]
    if not figures["rows"]["kept"]:
        what = "No row may be used as it stands. Keep this folder: its log proves what was decided."
        return [*found, Advice(what, "optout evidence verify OUT --store STORE")]
    kept = _count(figures["rows"]["kept"], "row")
    what = f"Train on the {kept} in kept/, and keep this folder: its log proves what was decided."
    if is_remote:
        what += " Whoever checks it copies the folder to a machine of theirs first."
    return [*found, Advice(what, f"optout evidence verify {'COPY' if is_remote else 'OUT'} --store STORE")]


def _inputs(figures: Figures) -> Iterator[Advice]:
    """What could not be read comes first, because nobody knows what is in it."""
    broken = [one for one in figures["files"] if one["unreadable"]]
    faults = sum(one["faults"] for one in figures["files"]) - len(broken)
    if broken:
        yield Advice(
            f"{_count(len(broken), 'file')} could not be read at all: nothing in there was judged or kept. Mend what "
            "is listed below and run the same command again; what is done stays done."
        )
    if faults > 0:
        yield Advice(
            f"{_count(faults, 'place')} in the input could not be read; those rows count and are not kept. See below."
        )
    malformed = figures["rows"]["malformed"]
    if malformed > _OFTEN * figures["rows"]["judged"]:
        yield Advice(
            f"{_which(malformed, 'row', figures, 'names', 'name')} no web address. If that is many, another "
            "column may hold the URLs.",
            "optout audit DATA --url-column NAME --store STORE --out OUT",
        )


def _unknown(figures: Figures) -> Iterator[Advice]:
    rows = figures["rows"]["unknown"]
    never = rows - figures["time"]["unknown_then"]
    if never > 0:
        count = figures.get("unknown_origin_count", 0)
        steps = figures["unknown_settled"]
        worth = f" The first {steps[0]['origins']:,} of them settle {steps[0]['rows']:,} rows." if steps else ""
        yield Advice(
            f"{_which(never, 'row', figures, 'is', 'are')} of {_count(count, 'origin')} that the store knows "
            f"nothing about; the policy says {figures['policy']['unknown']}. Fetch what they say, and audit again."
            f"{worth}",
            "optout harvest OUT/unknown-origins.txt --store STORE",
        )
    then = figures["time"]["unknown_then"] - figures["time"]["without_a_date"]
    if then > 0:
        days = figures["policy"]["nearest_capture_days"]
        yield Advice(
            f"For {_count(then, 'row')} ({_share(then, figures)}) no capture lies within {days} days of the row's "
            "date. Archives such as Common Crawl's robotstxt subset have captures of that time.",
            "optout harvest --import ARCHIVE.warc.gz --store STORE",
        )
    if figures["time"]["without_a_date"]:
        count = figures["time"]["without_a_date"]
        yield Advice(
            f"{_which(count, 'row', figures, 'has', 'have')} no date that could be read: no state is theirs.",
            "optout audit DATA --date-column NAME --as-of crawl --store STORE --out OUT",
        )


def _coverage(figures: Figures) -> Iterator[Advice]:
    """Rows that are held back because something was not looked at, or did not answer."""
    gaps: dict[tuple[str, str], int] = {}
    for reason in figures["reasons"]:
        kind, _, carrier = reason["reason"].removeprefix("since.").partition(":")
        if kind.startswith("coverage.") and reason["effect"] != "permit":
            gaps[kind, carrier] = gaps.get((kind, carrier), 0) + reason["rows"]
    for (kind, carrier), count in sorted(gaps.items(), key=lambda item: -item[1]):
        near = "" if figures["as_of"] == "now" else ", or not near enough to the date"
        what = f"was never looked at{near}" if kind.endswith("not-consulted") else "could not be had"
        name = carrier or "a file"
        yield Advice(
            f"{_which(count, 'row', figures, 'is', 'are')} held back only because {name} {what}.",
            "optout harvest ORIGINS.txt --store STORE",
        )


def _time(figures: Figures) -> Iterator[Advice]:
    since = figures["time"]["reserved_since"]
    if since and not figures["retroactive"]:
        yield Advice(
            f"{_which(since, 'kept row', figures, 'has', 'have')} been reserved since. Whether that matters "
            "to you is a question for a lawyer; this takes them out.",
            "optout audit DATA --retroactive --as-of crawl --store STORE --out OUT",
        )


def _choices(figures: Figures) -> Iterator[Advice]:
    """What people have to look at themselves."""
    review = figures["rows"]["review"]
    if review:
        yield Advice(
            f"{_which(review, 'row', figures, 'waits', 'wait')} for a person's decision; the reasons are below, "
            "and effect = 'review' finds them in the decisions."
        )
    though = figures["own_token"]["kept_though_another_is_refused"]
    if though > _OFTEN * figures["rows"]["judged"]:
        yield Advice(
            f"{_which(though, 'kept row', figures, 'is', 'are')} of sites that refuse some other AI crawler. "
            "The policy key named_agents says what that means to you."
        )


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _which(count: int, what: str, figures: Figures, one: str, many: str) -> str:
    """How many, what share that is, and the verb that fits."""
    return f"{_count(count, what)} ({_share(count, figures)}) {one if count == 1 else many}"


def _share(count: int, figures: Figures) -> str:
    return percent(count, figures["rows"]["judged"])


def percent(part: int, whole: int) -> str:
    """A share for people: never 0 % of something, and never all of less than all."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    if share < 0.1:
        return "< 0.1 %"
    if part < whole and share > 99.9:
        return "> 99.9 %"
    return f"{share:.1f} %" if part < whole else "100 %"
