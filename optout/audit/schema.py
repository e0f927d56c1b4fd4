"""The columns of decision shards: one row for every row of the input, in its order.

| column | meaning |
|---|---|
| `file`, `row` | the input, and the number of the row in it, from 0 |
| `url`, `origin` | as it stands in the input; the origin it was judged under, null where it names none |
| `status` | `known`, `unknown` (the store knows nothing about the origin) or `malformed` (no origin) |
| `kept`, `effect` | whether the row may be used; the strictest effect on what the policy crawls for |
| `reason`, `protocol`, `place`, `scope` | why: reason code, the protocol that decided, where it stands, whom it names |
| `tdm_effect`, `tdm_state`, … | for each purpose what may be done, and what the rightsholder has said |
| `access` | whether the agent may fetch the URL |
| `others_refused` | whether the site refuses some known AI crawler here, whoever it is |
| `signal_date` | when the state that counts was captured |
| `date`, `gap_days` | the row's own date, and how far from it the capture lies |
| `newest_effect` | `effect` by the newest state of the origin |
| `bytes`, `tokens`, `language` | of the row, where the input says |
| `if_…` | `effect` under each other way of judging that was asked for |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from optout.audit.dates import DAY, NO_DATE
from optout.audit.locate import NOWHERE
from optout.model import Effect, Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    from optout.audit.judge import Judge, Judged
    from optout.audit.outcomes import Outcome

MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Rows:
    """What the input says about the rows of a batch, beside their URLs.

    Attributes:
        file: the name of the input.
        first: the number of the first row.
        dates: in seconds; None where no column of dates was found.
        sizes: in bytes; None where nobody knows.
        tokens: None where no column of counts was named.
        languages: None where no such column was found.
    """

    file: str = ""
    first: int = 0
    dates: np.ndarray | None = None
    sizes: np.ndarray | None = None
    tokens: pa.Array | None = None
    languages: pa.Array | None = None


def name_of(purpose: Purpose, what: str) -> str:
    """The name of a column about a purpose, such as `ai_train_effect`."""
    return f"{purpose.replace('-', '_')}_{what}"


def answers(judge: Judge, judged: Judged) -> dict[str, pa.Array]:
    """The columns that tell what was decided."""
    numbers, outcomes = judged.numbers[0], judge.outcomes
    told = outcomes.told(numbers)
    effect = told.column("effect", _effect)
    found: dict[str, pa.Array] = {
        "origin": _origins(judged),
        "status": told.column("status", lambda outcome: outcome.status),
        "kept": told.flags("kept", lambda outcome: outcome.effect is Effect.PERMIT),
        "effect": effect,
        "reason": told.column("reason", lambda outcome: outcome.reason),
        "protocol": told.column("protocol", lambda outcome: outcome.protocol),
        "place": told.column("place", lambda outcome: outcome.place),
        "scope": told.column("scope", lambda outcome: outcome.scope),
    }
    for place, purpose in enumerate(Purpose):
        for what, values in (("effect", "effects"), ("state", "states")):
            name = name_of(purpose, what)
            found[name] = told.column(name, _at(values, place))
    found["access"] = told.column("access", lambda outcome: outcome.access)
    found["others_refused"] = told.flags("others_refused", lambda outcome: outcome.others)
    found["signal_date"] = moments(judged.dates)
    same = judged.newest is numbers
    found["newest_effect"] = effect if same else outcomes.told(judged.newest).column("effect", _effect)
    for reading, other in zip(judge.readings[1:], judged.numbers[1:], strict=True):
        found[f"if_{reading.name}"] = outcomes.told(other).column("effect", _effect)
    return found


def _effect(outcome: Outcome) -> str:
    return outcome.effect


def _at(name: str, place: int) -> Callable[[Outcome], str]:
    """What an outcome has for one purpose."""
    return lambda outcome: str(getattr(outcome, name)[place])


def decisions(judge: Judge, judged: Judged, rows: Rows) -> pa.Table:
    """The rows of a decision shard for a batch."""
    count = len(judged.located.urls)
    nothing = pa.nulls(count, pa.int64())
    file = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([rows.file]))
    columns = {
        "file": file,
        "row": pa.array(np.arange(rows.first, rows.first + count)),
        # Wide, so that every batch has the same schema whatever the input has; in the file it is the same.
        "url": judged.located.urls.cast(pa.large_string()),
        **answers(judge, judged),
        "date": pa.nulls(count, MOMENT) if rows.dates is None else moments(rows.dates),
        "gap_days": nothing if judged.gaps is None else pa.array(judged.gaps // DAY, mask=judged.dates == NO_DATE),
        "bytes": nothing if rows.sizes is None else pa.array(rows.sizes, pa.int64()),
        "tokens": nothing if rows.tokens is None else rows.tokens,
        "language": pa.nulls(count, pa.string()) if rows.languages is None else rows.languages,
    }
    fields = [pa.field(name, column.type, nullable=name in MAY_BE_NULL) for name, column in columns.items()]
    return pa.table(list(columns.values()), schema=pa.schema(fields))


MAY_BE_NULL = frozenset({"url", "origin", "signal_date", "date", "gap_days", "bytes", "tokens", "language"})
"""The columns that may hold nulls; to say that the others cannot spares a reader and a writer a look at each row."""


def moments(seconds: np.ndarray) -> pa.Array:
    """Seconds as timestamps."""
    missing = seconds == NO_DATE
    return pa.array(np.where(missing, 0, seconds) * 1_000_000, pa.int64(), mask=missing).cast(MOMENT)


def _origins(judged: Judged) -> pa.Array:
    """The origins in the order of their coming in these rows, so that the same rows are the same bytes."""
    located = judged.located
    found = pa.array(located.codes, mask=located.codes == NOWHERE).dictionary_encode()
    return pa.DictionaryArray.from_arrays(found.indices, located.origins.column().take(found.dictionary))
