"""Witnesses and timestamp authorities over real HTTP on this machine, and new keys."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import evidence_samples as samples
import pytest
from evidence_samples import ORIGIN, begin, decide, later

from optout.errors import EvidenceError
from optout.evidence import bundle, entries, http_post, rotation, standalone, timestamp, trust, witness
from optout.evidence import checkpoint as checkpoints
from optout.evidence import note as notes
from optout.evidence.countersign import countersign
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout
from optout.evidence.log import LogReader, LogWriter
from optout.evidence.note import Algorithm, Note, Signature, SignerKey
from optout.evidence.verify import verify

AT = int(later(500).timestamp())
WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE_ED25519, b"3" * 32)


class Server:
    """A witness behind HTTP in a thread."""

    def __init__(self, one: witness.Witness, at: int = AT) -> None:
        self._loop = asyncio.new_event_loop()
        self._runner = self._loop.run_until_complete(witness.serve(one, "127.0.0.1", 0, lambda: at))
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()


def log_keys(layout: Layout) -> tuple:
    return trust.parse(layout.policy.read_bytes()).logs


def with_witness(layout: Layout, url: str, key: SignerKey = WITNESS) -> None:
    lines = layout.policy.read_text().replace("quorum none\n", "")
    layout.policy.write_text(f"{lines}witness w1 {key.verifier.text} {url}\nquorum w1\n")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(samples.small(tmp_path / "crawl"))


@pytest.fixture
def server(layout: Layout, tmp_path: Path) -> Iterator[Server]:
    running = Server(witness.Witness(tmp_path / "witness", WITNESS, log_keys(layout)))
    with_witness(layout, running.url)
    yield running
    running.close()


def grow(layout: Layout, at: float) -> None:
    log = begin(layout.directory.parent, at=at)
    decide(log, int(at), 2, at=at)
    log.close(later(at + 1))


def test_a_witness_cosigns_a_growing_log(layout: Layout, server: Server) -> None:
    store = KeyStore(layout.private)
    assert countersign(layout, store, later(500)).witnesses == [WITNESS.name]
    grow(layout, 300)
    assert countersign(layout, store, later(500)).witnesses == [WITNESS.name]
    assert countersign(layout, store, later(500)).witnesses == [WITNESS.name]
    assert len(list(layout.checkpoints.iterdir())) == 2
    report = verify(layout.directory, now=later(600))
    assert report.valid, report.text
    assert report.steps[4].checked == 2
    proof = bundle.prove_url(layout, "https://site-2.example/p/0")
    assert WITNESS.name in proof["log_proof"]


def test_a_log_that_forgot_the_witness_asks_again(layout: Layout, server: Server) -> None:
    store = KeyStore(layout.private)
    countersign(layout, store, later(500))
    grow(layout, 300)
    (layout.private / "witnesses.json").unlink()
    assert countersign(layout, store, later(500)).witnesses == [WITNESS.name]


def test_a_log_that_was_rolled_back_is_refused(layout: Layout, server: Server) -> None:
    store = KeyStore(layout.private)
    before = layout.checkpoint.read_bytes()
    grow(layout, 300)
    countersign(layout, store, later(500))
    layout.checkpoint.write_bytes(before)
    with pytest.raises(witness.ForkError, match="another history"):
        countersign(layout, store, later(500))


def fork(layout: Layout, other: Layout, size: int) -> None:
    """Another history under the same keys: the private directory was copied before the log grew."""
    other.private.parent.mkdir(parents=True)
    other.private.mkdir(mode=0o700)
    for name in ("log.keys", "signed.json"):
        (other.private / name).write_bytes((layout.private / name).read_bytes())
        (other.private / name).chmod(0o600)
    (other.private / "signed.json").write_bytes(b'{"root":"%s","size":0}' % checkpoints_empty())
    with LogWriter(other, KeyStore(other.private), ORIGIN) as writer:
        for number in range(size):
            writer.append(entries.heartbeat(number))
        writer.checkpoint(AT)


def checkpoints_empty() -> bytes:
    return b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", [8, 9, 30])
def test_a_fork_is_refused(layout: Layout, server: Server, tmp_path: Path, size: int) -> None:
    countersign(layout, KeyStore(layout.private), later(500))
    other = Layout(tmp_path / "fork")
    fork(layout, other, size)
    with_witness(other, server.url)
    with pytest.raises(witness.ForkError):
        countersign(other, KeyStore(other.private), later(500))


def test_a_witness_with_another_key_is_not_believed(layout: Layout, tmp_path: Path) -> None:
    other = SignerKey(WITNESS.name, WITNESS.algorithm, b"4" * 32)
    running = Server(witness.Witness(tmp_path / "w", other, log_keys(layout)))
    with_witness(layout, running.url)
    result = countersign(layout, KeyStore(layout.private), later(500))
    running.close()
    assert result.witnesses == []
    assert "did not cosign with its key" in result.problems[0]
    assert not layout.checkpoints.exists()


def test_a_witness_that_cannot_be_reached_is_a_problem_and_no_more(layout: Layout) -> None:
    with_witness(layout, "http://127.0.0.1:1")
    assert "cannot be reached" in countersign(layout, KeyStore(layout.private), later(500)).problems[0]


def test_the_witness_answers_as_the_specification_says(layout: Layout, tmp_path: Path) -> None:
    one = witness.Witness(tmp_path / "w", WITNESS, log_keys(layout))
    signed = layout.checkpoint.read_bytes()
    size = checkpoints.parse(notes.parse(signed).text).size
    reader = LogReader(layout, size)

    def ask(old: int, data: bytes = signed, proof: tuple = ()) -> witness.Answer:
        return one.add_checkpoint(checkpoints.format_request(old, proof, data), AT)

    assert one.add_checkpoint(b"nonsense", AT).status == 400
    unknown = Note("other.example\n1\n" + "A" * 43 + "=\n", (Signature("x", b"1234", b"5"),)).bytes
    assert ask(0, unknown).status == 404
    unsigned = Note(notes.parse(signed).text, (Signature(ORIGIN, b"1234", bytes(64)),)).bytes
    assert ask(0, unsigned).status == 403
    assert ask(size + 1).status == 400
    conflict = ask(3, proof=reader.consistency(3))
    assert (conflict.status, conflict.body, conflict.content_type) == (409, b"0\n", witness.SIZE_TYPE)
    assert ask(0, proof=(bytes(32),)).status == 422
    cosigned = ask(0)
    assert cosigned.status == 200
    assert ask(0).status == 409
    assert ask(size).status == 200
    restarted = witness.Witness(tmp_path / "w", WITNESS, log_keys(layout))
    again = restarted.add_checkpoint(checkpoints.format_request(0, (), signed), AT)
    assert (again.status, again.body) == (409, b"%d\n" % size)


def _cosign_at(layout: Layout, size: int, at: int) -> None:
    path = layout.checkpoints / str(size)
    found = notes.parse(path.read_bytes())
    own = tuple(line for line in found.signatures if line.name != WITNESS.name)
    line = checkpoints.sign(checkpoints.parse(found.text), WITNESS, at)
    path.write_bytes(Note(found.text, own).signed(line).bytes)


@pytest.mark.parametrize(("at", "what"), [
    (AT - 4000, "before"), (int(later(86_400).timestamp()), "not come"),
])  # fmt: skip
def test_a_witness_with_an_impossible_time_is_noticed(layout: Layout, server: Server, at: int, what: str) -> None:
    countersign(layout, KeyStore(layout.private), later(500))
    grow(layout, 300)
    countersign(layout, KeyStore(layout.private), later(500))
    size = max(int(path.name) for path in layout.checkpoints.iterdir())
    _cosign_at(layout, size, at)
    report = verify(layout.directory, now=later(600))
    assert any(what in fault.what and fault.file == f"checkpoints/{size}" for fault in report.faults), report.text


# Timestamps by openssl behind a small server.


_OPENSSL = """
[ tsa ]
default_tsa = config
[ config ]
dir = {directory}
serial = {directory}/serial
signer_cert = {directory}/tsa.pem
signer_key = {directory}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
[ extensions ]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
"""


class Authority:
    """A timestamp authority on this machine."""

    def __init__(self, directory: Path, also: str = "") -> None:
        self.directory = directory
        directory.mkdir()
        settings = _OPENSSL.replace("default_policy", f"{also}default_policy")
        (directory / "openssl.cnf").write_text(settings.format(directory=directory))
        (directory / "serial").write_text("01\n")
        self._make_certificates()
        self.certificate = (directory / "ca.pem").read_bytes()
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                answer = authority.answer(query)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, query: bytes) -> bytes:
        (self.directory / "query").write_bytes(query)
        self._openssl("ts", "-reply", "-config", "openssl.cnf", "-queryfile", "query", "-out", "reply")
        return (self.directory / "reply").read_bytes()

    def _make_certificates(self) -> None:
        new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "3650")
        self._openssl(*new, "-x509", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")
        self._openssl(*new[:4], "-subj", "/CN=Test TSA", "-keyout", "tsa.key", "-out", "tsa.csr")
        self._openssl(
            "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "3650", "-out", "tsa.pem",
            "-extfile", "openssl.cnf", "-extensions", "extensions",
        )  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    running = Authority(tmp_path_factory.mktemp("tsa") / "tsa")
    yield running
    running.close()


def test_a_checkpoint_is_timestamped_and_verified_offline(layout: Layout, authority: Authority) -> None:
    result = countersign(layout, KeyStore(layout.private), later(500), [authority.url, "http://127.0.0.1:1/"])
    assert (len(result.tokens), len(result.problems)) == (1, 1)
    report = verify(layout.directory, authorities=[authority.certificate], now=datetime.now(UTC) + timedelta(days=1))
    assert report.valid, report.text
    assert verify(layout.directory).steps[4].outcome == "cannot be checked"
    past = verify(layout.directory, authorities=[authority.certificate], now=datetime(2020, 1, 1, tzinfo=UTC))
    assert any("not come" in fault.what for fault in past.faults)


def test_a_proof_carries_its_timestamp_to_the_standalone_verifier(layout: Layout, authority: Authority) -> None:
    countersign(layout, KeyStore(layout.private), later(500), [authority.url])
    keys = [key.text for key in log_keys(layout)]
    proof = bundle.prove_url(layout, "https://site-2.example/p/0")
    data = json.dumps(proof).encode()
    assert standalone.check(data, keys, [authority.certificate]).code == standalone.VALID
    assert standalone.check(data, keys, []).code == standalone.INCOMPLETE
    token = bytearray(standalone.unbase64(proof["timestamps"][0]))
    for at in range(0, len(token), 7):
        changed = bytes([*token[:at], token[at] ^ 1, *token[at + 1 :]])
        forged = json.dumps({**proof, "timestamps": [notes.b64encode(changed).decode()]}).encode()
        checked = standalone.check(forged, keys, [authority.certificate])
        same_time = checked.steps[3].notes == standalone.check(data, keys, [authority.certificate]).steps[3].notes
        assert checked.code != standalone.VALID or same_time, at


def test_a_token_is_about_one_checkpoint_by_one_authority(authority: Authority, tmp_path: Path) -> None:
    token = timestamp.request(authority.url, b"data")
    assert timestamp.check(token, b"data", [authority.certificate])
    with pytest.raises(EvidenceError, match="other bytes"):
        timestamp.check(token, b"other", [authority.certificate])
    with pytest.raises(timestamp.NoAuthorityError):
        timestamp.check(token, b"data", [])
    with pytest.raises(EvidenceError, match="damaged"):
        timestamp.check(token[:100], b"data", [authority.certificate])
    other = Authority(tmp_path / "other")
    other.close()
    with pytest.raises(EvidenceError, match="named authority"):
        timestamp.check(token, b"data", [other.certificate])


def test_a_token_with_two_certificates_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    """OpenSSL writes a token's certificates unsorted, which DER forbids; the mend is in the message."""
    chained = Authority(tmp_path / "tsa", "certs = {directory}/ca.pem\n")
    try:
        with pytest.raises(EvidenceError, match="only its own certificate"):
            timestamp.request(chained.url, b"data")
    finally:
        chained.close()


