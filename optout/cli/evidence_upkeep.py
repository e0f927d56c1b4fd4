"""The commands of `optout evidence` that write: signing, erasing, keys and witnessing."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout.cli import options
from optout.cli.exit_codes import DONE, UNDECIDED
from optout.errors import EvidenceError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from optout.evidence.keystore import KeyStore
    from optout.evidence.layout import Layout
    from optout.evidence.note import SignerKey


def add_parsers(actions: _SubParsersAction[Any]) -> None:
    """Register the actions."""
    _add_checkpoint(actions)
    _add_seal(actions)
    _add_redact(actions)
    _add_purge(actions)
    _add_gap(actions)
    _add_keygen(actions)
    _add_rotate(actions)
    _add_witness(actions)
    _add_collect(actions)


def _add_checkpoint(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("checkpoint", help="seal what waits, sign, and ask witnesses and timestamp authorities")
    _add_directory(parser)
    parser.add_argument(
        "--timestamp", action="append", default=[], metavar="URL", help="ask this RFC 3161 authority for a token"
    )
    options.add_output(parser)
    parser.set_defaults(run=run_checkpoint)


def _add_seal(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("seal", help="seal the rows of an audit, so that each can be proved by itself")
    _add_directory(parser)
    options.add_output(parser)
    parser.set_defaults(run=run_seal)


def run_seal(arguments: Namespace) -> int:
    """Seal the rows of an audit's shards."""
    from optout.audit.sealing import seal

    rows = shards = 0
    for shard, count in seal(arguments.directory, datetime.now(UTC)):
        shards, rows = shards + 1, rows + count
        if not arguments.quiet and not arguments.json:
            print(f"sealed {shard}: {count:,} rows", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"shards": shards, "rows": rows}))
    return DONE


