"""Errors a caller can mend, each as one line that names the input, the place in it and the mend.

A stranger's mistake (a malformed robots.txt, a damaged image) is never one of these: it is data, an
`optout.model.Problem`. An error here means that *we* were asked something that cannot be done.
"""

from __future__ import annotations


class OptoutError(Exception):
    """The root of every error this library raises on purpose.

    Args:
        message: what is wrong, naming the input.
        place: where in the input, such as `line 3` (optional).
        mend: what the reader can do about it (optional).
    """

    def __init__(self, message: str, *, place: str | None = None, mend: str | None = None) -> None:
        """Keep the three parts apart, so that a program can use them, and join them for people."""
        # The name of a file need not be text, and what is said of it has to be written down.
        self.message = message = message.encode("utf-8", "backslashreplace").decode()
        self.place = place
        self.mend = mend
        head = f"{message} ({place})" if place else message
        super().__init__(f"{head}: {mend}" if mend else head)


class MalformedUrl(OptoutError):
    """A URL that names no origin: no scheme, no host, or characters that no URL may hold."""


class PolicyError(OptoutError):
    """A policy, registry or agent file that cannot be used; names the file, line and key."""


class UnknownProtocol(OptoutError):
    """A protocol name that no file under `optout/signals/` declares."""


class UnreadableInput(OptoutError):
    """An input of ours (a file, a line, a column) that cannot be read at all."""


class EvidenceError(OptoutError):
    """The evidence log cannot be written or continued; nothing may go on unlogged."""
