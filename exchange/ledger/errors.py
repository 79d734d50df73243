"""What can go wrong with the ledger.

LedgerError
├── Malformed                   the bytes are not what they claim to be
│   ├── HashMalformed           a hash that is not 32 bytes, or a frontier of the wrong length
│   ├── NoteMalformed           not a signed note
│   ├── KeyMalformed            not a verifier key or a private key text
│   ├── CheckpointMalformed     not a checkpoint body
│   ├── ProofMalformed          not a .tlog-proof file
│   ├── TileMalformed           not a tile, or not the path of one
│   ├── BundleMalformed         not an entry bundle
│   ├── PolicyMalformed         not a policy file
│   └── StateMalformed          not the record of a checkpoint signer
├── NoteUnsigned                well formed, but no key we know signed it
├── SignatureInvalid            a key we know is named and its signature is wrong
├── KeyUnsupported              a key type this machine cannot check
├── ProofInvalid                the hashes do not lead to the root
├── OutOfTree                   asked about an entry or a size that the tree does not have
├── NodeMissing                 a tile that the proof needs was not given
├── PolicyUnmet                 signed, but not as the policy demands
│   ├── LogUnknown              no named log signed a checkpoint of its own origin
│   ├── QuorumUnmet             too few witnesses
│   └── ForeignSignature        a line whose key the policy does not name, where none may be
├── LedgerInconsistent          the writer must stop; nobody signs
│   ├── LedgerRollback          smaller than what was signed before
│   └── LedgerFork              another root at a size that we know
├── LeavesMissing               the signer was not given the leaves between two sizes
├── SourceUnreachable           a ledger could not be read; trying again may help
└── AuditFailed                 what an audit finds, with the file that it is about
    ├── FileUnknown             a file that the layout does not have
    ├── FileMissing             a file that the layout has is not there
    ├── EntryMismatch           an entry does not hash to its place in the tile
    ├── TileMismatch            a tile is not the hashes of the tiles below
    └── RootMismatch            the files do not lead to the signed root

This package leans on nothing of ours, so the small idea of ``pki.errors.Fault`` (a
stable code, a sentence with its values apart, who can mend it) is repeated here.
"""

from __future__ import annotations

from typing import ClassVar


def N_(template: str) -> str:  # noqa: N802 - gettext's customary name
    """Mark a template for the catalogue without translating it here."""
    return template


class LedgerError(Exception):
    """Base of every error of the ledger: a stable code, a sentence, who can mend it.

    ``template`` is the catalogue's key in English and ``fields`` are the values that
    go into it; ``str()`` gives the English sentence.
    """

    code: ClassVar[str] = "ledger"
    template: ClassVar[str] = N_("the ledger cannot go on: {detail}")
    mender: ClassVar[str] = "operator"

    def __init__(self, **fields: object) -> None:
        self.fields: tuple[tuple[str, str], ...] = tuple((name, str(value)) for name, value in fields.items())
        super().__init__(self.template.format(**dict(self.fields)))


class Malformed(LedgerError):
    """The bytes are not what they claim to be; nothing in them was used."""

    code = "ledger-malformed"
    template = N_("not a piece of a ledger: {detail}")
    mender = "sender"


class HashMalformed(Malformed):
    """A hash that is not exactly 32 bytes, or the wrong number of them."""

    code = "hash-malformed"
    template = N_("not a SHA-256 hash of the tree: {detail}")


class NoteMalformed(Malformed):
    """The bytes are not a signed note."""

    code = "note-malformed"
    template = N_("not a signed note: {detail}")


class KeyMalformed(Malformed):
    """Not the text form of a verifier key or of a private key."""

    code = "note-key-malformed"
    template = N_("not a note key: {detail}")


class CheckpointMalformed(Malformed):
    """A note's text that is not a checkpoint."""

    code = "checkpoint-malformed"
    template = N_("not a checkpoint: {detail}")


class ProofMalformed(Malformed):
    """The bytes are not a .tlog-proof file."""

    code = "proof-malformed"
    template = N_("not a ledger proof: {detail}")


class TileMalformed(Malformed):
    """Not a tile, or not the path of one."""

    code = "tile-malformed"
    template = N_("not a tile: {detail}")


class BundleMalformed(Malformed):
    """Not a bundle of entries."""

    code = "bundle-malformed"
    template = N_("not an entry bundle: {detail}")


class PolicyMalformed(Malformed):
    """Not a policy file; ``line`` counts from 1 and is 0 when the whole file is meant."""

    code = "policy-malformed"
    template = N_("not a ledger policy (line {line}): {detail}")
    mender = "operator"

    def __init__(self, *, line: int, detail: str) -> None:
        self.line = line
        super().__init__(line=line, detail=detail)


class StateMalformed(Malformed):
    """Not the record of a checkpoint signer."""

    code = "signer-state-malformed"
    template = N_("not a checkpoint signer's record: {detail}")
    mender = "operator"


class NoteUnsigned(LedgerError):
    """Well formed, but no key that we know signed it; nothing may be concluded from it."""

    code = "note-unsigned"
    template = N_("no key that we know signed this note")
    mender = "operator"


class SignatureInvalid(LedgerError):
    """A known key is named and its signature is wrong; the whole note is refused."""

    code = "note-signature-invalid"
    template = N_("the signature of {key} is wrong: {detail}")
    mender = "nobody"

    def __init__(self, *, key: str, detail: str) -> None:
        self.key = key
        super().__init__(key=key, detail=detail)


class KeyUnsupported(LedgerError):
    """A key of a type that this machine's cryptography cannot check."""

    code = "note-key-unsupported"
    template = N_("this machine cannot check signatures of type {kind}")

    def __init__(self, *, kind: str) -> None:
        self.kind = kind
        super().__init__(kind=kind)


