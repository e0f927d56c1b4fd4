"""Text and bare manifest stores: C2PA manifests that no reader here supports, but whose presence must not be missed.

C2PA 2.3, annex A.7 (unstructured text: a wrapper of Unicode variation selectors behind U+FEFF) and A.8 (structured
text: an armoured block).
"""

from __future__ import annotations

from optout.syntax.located import HEAD, Fault, Findings, Slot, Source


def _selector(byte: int) -> str:
    """The variation selector that stands for a byte: the first 16 values are in the BMP, the others on plane 14."""
    return chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16)


_WRAPPER = ("\ufeff" + "".join(map(_selector, b"C2PATXT\0"))).encode()
_ARMOUR = b"-----BEGIN C2PA MANIFEST-----"
_EDGE = 1024 * 1024


def walk(source: Source, found: Findings) -> None:
    """Look for either form in the first and the last mebibyte of a text."""
    for start in {0, max(source.size - _EDGE, 0)}:
        edge = source.read(start, _EDGE)
        for form in (_WRAPPER, _ARMOUR):
            at = edge.find(form)
            if at >= 0:
                found.damage(Fault.UNSUPPORTED, start + at, "text manifest", Slot.C2PA)


def store(source: Source, found: Findings) -> None:
    """A manifest store on its own speaks for a file that is not here."""
    if b"jumdc2pa" in source.head[:HEAD]:
        found.damage(Fault.UNSUPPORTED, 0, "bare manifest store", Slot.C2PA)
