"""Reading rights metadata from JPEGs: ours against Pillow's getxmp and c2pa-python on every file.

Use: python bench/assets.py [--quick]

300 JPEGs of about 122 KB are made from a seed: 20 % carry the IPTC/PLUS property, 40 % other XMP; in the mixed set 2 %
carry a signed manifest as well. All programs read the same files in the same run, in interleaved rounds of CPU time,
helper processes included, and the medians are compared. Files come from the page cache. The answers of the compared
programs must be the same: the property by Pillow, the manifests by c2pa-python.
"""

from __future__ import annotations

import gc
import json
import logging
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from time import process_time

import c2pa
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from optout.acquisition.c2pa_worker import SETTINGS
from optout.acquisition.files import FileReader
from optout.acquisition.manifests import ManifestReader
from optout.cli.file_answers import Inspector
from optout.syntax.containers import locate
from tools import asset_builders as make

FILES = 300
TARGETS = {"mixed": 7_000, "plain": 20_000}
AS_OF = date(2026, 11, 23)
KEYS = ("GENAIMLTRAINING", "AIMLTRAINING", "EXCEPTSEARCHENGINEINDEXING")
OTHER_XMP = make.xmp(
    'xmp:CreatorTool="Camera 1.0"|'
    + "".join(f"<dc:subject><rdf:Bag><rdf:li>word {number}</rdf:li></rdf:Bag></dc:subject>" for number in range(20)),
    {"xmp": "http://ns.adobe.com/xap/1.0/", "dc": "http://purl.org/dc/elements/1.1/", "plus": make.PLUS},
)


def made_file(number: int, *, with_manifests: bool) -> bytes:
    """One JPEG; which kind it is depends on its number only."""
    data = make.picture("JPEG", size=(400, 280), seed=number, quality=93)
    if number % 5 == 0:
        data = make.jpeg_xmp(data, make.mining(f"DMI-PROHIBITED-{KEYS[number % len(KEYS)]}"))
    elif number % 5 in {1, 2}:
        data = make.jpeg_xmp(data, OTHER_XMP)
    if with_manifests and number % 50 == 3:
        return make.signed("image/jpeg", data, make.assertion({"data_mining": "notAllowed"}))
    return data


def make_files(folder: Path, *, with_manifests: bool) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number:03}.jpg" for number in range(FILES)]
    for number, path in enumerate(paths):
        path.write_bytes(made_file(number, with_manifests=with_manifests))
    return paths


# What each program does with one file.


class Ours:
    """The whole way of `optout inspect`: locate, read, decide under the default policy."""

    def __init__(self) -> None:
        self.manifests = ManifestReader()
        self.inspector = Inspector("eu-gpai", AS_OF, FileReader(self.manifests))

    def read(self, path: Path) -> dict[str, object]:
        """The answer for one file."""
        return self.inspector.answer(str(path))

    def cpu(self) -> float:
        """CPU seconds of this process and of the one that reads manifests."""
        return process_time() + self.manifests.cpu_seconds()


def locator(path: Path) -> int:
    with path.open("rb") as stream:
        return len(locate(stream).packets)


def pillow(path: Path) -> object:
    """The property as Pillow's getxmp gives it."""
    with Image.open(path) as image:
        rdf = image.getxmp().get("xmpmeta", {}).get("RDF", {})
    return rdf.get("Description", {}).get("DataMining") if rdf else None


CONTEXT = c2pa.Context.from_dict(SETTINGS)


def c2pa_python(path: Path) -> str | None:
    with path.open("rb") as stream:
        reader = c2pa.Reader.try_create("image/jpeg", stream, None, CONTEXT)
        if reader is None:
            return None
        with reader:
            return str(reader.get_validation_state())


def measure(jobs: dict[str, Callable[[Path], object]], paths: list[Path], rounds: int, ours: Ours) -> dict[str, float]:
    """The median files per CPU second of each job over interleaved rounds."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            gc.collect()
            begun = ours.cpu()
            for path in paths:
                job(path)
            taken[name].append(ours.cpu() - begun)
    return {name: len(paths) / median(times) for name, times in taken.items()}


def differences(paths: list[Path], ours: Ours) -> list[str]:
    """Files on which the programs do not agree."""
    found = []
    for path in paths:
        signals = ours.read(path)["signals"]
        values = {signal["value"] for signal in signals if signal["protocol"] == "iptc"}  # type: ignore[attr-defined]
        signed = any(signal["protocol"] == "c2pa" for signal in signals)  # type: ignore[attr-defined]
        if values != {value for value in [pillow(path)] if value}:
            found.append(f"{path.name}: Pillow")
        if signed != (c2pa_python(path) is not None):
            found.append(f"{path.name}: c2pa-python")
    return found


def main() -> int:
    rounds = 5 if "--quick" in sys.argv else 15
    warnings.simplefilter("ignore")
    logging.disable()
    figures: dict[str, float] = {}
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for name in TARGETS:
            paths = make_files(Path(folder) / name, with_manifests=name == "mixed")
            ours = Ours()
            wrong += differences(paths, ours)
            jobs: dict[str, Callable[[Path], object]] = {
                "optout inspect": ours.read,
                "optout locator": locator,
                "Pillow getxmp": pillow,
                "c2pa-python on every file": c2pa_python,
            }
            figures |= {f"{name}: {job}": speed for job, speed in measure(jobs, paths, rounds, ours).items()}
            ours.manifests.close()
    return report(figures, wrong)


def report(figures: dict[str, float], wrong: list[str]) -> int:
    print(f"{FILES} JPEGs, Python {platform.python_version()}, files per second and core\n")
    for name, speed in figures.items():
        print(f"  {name:38} {speed:10,.0f}")
    for difference in wrong:
        print(f"  DIFFERS {difference}")
    mixed, plain = figures["mixed: optout inspect"], figures["plain: optout inspect"]
    targets = {
        "2 % manifests: 7,000 files a second": mixed >= TARGETS["mixed"],
        "no manifests: 20,000 files a second": plain >= TARGETS["plain"],
        "never slower than Pillow": plain >= figures["plain: Pillow getxmp"],
        "the same answers": not wrong,
    }
    rounded = {name: round(speed) for name, speed in figures.items()}
    print(json.dumps({"figures": rounded, "targets": targets, "ok": all(targets.values())}))
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
