"""Notes, checkpoints, cosignatures and proofs: what others made is read, what was changed is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.evidence import checkpoint as checkpoints
from optout.evidence import note as notes
from optout.evidence.checkpoint import Checkpoint, Proof, WrongSignature
from optout.evidence.note import Algorithm, MalformedNote, Note, Signature, SignerKey

# The example of Go's note package.
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

ORIGIN = "evidence.example/crawl-decisions/2026"
LOG = SignerKey(ORIGIN, Algorithm.ED25519, b"1" * 32)
LOG_PQ = SignerKey(ORIGIN, Algorithm.COSIGNATURE_ML_DSA_44, b"2" * 32)
WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE_ED25519, b"3" * 32)
CHECKPOINT = Checkpoint(ORIGIN, 31, bytes(range(32)))
SIGNERS = [LOG, WITNESS] + ([LOG_PQ] if notes.MLDSA_AVAILABLE else [])
AT = 1_795_349_704


def signed(*signers: SignerKey, checkpoint: Checkpoint = CHECKPOINT) -> bytes:
    return Note(checkpoint.text).signed(*(checkpoints.sign(checkpoint, key, AT) for key in signers)).bytes


def test_go_s_example_is_reproduced() -> None:
    key = notes.parse_signer(GO_PRIVATE)
    assert key.verifier == notes.parse_verifier(GO_PUBLIC)
    assert (key.text, key.verifier.text) == (GO_PRIVATE, GO_PUBLIC)
    line = Signature(key.name, key.verifier.key_id, key.sign(GO_TEXT.encode()))
    assert line.line == GO_LINE
    assert notes.parse(f"{GO_TEXT}\n{GO_LINE}".encode()) == Note(GO_TEXT, (line,))


def test_the_text_ends_at_the_last_blank_line() -> None:
    note = notes.parse(f"one\n\ntwo\n\n{GO_LINE}".encode())
    assert note.text == "one\n\ntwo\n"


@pytest.mark.parametrize("data", [
    b"", b"text\n", b"text\n\n", GO_LINE.encode(), f"a\r\n\n{GO_LINE}".encode(), b"\xff\n\n" + GO_LINE.encode(),
    f"text\n\n{GO_LINE}".encode()[:-1], b"text\n\n- PeterNeumann x08go/ZJkuBS\n", "text\n\n— a+b AAAAAAAA\n".encode(),
    "text\n\n— name\n".encode(), "text\n\n— name AAAA\n".encode(), "text\n\n— name AAAAAAB=\n".encode(),
    "text\n\n— name !!!!AAAA\n".encode(), b"text\n\n" + GO_LINE.encode() * 65,
])  # fmt: skip
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedNote):
        notes.parse(data)


@pytest.mark.parametrize("text", [
    "", "name", "na me+00000000+AQ==", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10", "n+00000000+/w==", "n+00000000+",
])  # fmt: skip
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(MalformedNote):
        notes.parse_verifier(text)
    with pytest.raises(MalformedNote):
        notes.parse_signer("PRIVATE+KEY+" + text)


def test_a_private_key_does_not_show_itself() -> None:
    assert "1111" not in repr(LOG)


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda key: key.algorithm.name)
def test_every_kind_of_key_signs_and_verifies(signer: SignerKey) -> None:
    opened = checkpoints.open_note(signed(signer), [signer.verifier])
    assert opened.checkpoint == CHECKPOINT
    assert opened.signers == {signer.verifier: None if signer is LOG else AT}
    assert notes.parse_verifier(signer.verifier.text) == signer.verifier
    assert notes.parse_signer(signer.text) == signer


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda key: key.algorithm.name)
@pytest.mark.parametrize("change", [
    Checkpoint(ORIGIN, 32, CHECKPOINT.root), Checkpoint(ORIGIN, 31, bytes(32)),
    Checkpoint("other", 31, CHECKPOINT.root),
])  # fmt: skip
def test_a_signature_is_for_one_checkpoint_only(signer: SignerKey, change: Checkpoint) -> None:
    moved = Note(change.text, notes.parse(signed(signer)).signatures)
    with pytest.raises(WrongSignature):
        checkpoints.open_note(moved.bytes, [signer.verifier])


@pytest.mark.parametrize("signer", SIGNERS[1:], ids=lambda key: key.algorithm.name)
def test_a_stated_time_cannot_be_changed(signer: SignerKey) -> None:
    line = checkpoints.sign(CHECKPOINT, signer, AT)
    for at in (AT - 1, AT + 1, 1 << 63):
        dated = Signature(line.name, line.key_id, at.to_bytes(8, "big") + line.blob[8:])
        with pytest.raises(WrongSignature):
            checkpoints.open_note(Note(CHECKPOINT.text, (dated,)).bytes, [signer.verifier])


@pytest.mark.skipif(not notes.MLDSA_AVAILABLE, reason="this cryptography has no ML-DSA-44")
def test_an_ml_dsa_cosignature_is_for_one_name_only() -> None:
    other = SignerKey("other.example", LOG_PQ.algorithm, LOG_PQ.seed)
    line = checkpoints.sign(CHECKPOINT, other, AT)
    renamed = Signature(ORIGIN, LOG_PQ.verifier.key_id, line.blob)
    with pytest.raises(WrongSignature):
        checkpoints.open_note(Note(CHECKPOINT.text, (renamed,)).bytes, [LOG_PQ.verifier])


def test_strangers_signatures_are_kept_and_not_believed() -> None:
    data = signed(*SIGNERS)
    opened = checkpoints.open_note(data, [LOG.verifier])
    assert list(opened.signers) == [LOG.verifier]
    assert opened.note.bytes == data
    with pytest.raises(WrongSignature):
        checkpoints.open_note(signed(WITNESS), [LOG.verifier])


def test_a_wrong_line_under_a_trusted_name_is_refused_even_beside_a_right_one() -> None:
    wrong = Signature(LOG.name, LOG.verifier.key_id, bytes(64))
    with pytest.raises(WrongSignature):
        checkpoints.open_note(notes.parse(signed(LOG)).signed(wrong).bytes, [LOG.verifier])


@pytest.mark.parametrize("text", [
    "o\n1\n", "o\n01\nAAAA\n", f"o\n1\n{'A' * 43}=", "\n1\n" + "A" * 43 + "=\n", "o\n-1\n" + "A" * 43 + "=\n",
    "o\n1\n" + "A" * 42 + "B=\n", "o\n1\n" + "A" * 44 + "\n", "o\n1\n" + "A" * 43 + "=\n\nx\n",
    "o\n+1\n" + "A" * 43 + "=\n",
    "o\n1e3\n" + "A" * 43 + "=\n", "o\n١\n" + "A" * 43 + "=\n",
])  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedNote):
        checkpoints.parse(text)


def test_extension_lines_are_passed_over() -> None:
    assert checkpoints.parse(CHECKPOINT.text + "extension\n") == CHECKPOINT


def test_a_proof_file_comes_back() -> None:
    proof = Proof(7, (bytes(32), b"\xff" * 32), signed(LOG))
    assert checkpoints.parse_proof(proof.text.encode()) == proof
    with_extra = proof.text.replace("\nindex", "\nextra AAAA\nindex", 1)
    assert checkpoints.parse_proof(with_extra.encode()) == proof
    assert checkpoints.parse_proof(Proof(0, (), b"x\n").text.encode()).hashes == ()


@pytest.mark.parametrize("text", [
    "", "c2sp.org/tlog-proof@v1\n\nx", "c2sp.org/tlog-proof@v2\nindex 1\n\nx", "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
    "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nx", "c2sp.org/tlog-proof@v1\nindex 1\n" + ("A" * 43 + "=\n") * 64 + "\nx",
])  # fmt: skip
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(MalformedNote):
        checkpoints.parse_proof(text.encode())


def test_a_request_to_a_witness_comes_back() -> None:
    data = checkpoints.format_request(15, (bytes(32),), signed(LOG))
    assert data.startswith(b"old 15\nAAAA")
    assert checkpoints.parse_request(data) == (15, (bytes(32),), signed(LOG))
    for wrong in (b"", b"old x\n\n", b"new 1\n\n", b"old 1\n" + (b"A" * 43 + b"=\n") * 64 + b"\nx"):
        with pytest.raises(MalformedNote):
            checkpoints.parse_request(wrong)


@given(st.binary(max_size=200) | st.text(st.sampled_from("o1A=\n— +\0é"), max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (notes.parse, checkpoints.parse_proof, checkpoints.parse_request):
        try:
            read(data)
        except MalformedNote:
            continue


@given(st.data())
def test_any_changed_bit_of_a_signed_checkpoint_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(signed(LOG, WITNESS))
    position = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[position // 8] ^= 1 << position % 8
    try:
        opened = checkpoints.open_note(bytes(whole), [LOG.verifier, WITNESS.verifier])
    except MalformedNote:
        return
    # A damaged name or key identifier makes a line a stranger's; the other line must still be for the same text.
    assert opened.checkpoint == CHECKPOINT
    assert len(opened.signers) == 1