# Others who do not behave.


class Rude:
    """A server that answers every connection with the same bytes, one piece after the other."""

    def __init__(self, *pieces: bytes, pause: float = 0) -> None:
        self._pieces, self._pause, self._closing = pieces, pause, threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        with socket.create_connection(self._socket.getsockname()):
            pass
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            connection, _ = self._socket.accept()
            with connection, suppress(OSError):
                connection.settimeout(5)
                while not self._closing.is_set() and b"\r\n\r\n" not in connection.recv(1 << 16):
                    pass
                for piece in self._pieces:
                    if self._closing.wait(self._pause):
                        break
                    connection.sendall(piece)


def _http(status: str, body: bytes, kind: str = "text/plain") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


RUDE = {
    "says nothing": (b"",),
    "is no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n",),
    "breaks off": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",),
    "never ends": (b"HTTP/1.1 200 OK\r\n\r\n", *([b"x" * (1 << 16)] * 40)),
    "sends elsewhere": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",),
    "cosigns with rubbish": (_http("200 OK", b"\xe2\x80\x94 witness.example/w1 AAAA\n"),),
    "cosigns in no encoding": (_http("200 OK", b"\xff\xfe"),),
    "conflicts without a size": (_http("409 Conflict", b"12", "text/plain"),),
    "conflicts with no number": (_http("409 Conflict", b"twelve", witness.SIZE_TYPE),),
    "conflicts with an endless number": (_http("409 Conflict", b"9" * 100_000, witness.SIZE_TYPE),),
    "is out of order": (_http("500 Internal Server Error", b"\x1b[2J"),),
}


