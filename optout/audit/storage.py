"""Where inputs lie and outputs go: this machine's folders, or another file system by way of fsspec.

An object of `s3://`, `gs://` or `hf://` is fetched whole, judged on this machine's disk, and what comes out is put
back whole, so that nobody ever sees half of it. Credentials, endpoints and regions are the business of the library of
each store, which takes them from its own variables and files.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from socket import gethostname
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from optout.audit.disk import OutputError
from optout.errors import OptoutError, UnreadableInput
from optout.evidence.files import file_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PART = ".part"
"""How the name of a file ends that is being written."""

_LONGEST_NAME = 120
"""Bytes of a name that others are made from; a name of a host has 64 at most."""

_STATES = ("ETag", "etag", "generation", "blob_id", "mtime", "LastModified", "last_modified", "created")
"""Where file systems tell that an object was written again, the surest first."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file or folder of another file system; has of a path what the audit needs.

    Attributes:
        url: such as `s3://bucket/folder/file.parquet`.
        state: its size in bytes and a number that changes with it, when it was listed; empty where it was not.
    """

    url: str
    state: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.url).name

    def is_file(self) -> bool:
        """Whether there is such an object."""
        with _plainly(self.url):
            system, path = _system(self.url)
            return bool(system.isfile(path))

    def read_bytes(self) -> bytes:
        """The whole of it.

        Raises:
            UnreadableInput: it is not there or cannot be had.
        """
        with _plainly(self.url):
            system, path = _system(self.url)
            return bytes(system.cat_file(path))

    def fetch(self, target: Path) -> None:
        """Write the whole of it to a file of this machine.

        Raises:
            UnreadableInput: it cannot be had, or is another than was listed.
        """
        with _plainly(self.url):
            system, path = _system(self.url)
            system.get_file(path, str(target))
            now = _state(system.info(path))
        if self.state and (now != self.state or target.stat().st_size != now[0]):
            raise UnreadableInput(f"{self.url}: has changed since it was listed", mend="run it again")

    def put(self, source: Path) -> None:
        """Put a file of this machine there, all of it at once.

        Raises:
            UnreadableInput: it cannot be put there.
        """
        with _plainly(self.url):
            system, path = _system(self.url)
            system.put_file(str(source), path)


Location = Path | Remote
"""A file or folder, of this machine or another file system."""


def remove(where: Location) -> None:
    """Remove a file, if there is one.

    Raises:
        UnreadableInput: another file system does not let us.
    """
    if isinstance(where, Path):
        where.unlink(missing_ok=True)
    elif where.is_file():
        with _plainly(where.url):
            system, path = _system(where.url)
            system.rm_file(path)


def location(text: str) -> Location:
    """What a path or URL names; `file://` is a path."""
    if text.startswith("file://"):
        return Path(unquote(text.removeprefix("file://").removeprefix("localhost")))
    return Remote(text) if "://" in text else Path(text)


def on_this_machine(text: str, option: str) -> Path:
    """A path that has to lie on this machine.

    Raises:
        UnreadableInput: it is a URL of another file system.
    """
    found = location(text)
    if isinstance(found, Remote):
        mend = "copy it here; what redis:// and postgresql:// hold comes by optout harvest --store DIR --import URL"
        raise UnreadableInput(f"{option} {text}: has to be a folder of this machine", mend=mend)
    return found


def listed(url: str) -> list[tuple[Remote, str]]:
    """The objects that a URL names, itself or in it, and their names relative to the folder or pattern.

    Raises:
        UnreadableInput: there is none, or the file system does not let us look.
    """
    with _plainly(url):
        system, path = _system(url)
        if system.isfile(path):
            found, base = {path: system.info(path)}, path.rpartition("/")[0]
        elif any(sign in path for sign in "*?["):
            found, base = system.glob(path, detail=True), _fixed(path)
        else:
            found, base = system.find(path, detail=True), path
        start = len(base.rstrip("/")) + 1 if base else 0
        return [
            (Remote(system.unstrip_protocol(name), _state(about)), _harmless(name[start:]))
            for name, about in sorted(found.items())
            # What ends with a slash stands for a folder that has nothing in it.
            if about.get("type", "file") == "file" and not name.endswith("/")
        ]


def is_below(where: Location, folder: Location) -> bool:
    """Whether a file lies in a folder, by whatever way it was named."""
    if isinstance(where, Path) and isinstance(folder, Path):
        return folder.resolve() in where.resolve().parents
    if isinstance(where, Path) or isinstance(folder, Path):
        return False
    with _plainly(folder.url):
        system, path = _system(folder.url)
        return where.url.startswith(f"{system.unstrip_protocol(path).rstrip('/')}/")


def is_any_below(where: Location, folders: Iterable[Location]) -> bool:
    """Whether a file lies in one of some folders."""
    return any(is_below(where, folder) for folder in folders)


def names_in(where: Location) -> list[str]:
    """The files in a folder, by their names relative to it; none where there is no such folder.

    Raises:
        UnreadableInput: the file system does not let us look.
    """
    if isinstance(where, Path):
        return sorted(path.relative_to(where).as_posix() for path in where.rglob("*") if path.is_file())
    with _plainly(where.url):
        system, path = _system(where.url)
        found = system.find(path) if system.exists(path) else []
        return sorted(name[len(path.rstrip("/")) + 1 :] for name in found)


def _harmless(name: str) -> str:
    """The name of an object as one of a file: unlike that, an object may be called `../x`, and have a long name."""
    return "/".join("_" if part in {"", ".", ".."} else _short(part, 250) for part in name.split("/"))


def _fixed(pattern: str) -> str:
    """The folder that a pattern begins with."""
    parts = pattern.split("/")
    return "/".join(parts[: next(at for at, part in enumerate(parts) if any(sign in part for sign in "*?["))])


def state_of(where: Location) -> list[int]:
    """What changes when a file does: its size and the time of its last change; empty where there is none."""
    if isinstance(where, Remote):
        return list(where.state)
    try:
        found = where.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


@contextmanager
def near(where: Location) -> Iterator[Path]:
    """A file of this machine with the same name and content; errors about it name the original.

    Raises:
        UnreadableInput: it cannot be fetched.
    """
    if isinstance(where, Path):
        yield where
        return
    with TemporaryDirectory(prefix="optout-") as folder:
        copy = Path(folder) / _short(where.name)
        where.fetch(copy)
        try:
            yield copy
        except UnreadableInput as error:
            raise UnreadableInput(
                error.message.replace(str(copy), where.url), place=error.place, mend=error.mend
            ) from error


@contextmanager
def near_folder(where: Location, names: Iterable[str]) -> Iterator[Path]:
    """A folder of this machine that has these files of another; that folder itself where it is of this machine."""
    if isinstance(where, Path):
        yield where
        return
    with TemporaryDirectory(prefix="optout-") as folder:
        for name in names:
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (where / name).fetch(target)
        yield Path(folder)


@contextmanager
def near_decisions(where: Location) -> Iterator[Path]:
    """A folder of this machine that has the decisions of an audit; that folder itself where it is of this machine.

    Raises:
        UnreadableInput: there are none, or they cannot be fetched.
    """
    names = [f"decisions/{name}" for _, name in listed(f"{where}/decisions")] if isinstance(where, Remote) else []
    with near_folder(where, names) as folder:
        yield folder


def part_of(where: Location) -> Path:
    """Where to write a file until it is whole: beside its place, because it is moved there afterwards."""
    if isinstance(where, Remote):
        return Path(mkdtemp(prefix="optout-")) / _short(where.name)
    where.parent.mkdir(parents=True, exist_ok=True)
    return where.with_name(f".{_short(where.name)}.{_host()}-{os.getpid()}{PART}")


def _host() -> str:
    return gethostname().replace(".", "-")


def _is_being_written(part: Path) -> bool:
    """Whether the process of this machine still runs that a file is named after; of other machines nobody knows."""
    host, _, process = part.name.removesuffix(PART).rpartition(".")[2].rpartition("-")
    return host == _host() and process.isdecimal() and _runs(int(process))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    # A process that was killed is there until somebody asks how it ended, which in many containers nobody does.
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def _short(name: str, longest: int = _LONGEST_NAME) -> str:
    """The name of a file to write meanwhile: file systems take 255 bytes, and names of objects may be longer."""
    octets = os.fsencode(name)
    return name if len(octets) <= longest else f"{sha256(octets).hexdigest()[:32]}{name[-20:]}"


def sweep(directory: Path, targets: Iterable[Location]) -> None:
    """Remove what processes that were killed have left of files that are to be written."""
    names = {str(target.with_name(_short(target.name))) for target in targets if isinstance(target, Path)}
    for part in directory.rglob(f".*{PART}"):
        target = part.with_name(part.name[1:].removesuffix(PART).rpartition(".")[0])
        if str(target) in names and not _is_being_written(part):
            part.unlink(missing_ok=True)


def settle(part: Path, where: Location) -> str:
    """Put a whole file in its place, and give its SHA-256.

    Raises:
        OutputError: another file system does not take it.
    """
    digest = file_hash(part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    if isinstance(where, Remote):
        with _taking():
            where.put(part)
    else:
        part.replace(where)
    return digest


@contextmanager
def _taking() -> Iterator[None]:
    """Tell a place that takes nothing from an input that gives nothing."""
    try:
        yield
    except UnreadableInput as error:
        raise OutputError(f"cannot write to {error.message}", mend=error.mend) from error


def give_up(part: Path, where: Location) -> None:
    """Remove what `part_of` gave and nobody wants any more."""
    part.unlink(missing_ok=True)
    if isinstance(where, Remote):
        part.parent.rmdir()


def write(where: Location, data: bytes) -> None:
    """Put a small file in its place, whole."""
    part = part_of(where)
    try:
        part.write_bytes(data)
        settle(part, where)
    finally:
        give_up(part, where)


def _state(about: dict[str, Any]) -> tuple[int, int]:
    told = next((str(about[name]) for name in _STATES if about.get(name)), "")
    return int(about.get("size") or 0), int.from_bytes(sha256(told.encode()).digest()[:6])


def _system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # noqa: PLC0415 - of an extra

    # A listing that is kept would hide what other machines have written meanwhile.
    scheme, _, rest = url.partition("://")
    # A name may have `::` in it, which would be taken for the chaining of systems.
    system, _ = url_to_fs(f"{scheme}://{rest.partition('::')[0]}", use_listings_cache=False)
    return system, str(system._strip_protocol(url))  # noqa: SLF001 - the only way to a path that is not parsed again


@contextmanager
def _plainly(url: str) -> Iterator[None]:
    """Say in one line what a file system's library raises; each has its own errors."""
    try:
        yield
    except OptoutError:
        raise
    except ImportError as error:
        raise UnreadableInput(f"{url}: {_line(error)}", mend="pip install optout-toolkit[remote]") from error
    except FileNotFoundError as error:
        raise UnreadableInput(f"{url}: no such object or bucket", mend="name one that is there") from error
    except PermissionError as error:
        mend = "give the library of that store credentials that may read and write there"
        raise UnreadableInput(f"{url}: access is denied: {_line(error)}", mend=mend) from error
    except Exception as error:
        mend = "look at the address, the connection and the credentials, and run it again"
        raise UnreadableInput(f"{url}: {_line(error)}", mend=mend) from error


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
