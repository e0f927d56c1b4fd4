"""Who we are to a web site: the product token that rules are addressed to, and what we send with requests."""

from __future__ import annotations

import re
from dataclasses import dataclass

from optout.errors import OptoutError
from optout.model import EVERYONE

_TOKEN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_BROWSER = re.compile(r"\b(?:Firefox|Chrome|Safari|Edg|OPR)/\d")


class MalformedToken(OptoutError):
    """A product token that no robots.txt group could be addressed to."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A crawler's identity.

    Attributes:
        token: the product token (RFC 9309 section 2.2.1). Digits are accepted beyond the letter of the RFC
            because real crawlers carry them (`AI2Bot`). `*` stands for a crawler that no file names.
        user_agent: the full User-Agent header; empty means the token alone.
        contact: an e-mail address for the From header (RFC 9110 section 10.1.2), or empty.
    """

    token: str
    user_agent: str = ""
    contact: str = ""

    def __post_init__(self) -> None:
        """Refuse a token that cannot be matched by anyone's rules.

        Raises:
            MalformedToken: the token has characters that no product token may have.
        """
        if self.token != EVERYONE and not _TOKEN.fullmatch(self.token):
            message = f"product token {self.token!r} is malformed"
            raise MalformedToken(message, mend="use letters, digits, '-' and '_' only, such as ExampleBot")

    @property
    def key(self) -> str:
        """The token as it is compared: RFC 9309 section 2.2.1 compares without regard to case."""
        return self.token.lower()

    @property
    def header(self) -> str:
        """The User-Agent header to send."""
        return self.user_agent or self.token

    @property
    def poses_as_browser(self) -> bool:
        """Whether the User-Agent hides the crawler behind a browser's name (no token of ours in it)."""
        return self.key not in self.header.lower() or bool(_BROWSER.search(self.header))