@pytest.mark.parametrize("pieces", RUDE.values(), ids=RUDE)
def test_a_witness_that_misbehaves_is_a_problem_and_no_more(layout: Layout, pieces: tuple[bytes, ...]) -> None:
    rude = Rude(*pieces)
    with_witness(layout, rude.url)
    try:
        result = countersign(layout, KeyStore(layout.private), later(500), [rude.url])
    finally:
        rude.close()
    assert (len(result.problems), result.witnesses, result.tokens) == (2, [], [])
    assert not layout.checkpoints.exists()
    assert not layout.timestamps.exists()


@pytest.mark.parametrize("status", ["409 Conflict", "422 Unprocessable Entity"])
def test_a_witness_that_knows_more_stops_everything(layout: Layout, status: str) -> None:
    rude = Rude(_http(status, b"1000000", witness.SIZE_TYPE))
    with_witness(layout, rude.url)
    try:
        with pytest.raises(witness.ForkError):
            countersign(layout, KeyStore(layout.private), later(500))
    finally:
        rude.close()


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["head", "body"])
def test_an_answer_that_drips_is_not_waited_for(begun: bytes) -> None:
    rude = Rude(begun, *([b"x"] * 10_000), pause=0.05)
    try:
        with pytest.raises(EvidenceError, match="has not answered within"):
            http_post.post(rude.url, b"", "text/plain", 0.5)
    finally:
        rude.close()


