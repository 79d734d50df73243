"""Our ledgers and proofs, judged by Go's golang.org/x/mod/sumdb, and Go's notes judged by us.

The auditor in ``go/`` is built once a session, from Debian's golang-golang-x-mod-dev where it is installed,
else from the Go modules that are on this machine. Only on CI may the build fetch the module.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from exchange.ledger.keys import parse_vkey
from exchange.ledger.merkle import leaf_hash
from exchange.ledger.note import (
    NoteSigner,
    decode_private_key,
    encode_private_key,
    known_keys,
    open_note,
    sign_note,
)
from exchange.ledger.proof import TlogProof, encode_proof
from exchange.ledger.tree import MemoryTree
from tests.exchange.ledger.builders import (
    VECTORS,
    a_checkpoint,
    a_ledger,
    a_log,
    a_note,
    a_witness,
    entries_of,
    private_key,
)
from tests.tools import need

SOURCE = Path(__file__).parent / "go"
DEBIAN = Path("/usr/share/gocode")
SIZES = [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000]


@pytest.fixture(scope="session")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built for this session."""
    go = need("go")
    program = tmp_path_factory.mktemp("auditor") / "auditor"
    common = {**os.environ, "GOTOOLCHAIN": "local"}
    if (DEBIAN / "src" / "golang.org" / "x" / "mod").is_dir():
        ways = [{**common, "GO111MODULE": "off", "GOFLAGS": "", "GOPATH": str(DEBIAN)}]
    else:
        modules = {**common, "GO111MODULE": "on", "GOFLAGS": "-mod=readonly"}
        ways = [{**modules, "GOPROXY": "off"}]
        if os.environ.get("CI") == "true":
            ways.append(modules)
    complaints = []
    for environment in ways:
        done = subprocess.run(
            [go, "build", "-o", str(program), "main.go"],
            cwd=SOURCE,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return program
        complaints.append(done.stderr)
    if os.environ.get("CI") == "true":
        pytest.fail("the Go auditor could not be built:\n" + "\n".join(complaints))
    pytest.skip("golang.org/x/mod is not on this machine")


def run(auditor: Path, *arguments: str | Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([auditor, *arguments], input=text, capture_output=True, check=False)


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


@pytest.mark.parametrize("size", SIZES)
def test_go_proves_our_static_folder(auditor: Path, tmp_path: Path, size: int) -> None:
    files = a_ledger(entries_of(size), witnesses=2)
    keys = (a_log().vkey, a_witness(1).vkey, a_witness(2).vkey)
    done = run(auditor, "audit", written(tmp_path, files), *keys)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"ok {size} entries, {len(files)} files\n"


def test_go_refuses_what_we_refuse(auditor: Path, tmp_path: Path) -> None:
    files = a_ledger(entries_of(300))
    key = a_log().vkey
    assert run(auditor, "audit", written(tmp_path / "good", files), key).returncode == 0
    for path, data in files.items():
        for name, changed in (
            ("flipped", bytes([data[0] ^ 1]) + data[1:]),
            ("cut", data[:-1]),
            ("longer", data + b"\0"),
            ("gone", None),
        ):
            edited = {other: content for other, content in files.items() if other != path}
            if changed is not None:
                edited[path] = changed
            folder = written(tmp_path / f"{path.replace('/', '-')}-{name}", edited)
            assert run(auditor, "audit", folder, key).returncode == 1, (path, name)
    assert run(auditor, "audit", written(tmp_path / "good", {"extra": b""}), key).returncode == 1


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 700])
def test_go_checks_our_proofs(auditor: Path, tmp_path: Path, size: int) -> None:
    entries = entries_of(size)
    tree = MemoryTree()
    tree.extend(map(leaf_hash, entries))
    note = a_note(a_checkpoint(entries), witnesses=1)
    keys = (a_log().vkey, a_witness().vkey)
    file, entry_file = tmp_path / "entry.tlog-proof", tmp_path / "entry"
    for index in {0, size // 2, size - 1}:
        file.write_bytes(encode_proof(TlogProof(index, tree.inclusion_proof(index), note, b"extra")))
        entry_file.write_bytes(entries[index])
        done = run(auditor, "proof", file, entry_file, *keys)
        assert done.stdout.decode() == f"ok entry {index} of {size}\n", done.stderr
        entry_file.write_bytes(entries[index] + b"x")
        assert run(auditor, "proof", file, entry_file, *keys).returncode == 1


def test_go_checks_the_worked_example(auditor: Path) -> None:
    folder = VECTORS / "worked-example"
    keys = [(folder / f"{name}.vkey").read_text().strip() for name in ("log", "witness")]
    assert run(auditor, "audit", folder / "log", *keys).returncode == 0
    assert run(auditor, "proof", folder / "entry2.tlog-proof", folder / "entry2", *keys).returncode == 0


def test_key_made_by_go_signs_here_as_there(auditor: Path) -> None:
    private, public = run(auditor, "keygen", "go.example/log").stdout.decode().split()
    signer = NoteSigner.from_key(*decode_private_key(private))
    assert signer.vkey == public
    text = "first\n\n第二\n".encode()
    note = run(auditor, "sign", private, text=text).stdout
    assert sign_note(text, [signer]) == note
    assert open_note(note, known_keys([parse_vkey(public)])).text == text


def test_key_made_here_signs_in_go(auditor: Path) -> None:
    private = encode_private_key("hub.example/audit", private_key("demo log key"))
    note = run(auditor, "sign", private, text=b"text\n").stdout
    assert note == sign_note(b"text\n", [a_log()])
