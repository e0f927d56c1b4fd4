"""`optout harvest --show`: what an origin said when."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from optout import engine
from optout.acquisition.origin_list import target
from optout.acquisition.stores import open_store
from optout.cli import options
from optout.cli.exit_codes import DONE, NO
from optout.cli.harvest_progress import table
from optout.cli.verdicts import printable
from optout.model import Purpose

if TYPE_CHECKING:
    from argparse import Namespace

    from optout.acquisition.history import Capture, OriginState, Store


def show(arguments: Namespace) -> int:
    """Show every origin that the argument means."""
    with open_store(arguments.store) as store:
        found = [origin.text for origin in target(arguments.show).origins if store.history(origin.text)]
        for origin in found:
            _show_origin(origin, store, arguments)
    if not found:
        print(f"optout harvest: the store knows nothing about {printable(arguments.show)}", file=sys.stderr)
    return DONE if found else NO


def _show_origin(origin: str, store: Store, arguments: Namespace) -> None:
    captures = {(capture.role, capture.url, capture.fetched_at): capture for capture in store.history(origin)}
    states = store.states(origin)
    listed = [_dated(state, captures) for state in states]
    changes = [list(listed[0]), *(_changed(one, two) for one, two in pairwise(listed))]
    if arguments.json:
        for state, files, changed in zip(states, listed, changes, strict=True):
            print(json.dumps(_state_json(origin, state, files, changed)))
        return
    listing = table(origin, "file that changed", "answer", "SHA-256 of the body", "AI training, of /")
    for state, files, changed in zip(states, listed, changes, strict=True):
        rows = [_cells(name, files[name]) for name in changed] or [("nothing changed", "", "")]
        begin = f"{state.captured_at:%Y-%m-%d %H:%M:%S}Z"
        effect = _effect(origin, state, arguments)
        for number, cells in enumerate(rows):
            listing.add_row("" if number else begin, *cells, "" if number else effect)
    options.console().print(listing)


def _effect(origin: str, state: OriginState, arguments: Namespace) -> str:
    """What the policy makes of a state for the whole site, so that people see which changes matter."""
    compiled = engine.compile(state.exchanges, options.policy(arguments), options.identity(arguments))
    decision = compiled.decide(f"{origin}/").decision(Purpose.AI_TRAIN)
    return f"{decision.effect}: {decision.reason}"


def _dated(state: OriginState, captures: dict[Any, Capture]) -> dict[str, Capture]:
    """The captures of a state by what people call the file."""
    found = (captures[exchange.role, exchange.url, exchange.fetched_at] for exchange in state.exchanges)
    return {capture.role if capture.role.startswith("/") else capture.url: capture for capture in found}


def _changed(before: dict[str, Capture], after: dict[str, Capture]) -> list[str]:
    """The files that are not as they were."""
    return [name for name, capture in after.items() if name not in before or _said(before[name]) != _said(capture)]


def _said(capture: Capture) -> tuple[object, ...]:
    return capture.status, capture.error, capture.digest, capture.redirects


def _cells(name: str, capture: Capture) -> tuple[str, str, str]:
    answer = capture.error or str(capture.status)
    if capture.redirects:
        answer += f" from {printable(capture.redirects[-1])}"
    return printable(name), answer, capture.digest[:16] if capture.status and capture.status < 300 else ""


def _state_json(origin: str, state: OriginState, files: dict[str, Capture], changed: list[str]) -> dict[str, Any]:
    return {
        "origin": origin,
        "captured_at": state.captured_at.isoformat(),
        "until": None if state.next_at is None else state.next_at.isoformat(),
        "content_key": state.content_key,
        "changed": changed,
        "files": [
            {
                "file": name,
                "url": capture.url,
                "fetched_at": capture.fetched_at.isoformat(),
                "status": capture.status,
                "error": capture.error,
                "sha256": capture.digest,
                "redirects": capture.redirects,
                "truncated": capture.truncated,
            }
            for name, capture in files.items()
        ],
    }
