"""Whether a sentence objects to mining or training, for files whose subject that is.

A few stems in English, French and German, enough for the one sentence that people put where a machine-readable line
was due. It is no reader of terms of service: it takes a short text, and only says whether a person should look.
"""

from __future__ import annotations

import re

MAX_LENGTH = 4000
"""Characters; a longer text is no sentence."""

OBJECTION = re.compile(
    r"\b(?:object to|opt(?:s|ed)?[ -]out|not (?:allow|permit|authori[sz]e|give|grant|license)|prohibit|forbid|forbidden"
    r"|reserv|refuse|without (?:\w+ ){0,3}(?:consent|permission|licen[cs]e|agreement)"
    r"|(?:m'|s'|m’|s’)?oppos|interdi|non autoris|sans (?:\w+ ){0,2}(?:accord|autorisation|licence)"
    r"|vorbehalten|untersag|widersprech|nicht (?:gestattet|erlaubt)|ohne (?:\w+ ){0,3}(?:zustimmung|erlaubnis|lizenz))",
    re.IGNORECASE,
)
MINING = re.compile(
    r"\b(?:tdm\b|text and data mining|data ?mining|train|fine-tun|scrap|fouille|exploration|entra[iî]ne|extraction"
    r"|text und data mining|auslesen)",
    re.IGNORECASE,
)
DENIAL = re.compile(
    r"\b(?:no|not|don't|aucune?|pas|keine?[nrs]?|nicht)\b.{0,30}\b(?:reserv|object|oppos|prohibit|forbid|refus|vorbeh)",
    re.IGNORECASE,
)


def objects_to_mining(text: str) -> bool:
    """Whether a text objects to mining or training, and does not deny that it does."""
    if len(text) > MAX_LENGTH:
        return False
    plain = " ".join(text.replace("*", "").replace("_", "").split())
    return bool(OBJECTION.search(plain) and MINING.search(plain)) and not DENIAL.search(plain)