def _add_redact(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("redact", help="erase decisions about a URL or host, or only their URLs")
    _add_directory(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--url", metavar="URL")
    which.add_argument("--host", metavar="HOST")
    parser.add_argument("--scope", choices=("row", "url"), default="row", help="what goes (default: %(default)s)")
    parser.add_argument("--basis", required=True, metavar="TEXT", help="the legal basis, for everybody to read")
    options.add_output(parser)
    parser.set_defaults(run=run_redact)


def _add_purge(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("purge", help="remove segments whose time is up; their hashes stay")
    _add_directory(parser)
    parser.add_argument(
        "--older-than", type=options.days, default=3653, metavar="DAYS", help="(default: %(default)s, ten years)"
    )
    parser.add_argument("--basis", default="retention period", metavar="TEXT", help="the rule, for the log")
    options.add_output(parser)
    parser.set_defaults(run=run_purge)


def _add_keygen(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("keygen", help="begin a log with fresh keys, and print the public ones")
    _add_directory(parser)
    parser.add_argument(
        "--origin", metavar="NAME", help="the log's name, such as evidence.example.org/crawl-decisions/2026"
    )
    parser.add_argument("--after", type=Path, metavar="DIR", help="the log that this one continues")
    options.add_output(parser)
    parser.set_defaults(run=run_keygen)


def _add_rotate(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("rotate", help="make new keys; the old ones sign beside them for 30 days")
    _add_directory(parser)
    options.add_output(parser)
    parser.set_defaults(run=run_rotate)


def _add_witness(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("witness", help="cosign the logs of others, as a C2SP witness")
    parser.add_argument("--serve", action="store_true", required=True, help="answer requests until interrupted")
    parser.add_argument("--dir", type=Path, required=True, metavar="DIR", help="where its key and memory are")
    parser.add_argument(
        "--name", default="optout-witness.invalid", metavar="NAME", help="its name (default: %(default)s)"
    )
    parser.add_argument("--log", action="append", required=True, metavar="VKEY|FILE", help="a log to witness")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="(default: %(default)s)")
    parser.add_argument("--port", type=int, default=7380, metavar="PORT", help="(default: %(default)s; 0 for any)")
    options.add_output(parser)
    parser.set_defaults(run=run_witness)


def _add_collect(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("collect", help="bring what nodes on other machines have sealed into the log")
    _add_directory(parser)
    parser.add_argument("nodes", nargs="+", type=Path, metavar="NODE_DIR", help="a node's directory")
    options.add_output(parser)
    parser.set_defaults(run=run_collect)


def _add_gap(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("gap", help="declare acknowledged rows as lost, so that the log can go on")
    _add_directory(parser)
    parser.add_argument("--node", required=True, metavar="NAME", help="whose journal is damaged")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="what happened, for everybody to read")
    options.add_output(parser)
    parser.set_defaults(run=run_gap)


def _add_directory(parser: ArgumentParser) -> None:
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="an evidence directory, or a crawl's that holds one"
    )


def run_checkpoint(arguments: Namespace) -> int:
    """Seal and sign; 3 where a witness or authority did not answer."""
    from optout.evidence import trust
    from optout.evidence.countersign import countersign
    from optout.evidence.layout import find

    place = find(arguments.directory)
    for line in _seal(place):
        _say(arguments, line)
    if not place.checkpoint.exists():
        raise EvidenceError(
            f"{place.directory} has no checkpoint", mend="the process at work will sign within a minute"
        )
    problems = []
    witnesses = trust.parse(place.policy.read_bytes()).witnesses.values()
    if arguments.timestamp or any(witness.url for witness in witnesses):
        result = countersign(place, _store(place), datetime.now(UTC), arguments.timestamp)
        problems = result.problems
        for name in result.witnesses:
            _say(arguments, f"cosigned by {name}")
        _say(arguments, f"{len(result.tokens)} timestamps") if arguments.timestamp else None
    for problem in problems:
        print(problem, file=sys.stderr)
    text = place.checkpoint.read_text()
    print(
        json.dumps({"checkpoint": text, "problems": problems}) if arguments.json else text,
        end="" if not arguments.json else "\n",
    )
    return UNDECIDED if problems else DONE


def run_redact(arguments: Namespace) -> int:
    """Erase, and say how much."""
    from optout.evidence import find, redaction
    from optout.evidence.query import surt

    place = _find(arguments)
    rows = find.by_url(place, arguments.url) if arguments.url else find.by_host(place, surt(arguments.host))
    if not rows:
        raise EvidenceError(
            "no sealed decision matches", mend="rows in the journal are sealed by `optout evidence checkpoint`"
        )
    count = redaction.redact(
        place, _store(place), _origin(place), [(row.file, row.at) for row in rows],
        scope=arguments.scope, basis=arguments.basis, now=datetime.now(UTC),
    )  # fmt: skip
    _answer(arguments, {"redacted": count, "scope": arguments.scope}, f"{count} decisions: {arguments.scope} erased")
    return DONE


def run_purge(arguments: Namespace) -> int:
    """Remove old segments, and name them."""
    from optout.evidence import redaction

    place = _find(arguments)
    gone = redaction.purge(
        place, _store(place), _origin(place), basis=arguments.basis, now=datetime.now(UTC),
        retention=timedelta(days=arguments.older_than),
    )  # fmt: skip
    _answer(arguments, {"purged": gone}, "\n".join(gone) or "nothing is old enough")
    return DONE


def run_gap(arguments: Namespace) -> int:
    """Declare a loss, and say how large it is."""
    from optout.evidence import loss

    place = _find(arguments)
    lost = loss.declare(
        place, _store(place), _origin(place), arguments.node, reason=arguments.reason, now=datetime.now(UTC)
    )
    _answer(arguments, {"lost": lost}, f"{lost} rows of {arguments.node} are declared lost")
    return DONE


def run_keygen(arguments: Namespace) -> int:
    """Begin a log."""
    from optout.evidence.entries import PREDECESSOR
    from optout.evidence.layout import Layout, find
    from optout.evidence.ledger import described
    from optout.evidence.log import LogWriter
    from optout.evidence.rows import microseconds

    now = datetime.now(UTC)
    place = Layout(arguments.directory)
    before = find(arguments.after).checkpoint.read_text() if arguments.after else None
    if _store(place).exists:
        raise EvidenceError(f"{place.directory} is a log already", mend="use `optout evidence rotate` for new keys")
    origin = described(place, arguments.origin, None, now).origin
    with LogWriter(place, _store(place), origin) as writer:
        if before is not None:
            writer.append({"v": PREDECESSOR, "checkpoint": before, "t": microseconds(now)})
            writer.checkpoint(int(now.timestamp()))
        keys = [key.signer.verifier.text for key in writer.keys]
    _answer(arguments, {"origin": origin, "keys": keys}, "\n".join(keys))
    return DONE


def run_rotate(arguments: Namespace) -> int:
    """Make new keys."""
    from optout.evidence.rotation import rotate

    place = _find(arguments)
    keys = [key.text for key in rotate(place, _store(place), _origin(place), datetime.now(UTC))]
    _answer(arguments, {"keys": keys}, "\n".join(keys))
    return DONE


def run_collect(arguments: Namespace) -> int:
    """Collect, and say how much."""
    from optout.evidence.collect import collect
    from optout.evidence.layout import Layout

    place = _find(arguments)
    count = sum(collect(Layout(node), place) for node in arguments.nodes)
    _answer(arguments, {"manifests": count}, f"{count} manifests")
    return DONE


def run_witness(arguments: Namespace) -> int:
    """Cosign until interrupted."""
    from optout.cli.evidence import public_keys
    from optout.evidence.witness import Witness

    signer = _witness_key(arguments.dir, arguments.name)
    witness = Witness(arguments.dir, signer, public_keys(arguments.log))
    print(json.dumps({"key": signer.verifier.text}) if arguments.json else signer.verifier.text, flush=True)
    asyncio.run(_serve(witness, arguments))
    return DONE


async def _serve(witness: Any, arguments: Namespace) -> None:  # noqa: ANN401 - its module is loaded only where it is used
    from optout.evidence.witness import serve

    runner = await serve(witness, arguments.host, arguments.port, time.time)
    _say(arguments, f"witnessing at http://{arguments.host}:{runner.addresses[0][1]}/")
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _witness_key(directory: Path, name: str) -> SignerKey:
    """The witness's key, made on first use."""
    import secrets

    from optout.evidence.files import PRIVATE_DIRECTORY, PRIVATE_FILE, create_durably, disk_errors
    from optout.evidence.note import Algorithm, SignerKey, parse_signer

    path = directory / "witness.key"
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
        if not path.exists():
            fresh = SignerKey(name, Algorithm.COSIGNATURE_ED25519, secrets.token_bytes(32))
            create_durably(path, fresh.text.encode() + b"\n", PRIVATE_FILE)
        return parse_signer(path.read_text())


def _seal(place: Layout) -> list[str]:
    """Seal and sign what no process is at work on; say what was left alone."""
    from optout.evidence.ledger import EvidenceLog
    from optout.evidence.publisher import Publisher

    said = []
    now = datetime.now(UTC)
    for node in sorted({path.name[:-26] for path in place.directory.glob("*.jsonl.zst")}):
        try:
            EvidenceLog(place.directory, node=node, now=now).close(now)
        except EvidenceError as fault:
            said.append(f"{node}: {fault}")
    publisher = Publisher(place, _store(place), _origin(place))
    try:
        publisher.publish(int(now.timestamp()), due_only=False)
    finally:
        publisher.close()
    return said


def _find(arguments: Namespace) -> Layout:
    from optout.evidence.layout import find

    return find(arguments.directory)


def _store(place: Layout) -> KeyStore:
    from optout.evidence.keystore import KeyStore

    return KeyStore(place.private)


def _origin(place: Layout) -> str:
    from optout.evidence.layout import read_description

    description = read_description(place)
    if description is None:
        raise EvidenceError(f"{place.directory} is a journal without a log", mend="run `optout evidence keygen`")
    return description.origin


def _answer(arguments: Namespace, value: dict[str, Any], text: str) -> None:
    print(json.dumps(value) if arguments.json else text)


def _say(arguments: Namespace, text: str) -> None:
    if not arguments.quiet:
        print(text, file=sys.stderr)
