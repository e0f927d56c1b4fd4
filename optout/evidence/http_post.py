"""Asking others over HTTP: one POST with a bounded answer in bounded time, whatever the other side does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from optout.errors import EvidenceError

TIMEOUT_SECONDS = 30
"""How long an answer may take as a whole, however slowly it comes."""

LARGEST_ANSWER = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: status, body and media type."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


def post(url: str, body: bytes, content_type: str, seconds: float = TIMEOUT_SECONDS) -> Answer:
    """Post something and give the answer, also one that says no. Redirections are not followed.

    Args:
        url: http or https.
        body: what is sent.
        content_type: its media type.
        seconds: how long all of it may take.

    Raises:
        EvidenceError: the other side cannot be reached, is too slow, says too much, or does not speak HTTP.
    """
    if not url.startswith(("http://", "https://")):
        raise EvidenceError(f"{url[:200]} is not an address that can be asked", mend="it begins with https://")
    return asyncio.run(_post(url, body, content_type, seconds))


async def _post(url: str, body: bytes, content_type: str, seconds: float) -> Answer:
    import aiohttp  # noqa: PLC0415 - only those who ask others need it

    limit, headers = aiohttp.ClientTimeout(total=seconds), {"Content-Type": content_type}
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            data = bytearray()
            async for chunk in answer.content.iter_any():
                data += chunk
                if len(data) > LARGEST_ANSWER:
                    raise EvidenceError(f"{url} does not come to an end", place=f"after {len(data)} bytes")
            return Answer(answer.status, bytes(data), answer.headers.get("Content-Type", ""))
    except TimeoutError as fault:
        raise EvidenceError(f"{url} has not answered within {seconds:g} seconds") from fault
    except (aiohttp.ClientError, OSError, ValueError) as fault:
        raise EvidenceError(f"{url} cannot be reached", place=str(fault) or type(fault).__name__) from fault
