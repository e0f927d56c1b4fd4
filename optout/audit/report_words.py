"""Reason codes in words, for the people who read a report. The codes themselves are what programs go by."""

from __future__ import annotations

from optout.audit.outcomes import SINCE

_WORDS = {
    "no-reservation": "nothing that was looked at reserves anything",
    "origin.unknown": "the store knows nothing about the origin",
    "origin.unknown-then": "no capture of the origin is near enough to the row's date",
    "url.malformed": "the row names no web address",
    "url.missing": "the row has no URL",
    "robots.group.disallow": "a rule of robots.txt refuses the path",
    "robots.unreachable": "robots.txt could not be fetched, which counts as a refusal",
    "robots.truncated": "robots.txt is longer than is read, and counts as a refusal",
    "robots.second-reader": "a second reader of robots.txt refuses what the first allows",
    "robots.repaired.disallow": "a rule of robots.txt refuses the path, once its syntax is mended",
}
_BEGINNINGS = {
    "coverage.not-consulted": "held back because a file was never looked at, or not near enough to the date",
    "coverage.unreachable": "held back because a file could not be fetched",
    "coverage": "held back because a file could not be looked at",
    "robots.": "robots.txt refuses",
    "tdmrep.": "a statement of TDMRep",
    "content-signal.": "a Content-Signal line of robots.txt",
    "content-usage.": "a Content-Usage statement (AIPREF)",
    "rsl.": "an RSL licence does not cover it",
    "directives.": "the page's robots directives",
    "ai-txt.": "ai.txt",
    "trust-txt.": "trust.txt",
    "list.": "a list of opt-outs or sites",
    "unreadable": "there is metadata that could not be read",
}
"""For the many reasons that protocols have of their own."""


def explained(reason: str) -> str:
    """A reason in words; empty where its code has to do."""
    if reason.startswith(SINCE):
        return f"by a state later than the one that the row is judged by: {explained(reason[len(SINCE) :])}".rstrip(
            ": "
        )
    if reason in _WORDS:
        return _WORDS[reason]
    return next((words for beginning, words in _BEGINNINGS.items() if reason.startswith(beginning)), "")
