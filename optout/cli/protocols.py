"""`optout protocols`: the dated registry of protocols."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from optout.cli import options
from optout.cli.exit_codes import DONE
from optout.errors import UnknownProtocol
from optout.protocol import Embedded, HeaderField, Linked, MetaElement, PageText, Registry, ResponseStatus, WellKnown
from optout.signals import PROTOCOLS

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from optout.policy import Policy
    from optout.protocol import Carrier, Protocol


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "protocols",
        help="the dated registry of protocols: status, mode, carriers",
        description="Print the registry of protocols: name, specification, edition, legal status, mode, carriers.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these protocols, with their problem codes")
    options.add_policy(parser)
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Print the registry.

    Raises:
        UnknownProtocol: a name that no protocol has.
    """
    policy = options.policy(arguments)
    for name in arguments.names:
        if name not in PROTOCOLS:
            message = f"no such protocol: {name}"
            raise UnknownProtocol(message, mend=f"use one of {', '.join(PROTOCOLS)}")
    chosen = [PROTOCOLS[name] for name in arguments.names] or list(PROTOCOLS.values())
    if arguments.json:
        for protocol in chosen:
            print(json.dumps(_json(protocol, policy)))
        return DONE
    options.console().print(_table(chosen, policy))
    for protocol in chosen if arguments.names else ():
        _print_problems(protocol)
    return DONE


def carrier_text(carrier: Carrier) -> str:
    """A carrier in a few words."""
    match carrier:
        case HeaderField(name=name):
            return f"header {name}"
        case MetaElement(name=name) | PageText(name=name):
            return f"page {name}"
        case ResponseStatus(codes=codes):
            return "status " + ", ".join(str(code) for code in sorted(codes))
        case Embedded(slot=slot):
            return f"file {slot}"
        case WellKnown(path=role) | Linked(role=role) | Registry(role=role):
            return role


def _json(protocol: Protocol, policy: Policy) -> dict[str, Any]:
    entry = policy.registry.get(protocol.name)
    return {
        "name": protocol.name,
        "title": protocol.title,
        "specification": protocol.specification,
        "edition": protocol.edition,
        "status": entry.status if entry else None,
        "effective": entry.effective.isoformat() if entry and entry.effective else None,
        "mode": policy.mode(protocol.name),
        "carriers": [carrier_text(carrier) for carrier in protocol.carriers],
        "problems": dict(protocol.problems),
    }


def _table(protocols: list[Protocol], policy: Policy) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"Protocols under {policy.name}", title_justify="left")
    for column in ("name", "status", "mode", "edition", "carriers", "specification"):
        table.add_column(column, overflow="fold")
    for protocol in protocols:
        entry = policy.registry.get(protocol.name)
        table.add_row(
            protocol.name,
            entry.status if entry else "not registered",
            policy.mode(protocol.name),
            protocol.edition,
            ", ".join(carrier_text(carrier) for carrier in protocol.carriers),
            protocol.specification,
        )
    return table


def _print_problems(protocol: Protocol) -> None:
    console = options.console()
    console.print(f"\nProblems that {protocol.name} reports")
    for code, sentence in protocol.problems.items():
        console.print(f"  {code}: {sentence}", markup=False)
