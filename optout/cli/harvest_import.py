"""`optout harvest --import`: bring in what others have captured, or what another store holds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from optout.acquisition.history import Lost
from optout.acquisition.imports import Fault, Import, Skipped, Whole
from optout.acquisition.stores import bring, is_store, open_store
from optout.cli import options
from optout.cli.exit_codes import DONE, USAGE
from optout.cli.harvest_progress import Faults, Track, table
from optout.cli.verdicts import printable
from optout.engine import required_paths

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from optout.acquisition.history import Store
    from optout.model import Exchange
    from optout.policy import Policy

_PUT_AT_ONCE = 2_000
_PUT_OCTETS = 32_000_000
_COUNTED = ("captures", "redirects followed", "files read before", "faults")


def bring_in(arguments: Namespace, policy: Policy) -> int:
    """Import everything that the arguments name; exit code 2 where something could not be used."""
    counts: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
    faults = Faults()
    with open_store(arguments.store, create=True) as store:
        for address in filter(is_store, arguments.imports):
            _from_store(address, store, counts, faults, arguments)
        paths = [Path(name) for name in arguments.imports if not is_store(name)]
        if paths:
            _Files(store, counts, faults, arguments).bring(Import(paths, required_paths(policy)))
        counts["redirects followed"] = store.follow_redirects()
        name = store.backend.name
    faults.close()
    if arguments.json:
        print(json.dumps({"store": name, "imported": dict(counts)}))
    else:
        listing = table("imported", "count")
        for counted in _COUNTED:
            listing.add_row(counted, f"{counts[counted]:,}")
        options.console().print(listing)
    return USAGE if counts["faults"] else DONE


def _from_store(address: str, store: Store, counts: Counter[str], faults: Faults, arguments: Namespace) -> None:
    with (
        open_store(address) as source,
        Track("brought", "captures", source.backend.size(), quiet=arguments.quiet) as progress,
    ):
        origins = 0
        for found in bring(source, store):
            if isinstance(found, Lost):
                counts["faults"] += 1
                faults.add(f"{source.backend.name}: {printable(found.url)} of {found.at:%Y-%m-%d %H:%M:%S}Z is damaged")
                continue
            origins += 1
            counts["captures"] += found
            progress.show(counts["captures"], f"{origins:,} origins looked at", origins)


class _Files:
    """Brings files into a store."""

    def __init__(self, store: Store, counts: Counter[str], faults: Faults, arguments: Namespace) -> None:
        self._store = store
        self._counts = counts
        self._faults = faults
        self._quiet, self._again = arguments.quiet, arguments.refresh
        self._waiting: list[Exchange] = []
        self._octets = 0
        self._marks: list[str] = []

    def bring(self, files: Import) -> None:
        """Read what has not been read before; all of it where a file needs one that was read before."""
        known = self._store.backend.is_marked
        with Track("imported", "captures", files.total, quiet=self._quiet) as progress:
            missed = self._read(files, progress, (lambda _: False) if self._again else known)
            if missed and self._counts["files read before"]:
                for name in _COUNTED:
                    self._counts[name] = 0
                missed = self._read(files, progress, lambda _: False)
        for fault in missed:
            self._complain(fault)

    def _read(self, files: Import, progress: Track, is_marked: Callable[[str], bool]) -> Sequence[Fault]:
        """Read, and give the faults that come from not having read everything."""
        missed: list[Fault] = []
        for found in files.read(is_marked):
            if isinstance(found, Fault):
                if found.missed:
                    missed.append(found)
                else:
                    self._complain(found)
            elif isinstance(found, Whole):
                self._marks.append(found.mark)
            elif isinstance(found, Skipped):
                self._counts["files read before"] += 1
            else:
                self._take(found)
            if len(self._waiting) >= _PUT_AT_ONCE or self._octets >= _PUT_OCTETS:
                self._put()
                progress.show(self._counts["captures"], f"{self._counts['faults']:,} faults", files.done)
        self._put()
        return missed

    def _take(self, visit: Sequence[Exchange]) -> None:
        self._waiting += visit
        self._octets += sum(len(exchange.body) for exchange in visit)
        self._counts["captures"] += len(visit)

    def _put(self) -> None:
        """Keep what was read; only then is a file that has been read to its end done with."""
        self._store.put(self._waiting)
        for mark in self._marks:
            self._store.backend.mark(mark)
        self._waiting.clear()
        self._marks.clear()
        self._octets = 0

    def _complain(self, fault: Fault) -> None:
        self._counts["faults"] += 1
        self._faults.add(printable(str(fault), 1_000))