def test_a_witness_that_the_verifier_brings_must_have_cosigned(layout: Layout, server: Server) -> None:
    """Whoever brings a witness's key sees whether it cosigned, whatever the log's own policy file says."""
    countersign(layout, KeyStore(layout.private), later(500))
    silent = SignerKey("witness.example/w2", Algorithm.COSIGNATURE_ED25519, b"5" * 32).verifier
    assert verify(layout.directory, witnesses=[WITNESS.verifier], now=later(600)).valid
    report = verify(layout.directory, witnesses=[WITNESS.verifier, silent], now=later(600))
    assert (report.outcome, report.faults) == ("cannot be checked", [])
    assert "w2" in report.steps[4].gaps[0]
    keys = [key.text for key in log_keys(layout)]
    data = json.dumps(bundle.prove_url(layout, "https://site-2.example/p/0")).encode()
    found = {
        name: standalone.check(data, keys, [], [key.text for key in given])
        for name, given in {"none": [], "own": [WITNESS.verifier], "silent": [silent]}.items()
    }
    assert [checked.code for checked in found.values()] == [0, 0, standalone.INCOMPLETE]
    assert "a witness that only this file names" in found["none"].text
    assert "a witness that only this file names" not in found["own"].text


# New keys.


def test_who_trusts_the_old_key_finds_the_new_one(layout: Layout) -> None:
    old = log_keys(layout)
    new = rotation.rotate(layout, KeyStore(layout.private), ORIGIN, later(400))
    report = verify(layout.directory, trusted=old, now=later(500))
    assert report.valid, report.text
    days = 31 * 86_400
    grow(layout, days + 400)
    assert log_keys(layout) == new
    report = verify(layout.directory, trusted=old, now=later(days + 500))
    assert report.valid, report.text
    assert verify(layout.directory, trusted=new, now=later(days + 500)).valid
    stranger = SignerKey(ORIGIN, Algorithm.ED25519, b"9" * 32).verifier
    assert not verify(layout.directory, trusted=[stranger], now=later(days + 500)).valid


def test_an_interrupted_rotation_is_finished_by_the_next(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    store, old = KeyStore(layout.private), log_keys(layout)
    monkeypatch.setattr(LogWriter, "replace_keys", lambda self, keys: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(layout, store, ORIGIN, later(400))
    monkeypatch.undo()
    assert verify(layout.directory, trusted=old).valid
    new = rotation.rotate(layout, store, ORIGIN, later(500))
    assert set(log_keys(layout)) == {*old, *new}
    report = verify(layout.directory, trusted=old)
    assert report.valid, report.text
    assert b"".join(data for _, data in LogReader(layout, KeyStore(layout.private).signed().size).entries()).count(
        entries.ROTATION.encode()
    ) == 1  # fmt: skip
