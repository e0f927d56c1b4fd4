"""`optout serve`: a local web page and API over the log and the engine."""

from __future__ import annotations

import asyncio
import signal
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout.acquisition import policy_files
from optout.cli import options
from optout.cli.exit_codes import DONE
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from optout.web.app import Setup

_HOST = "127.0.0.1"
_PORT = 8040
_STOP_SECONDS = 2.0


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "serve",
        help="a local web page and API over the log and the engine",
        description="Show a log's decisions, verify it, and answer what would be decided for a URL. Paths: / (a page), "
        "/decide?url=…&purpose=…, /evidence/decisions?host=…&url=…&limit=…, /evidence/checkpoint, "
        "/evidence/proof?url=…, "
        "/log/checkpoint and /log/tile/… (C2SP tlog-tiles), /healthz. Ctrl-C stops it.",
    )
    parser.add_argument("--evidence", type=Path, metavar="DIR", help="an evidence directory, or a crawl's")
    parser.add_argument(
        "--host",
        default=_HOST,
        metavar="ADDRESS",
        help="where to listen; whoever reaches another than the default can read the log and have URLs fetched "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=_PORT, metavar="N", help="0 for any that is free (default: %(default)s)"
    )
    options.add_policy(parser)
    options.add_identity(parser)
    parser.add_argument("--quiet", action="store_true", help="no warnings on stderr")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Serve until interrupted."""
    from optout import policy
    from optout.evidence.layout import find
    from optout.web.app import Setup

    if not 0 <= arguments.port <= 65_535:
        raise UnreadableInput(f"there is no port {arguments.port}", mend="use one from 0 to 65535")
    setup = Setup(
        policy=policy.parse(*policy_files.texts(arguments.policy), source=arguments.policy),
        identity=options.identity(arguments),
        evidence=find(arguments.evidence) if arguments.evidence else None,
        host=arguments.host,
    )
    if not _is_loopback(arguments.host) and not arguments.quiet:
        print(f"optout serve: whoever can reach {arguments.host} can read the log", file=sys.stderr)
    asyncio.run(_serve(setup, arguments.port))
    return DONE


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _serve(setup: Setup, port: int) -> None:
    from aiohttp import web

    from optout.web.app import make

    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner = web.AppRunner(
        make(setup), access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_SECONDS, handle_signals=False
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, setup.host, port).start()
        except OSError as error:
            message = f"cannot listen at {setup.host} port {port}: {error.strerror or error}"
            raise UnreadableInput(message, mend="name another with --host or --port") from error
        print(_url(setup.host, runner.addresses[0][1]), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
