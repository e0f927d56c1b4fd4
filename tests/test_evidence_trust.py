"""Policy files: the format's own example in small, and every way of breaking its rules."""

from __future__ import annotations

import pytest

from optout.errors import EvidenceError
from optout.evidence import trust
from optout.evidence.note import Algorithm, SignerKey


def key(number: int, algorithm: Algorithm = Algorithm.COSIGNATURE_ED25519) -> str:
    return SignerKey(f"w{number}.example", algorithm, bytes([number]) * 32).verifier.text


LOG = SignerKey("log.example", Algorithm.ED25519, bytes(32)).verifier
TWO_LEVELS = f"""# whom we believe
log {LOG.text} https://log.example/
witness\tX1 {key(1)}
witness X2 {key(2)}
  witness X3 {key(3)} https://x3.example/
group X 2 X1 X2 X3
witness Y1 {key(4)}
witness Y2 {key(5)}
group Y any Y1 Y2
group both all X Y
quorum both
"""


def test_the_example_of_two_levels() -> None:
    policy = trust.parse(TWO_LEVELS.encode())
    keys = {name: witness.key for name, witness in policy.witnesses.items()}
    assert policy.logs == (LOG,)
    assert policy.witnesses["X3"].url == "https://x3.example/"
    assert policy.satisfied([keys["X1"], keys["X3"], keys["Y2"]])
    assert not policy.satisfied([keys["X1"], keys["Y1"], keys["Y2"]])
    assert not policy.satisfied([keys["X1"], keys["X2"], keys["X3"]])


def test_a_quorum_of_none_asks_for_nobody() -> None:
    assert trust.parse(b"quorum none\n").satisfied([])


@pytest.mark.parametrize("text", [
    "", "quorum X", "quorum none\nquorum none", f"log {LOG.text}\nlog {LOG.text}\nquorum none", "log x\nquorum none",
    f"witness none {key(1)}\nquorum none", f"witness a {key(1)}\nwitness b {key(1)}\nquorum none",
    f"witness a {key(1)}\nwitness a {key(2)}\nquorum a", f"witness a {LOG.text}\nquorum a", "group g any\nquorum g",
    f"witness a {key(1)}\ngroup g 2 a\nquorum g", f"witness a {key(1)}\ngroup g 0 a\nquorum g",
    f"witness a {key(1)}\ngroup g any a\ngroup h any a\nquorum g", f"group g any a\nwitness a {key(1)}\nquorum g",
    "hello\nquorum none", f"log {LOG.text} url more\nquorum none",
])  # fmt: skip
def test_broken_rules_are_named(text: str) -> None:
    with pytest.raises(EvidenceError):
        trust.parse(text.encode())


def test_log_keys_are_replaced_and_the_rest_kept() -> None:
    other = SignerKey("log.example", Algorithm.ED25519, b"2" * 32).verifier
    changed = trust.with_logs(TWO_LEVELS.encode(), [LOG, other])
    policy = trust.parse(changed)
    assert policy.logs == (LOG, other)
    assert policy.quorum == "both"
    assert b"# whom we believe" in changed
    assert trust.parse(trust.with_logs(b"", [LOG])).quorum == trust.NONE
