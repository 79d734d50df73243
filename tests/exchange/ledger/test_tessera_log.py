"""A ledger written by Tessera: every one of its sixteen checkpoints, audited and proven by us."""

from __future__ import annotations

import json

import pytest

from exchange.ledger.audit import Outcome, audit_ledger
from exchange.ledger.checkpoint import Checkpoint
from exchange.ledger.keys import parse_vkey
from exchange.ledger.merkle import (
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
)
from exchange.ledger.policy import LogLine, Policy
from exchange.ledger.tiles import Tile, decode_bundle
from exchange.ledger.tree import TileNodes, tiles_needed_for_consistency, tiles_needed_for_inclusion
from tests.exchange.ledger.builders import VECTORS, Files, folder

FOLDER = folder(VECTORS / "tessera-log")
(VKEY,) = [
    case["vkey"]
    for case in json.loads((VECTORS / "notes.json").read_text())["vkeys"]
    if case["src"] == "tessera"
]
POLICY = Policy((LogLine(parse_vkey(VKEY)),))


def files_of(size: int) -> dict[str, bytes]:
    """The static folder as it was at that size."""
    names = [f"tile/0/000.p/{size}", f"tile/entries/000.p/{size}"] if size else []
    return {"checkpoint": FOLDER[f"checkpoint.{size}"], **{name: FOLDER[name] for name in names}}


def head(size: int) -> Checkpoint:
    return POLICY.check(FOLDER[f"checkpoint.{size}"]).checkpoint


@pytest.mark.parametrize("size", range(16))
def test_audit(size: int) -> None:
    earlier = [head(known) for known in range(size)]
    report = audit_ledger(Files(files_of(size)), POLICY, earlier=earlier)
    assert report.outcome is Outcome.PROVEN
    assert report.entries == size


@pytest.mark.parametrize("size", range(1, 16))
def test_proofs_from_its_tiles(size: int) -> None:
    entries = decode_bundle(FOLDER[f"tile/entries/000.p/{size}"], size)
    node = TileNodes({Tile(0, 0, size): FOLDER[f"tile/0/000.p/{size}"]})
    for index, entry in enumerate(entries):
        assert tiles_needed_for_inclusion(index, size) <= {Tile(0, 0, size)}
        check_inclusion(
            leaf=leaf_hash(entry),
            index=index,
            size=size,
            proof=inclusion_proof(index, size, node),
            root=head(size).root,
        )
    for old in range(1, size + 1):
        assert tiles_needed_for_consistency(old, size) <= {Tile(0, 0, size)}
        check_consistency(
            old_size=old,
            old_root=head(old).root,
            new_size=size,
            new_root=head(size).root,
            proof=consistency_proof(old, size, node),
        )


def test_folder_with_older_tiles_is_not_an_export() -> None:
    files = {name: data for name, data in FOLDER.items() if not name.startswith("checkpoint.")}
    report = audit_ledger(Files(files), POLICY)
    assert report.outcome is Outcome.WRONG
    assert len(report.findings) == 28
