"""The process that reads manifest stores: native code, strangers' files, no network.

It is started and stopped by `optout.acquisition.manifests`. A request on standard input is a line of JSON and then
the announced bytes; the answer on standard output is a line of JSON. It ends when standard input does.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import c2pa

SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
}
"""Without the empty list of hosts the library asks the network for hosts that a file names."""

_MEMORY = 192 * 1024**2
"""Bytes that a file may cost beside three times its own size. A damaged store of a few kilobytes has asked for two
gigabytes; the allocation fails now, and with it the process."""

_MINING = re.compile(r"(?:cawg|c2pa)\.training-mining(?:__\d+)?")
_MAX_MANIFESTS = 256


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What the library prints must not be taken for an answer.
    context = c2pa.Context.from_dict(SETTINGS)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer = _answer(request, sys.stdin.buffer, context)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _limit_memory(file_bytes: int) -> None:
    """Bound what is allocated from here on (Linux counts private memory under this limit)."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY + 3 * file_bytes, hard))


def _answer(request: Mapping[str, Any], body: BinaryIO, context: c2pa.Context) -> dict[str, Any]:
    """A report, or the fault that kept it from being made."""
    _limit_memory(request["file_bytes"] + request["manifest_bytes"])
    manifest = body.read(request["manifest_bytes"]) or None
    with ExitStack() as stack:
        if request["path"] is None:
            stream: BinaryIO = BytesIO(body.read(request["file_bytes"]))
        else:
            try:
                stream = stack.enter_context(Path(request["path"]).open("rb"))
                _limit_memory(os.fstat(stream.fileno()).st_size)
            except OSError:
                return {"fault": "damaged"}
        return _read(request["media_type"], stream, manifest, context)


def _read(media_type: str, stream: BinaryIO, manifest: bytes | None, context: c2pa.Context) -> dict[str, Any]:
    try:
        reader = c2pa.Reader.try_create(media_type, stream, manifest, context)
        if reader is None:
            return {"fault": None, "report": None}
        with reader:
            return {"fault": None, "report": _report(json.loads(reader.json()))}
    except c2pa.C2paError.RemoteManifest as error:
        return {"fault": "remote", "where": str(error)[:500]}
    except c2pa.C2paError.NotSupported:
        return {"fault": "unsupported"}
    except (c2pa.C2paError, ValueError, RecursionError, MemoryError):
        return {"fault": "damaged"}


def _report(store: Mapping[str, Any]) -> dict[str, Any]:
    """What a decision rests on, without pictures, edit histories and the hundreds of checks that passed."""
    manifests = dict(list(store.get("manifests", {}).items())[:_MAX_MANIFESTS])
    return {
        "active_manifest": store.get("active_manifest"),
        "validation_state": store.get("validation_state"),
        "validation_status": [{"code": entry.get("code")} for entry in store.get("validation_status") or []][:64],
        "manifests": {label: _manifest(content) for label, content in manifests.items()},
    }


def _manifest(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "assertions": list(_mining(content.get("assertions") or [])),
        "ingredients": [
            {"relationship": item.get("relationship"), "active_manifest": item.get("active_manifest")}
            for item in (content.get("ingredients") or [])[:_MAX_MANIFESTS]
        ],
        "signature_info": content.get("signature_info"),
    }


def _mining(assertions: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for assertion in assertions:
        if _MINING.fullmatch(str(assertion.get("label"))):
            yield {"label": assertion.get("label"), "data": assertion.get("data")}


if __name__ == "__main__":
    main()
