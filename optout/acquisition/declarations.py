"""Declarations about works by ISCC, imported as JSON lines and matched with files here.

ISO 24138:2024; TDM·AI declarations (https://docs.tdmai.org). No registry offers anonymous look-ups or a dump, so
declarations come as a file: one declaration a line, with `signer` where its signature has been verified. The same
bytes (Instance-Code) are the declared work. Similar bytes (Data-Code) and similar pictures (Image-Code) are a hint with
a distance, never more. Needs the extra `iscc`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from PIL import Image, ImageChops, ImageOps

from optout.errors import UnreadableInput
from optout.syntax.located import Packet, Slot
from optout.syntax.parts import NEAR

NEAREST = 8
"""Bits of 64 in which two codes may differ and still be called similar."""

_CONTENT, _DATA, _INSTANCE = 2, 3, 4
_IMAGE_SUBTYPE = 1
_MAX_LINE = 1024 * 1024
_MAX_PIXELS = 200_000_000
_SIDE = 32


@dataclass(frozen=True, slots=True)
class Codes:
    """The 64-bit codes of a file or declaration; None where there is none."""

    instance: int | None = None
    data: int | None = None
    image: int | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declaration: its JSON, the line it stood in, and the codes of the work."""

    text: bytes
    line: int
    codes: Codes


class Declarations:
    """Declarations by code; of two for the same ISCC the later one counts."""

    def __init__(self, declarations: list[Declaration]) -> None:
        self._by_instance = {item.codes.instance: item for item in declarations if item.codes.instance is not None}
        self._all = declarations

    @classmethod
    def read(cls, name: str) -> Declarations:
        """Read a file of declarations.

        Raises:
            UnreadableInput: it cannot be read, a line is no declaration, or the extra is not installed.
        """
        found: dict[str, Declaration] = {}
        try:
            with Path(name).open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        iscc, declaration = _declaration(name, number, line)
                        found[iscc] = declaration
        except OSError as error:
            raise UnreadableInput(f"{name}: {error.strerror}", mend="name a file of declarations") from error
        return cls(list(found.values()))

    def match(self, name: str, media_type: str) -> Iterator[Packet]:
        """The declarations about a file, or about one like it, each as a part of the file.

        Args:
            name: the path of the file.
            media_type: by its first bytes.
        """
        codes = _codes_of_file(name, media_type)
        exact = None if codes.instance is None else self._by_instance.get(codes.instance)
        if exact is not None:
            yield Packet(Slot.JSON, f"declaration in line {exact.line}, same bytes", exact.text)
            return
        for declaration in self._all:
            for kind, mine, theirs in _comparable(codes, declaration.codes):
                distance = (mine ^ theirs).bit_count()
                if distance <= NEAREST:
                    where = f"{NEAR}: declaration in line {declaration.line}, {kind} differ in {distance} of 64 bits"
                    yield Packet(Slot.JSON, where, declaration.text)
                    break


def _comparable(mine: Codes, theirs: Codes) -> Iterator[tuple[str, int, int]]:
    if mine.data is not None and theirs.data is not None:
        yield "bytes", mine.data, theirs.data
    if mine.image is not None and theirs.image is not None:
        yield "pictures", mine.image, theirs.image


def _declaration(name: str, number: int, line: bytes) -> tuple[str, Declaration]:
    mend = "write one TDM·AI declaration a line, as a JSON object with `iscc`"
    try:
        document = json.loads(line[:_MAX_LINE])
        iscc = document["iscc"]
        codes = _codes(iscc)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableInput(f"{name} holds no declaration", place=f"line {number}", mend=mend) from error
    return iscc, Declaration(json.dumps(document, sort_keys=True).encode(), number, codes)


def _codes(iscc: str) -> Codes:
    """Take a composite code apart.

    Raises:
        ValueError: it is none.
    """
    instance = data = image = None
    library = _library()
    for unit in library.iscc_decompose(iscc):
        kind, subtype, _, _, digest = library.iscc_decode(unit)
        value = int.from_bytes(digest[:8])
        if kind == _INSTANCE:
            instance = value
        elif kind == _DATA:
            data = value
        elif kind == _CONTENT and subtype == _IMAGE_SUBTYPE:
            image = value
    return Codes(instance, data, image)


def _codes_of_file(name: str, media_type: str) -> Codes:
    """The codes of a file: of its bytes, and of what is seen where it is a picture."""
    library = _library()
    codes = _codes(library.gen_sum_code_v0(name).iscc)
    pixels = _pixels(name) if media_type.startswith("image/") else None
    if pixels is None:
        return codes
    return Codes(codes.instance, codes.data, _codes(library.gen_image_code_v0(pixels).iscc).image)


def _pixels(name: str) -> bytes | None:
    """A picture as the Image-Code wants it: upright, on white, without border, 32 by 32 greys (ISO 24138, iscc-sdk).

    A picture that Pillow cannot decode, or of more pixels than any camera's, has none.
    """
    try:
        with Image.open(name) as opened:
            if opened.width * opened.height > _MAX_PIXELS:
                return None
            upright = ImageOps.exif_transpose(opened)
            grey = _without_border(_on_white(upright)).convert("L")
            return grey.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).tobytes()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in {"RGBA", "LA"} and "transparency" not in image.info:
        return image
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _without_border(image: Image.Image) -> Image.Image:
    """Trim a border of the colour of the upper left pixel."""
    background = Image.new(image.mode, image.size, image.getpixel((0, 0)))
    box = ImageChops.difference(image, background).getbbox()
    return image.crop(box) if box else image


def _library() -> ModuleType:
    try:
        return import_module("iscc_lib")
    except ImportError as error:
        raise UnreadableInput("iscc-lib is not installed", mend="install optout-toolkit[iscc]") from error