class ProofInvalid(LedgerError):
    """The hashes of the proof do not lead from what was claimed to the root."""

    code = "proof-invalid"
    template = N_("the ledger proof does not hold: {detail}")
    mender = "nobody"


class OutOfTree(LedgerError):
    """Asked about an entry or a size that the tree does not have."""

    code = "out-of-tree"
    template = N_("{asked} is not in a ledger of {size} entries")
    mender = "sender"

    def __init__(self, *, asked: int, size: int) -> None:
        self.asked = asked
        self.size = size
        super().__init__(asked=asked, size=size)


class NodeMissing(LedgerError):
    """A tile that the proof needs was not given; ``path`` names it."""

    code = "node-missing"
    template = N_("the tile {path} is needed and was not given")

    def __init__(self, *, path: str) -> None:
        self.path = path
        super().__init__(path=path)


class PolicyUnmet(LedgerError):
    """Signed, but not as the policy demands."""

    code = "policy-unmet"
    template = N_("the ledger policy is not met: {detail}")


class LogUnknown(PolicyUnmet):
    """No log that the policy names for this origin signed the checkpoint."""

    code = "log-unknown"
    template = N_("no log named in the policy signed a checkpoint of origin {origin}")

    def __init__(self, *, origin: str) -> None:
        self.origin = origin
        super().__init__(origin=origin)


class QuorumUnmet(PolicyUnmet):
    """Too few witnesses cosigned; waiting for more of them may help."""

    code = "quorum-unmet"
    template = N_("the quorum {quorum} is not met by the witnesses that cosigned: {witnesses}")

    def __init__(self, *, quorum: str, witnesses: tuple[str, ...]) -> None:
        self.quorum = quorum
        self.witnesses = witnesses
        super().__init__(quorum=quorum, witnesses=", ".join(witnesses) or "-")


class ForeignSignature(PolicyUnmet):
    """A line whose key the policy does not name, where none may be: in a receipt, in an export."""

    code = "foreign-signature"
    template = N_("a signature by {key}, which the policy does not name")
    mender = "sender"

    def __init__(self, *, key: str) -> None:
        self.key = key
        super().__init__(key=key)


class LedgerInconsistent(LedgerError):
    """The history in the store is not the one that was signed. The writer stops."""

    code = "ledger-inconsistent"
    template = N_("the ledger contradicts what was signed: {detail}")


class LedgerRollback(LedgerInconsistent):
    """The store is behind what was already signed: data loss, or an old backup restored."""

    code = "ledger-rollback"
    template = N_("the ledger has {offered} entries, but {signed} were signed before")

    def __init__(self, *, signed: int, offered: int) -> None:
        self.signed = signed
        self.offered = offered
        super().__init__(signed=signed, offered=offered)


class LedgerFork(LedgerInconsistent):
    """Two roots for one size: the stored one and the one that we computed or know."""

    code = "ledger-fork"
    template = N_("two roots for size {size}: {ours} is known, {theirs} was offered")

    def __init__(self, *, size: int, ours: bytes, theirs: bytes) -> None:
        self.size = size
        self.ours = ours
        self.theirs = theirs
        super().__init__(size=size, ours=ours.hex(), theirs=theirs.hex())


class LeavesMissing(LedgerError):
    """Not exactly the entries between two sizes; nothing was changed."""

    code = "leaves-missing"
    template = N_("{needed} entries are needed and {given} were given")

    def __init__(self, *, needed: int, given: int) -> None:
        self.needed = needed
        self.given = given
        super().__init__(needed=needed, given=given)


class SourceUnreachable(LedgerError):
    """A ledger could not be read; trying again may help. A source of an audit raises it."""

    code = "ledger-unreachable"
    template = N_("the ledger cannot be read: {detail}")


class AuditFailed(LedgerError):
    """What an audit finds; ``path`` is the file that it is about."""

    code = "audit-failed"
    template = N_("{path} is not what was signed")
    mender = "nobody"

    def __init__(self, *, path: str, **fields: object) -> None:
        self.path = path
        super().__init__(path=path, **fields)


class FileUnknown(AuditFailed):
    """A file that the layout of this size does not have."""

    code = "ledger-file-unknown"
    template = N_("{path} does not belong to a ledger of this size")
    mender = "operator"


class FileMissing(AuditFailed):
    """A file that the layout of this size has is not there; without it nothing is proven."""

    code = "ledger-file-missing"
    template = N_("{path} is missing")
    mender = "operator"


class EntryMismatch(AuditFailed):
    """An entry does not hash to its place in the tile of leaf hashes: one of the two was changed."""

    code = "ledger-entry-mismatch"
    template = N_("{path}: entry {index} does not hash to its place in the tile")

    def __init__(self, *, path: str, index: int) -> None:
        self.index = index
        super().__init__(path=path, index=index)


class TileMismatch(AuditFailed):
    """A tile is not the hashes of the tiles below it: one of them was changed."""

    code = "ledger-tile-mismatch"
    template = N_("{path} is not made of the hashes of the tiles below it (first at place {place})")

    def __init__(self, *, path: str, place: int) -> None:
        self.place = place
        super().__init__(path=path, place=place)


class RootMismatch(AuditFailed):
    """The files do not lead to the signed root; ``made_from`` says which of them: tiles or entries."""

    code = "ledger-root-mismatch"
    template = N_("the {made_from} lead to the root {root} and not to the signed one")

    def __init__(self, *, path: str, made_from: str, root: bytes) -> None:
        self.made_from = made_from
        self.root = root
        super().__init__(path=path, made_from=made_from, root=root.hex())
