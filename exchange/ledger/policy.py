"""Policies: whose checkpoints an auditor believes.

    log hub.example/audit+e578d895+AUU9zP+mY6t/L1ps4JaouUzW37dk+JKds+jmmAzGFdTD
    witness w1 witness.example/w1+649a492a+BB3gSum5wGmX9zxyflinPpljj3VSavYkhwruZcbAoHb+
    group outside any w1
    quorum outside

A checkpoint is good if a log of this file signed it under its own name, and witnesses of this file
cosigned it as the quorum says. C2SP tlog-policy (draft). Stricter than it in three things: the file is
UTF-8, a key that stands under two names is refused across logs *and* witnesses, and the types are
held apart (a log has type 0x01 or 0x06, a witness 0x04 or 0x06). Where to fetch from, and at what time
evidence is judged, is not said here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from exchange.ledger.checkpoint import Checkpoint, decode_checkpoint
from exchange.ledger.cosignature import CosignatureVerifier, MlDsaVerifier, cosigned_at
from exchange.ledger.errors import (
    ForeignSignature,
    KeyMalformed,
    KeyUnsupported,
    LogUnknown,
    PolicyMalformed,
    QuorumUnmet,
)
from exchange.ledger.keys import parse_vkey
from exchange.ledger.note import KeyId, NoteVerifier, Signature, Verifier, encode_note, known_keys, open_note

MAX_POLICY: Final = 512 * 1024
MAX_ITEMS: Final = 64
"""Logs, witnesses and groups, each; the draft asks for 32 at least."""

NO_QUORUM: Final = "none"

_SPACE: Final = re.compile(r"[ \t]+")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_NAME: Final = re.compile(r"[^ \t\n#][^ \t\n]*")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log that is believed; its key's name is its origin."""

    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class WitnessLine:
    """A witness, under a name that means something in this file only."""

    name: str
    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class GroupLine:
    """``threshold`` of these members must have signed; members are witnesses or earlier groups."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature: the witness's name in the policy, its key, and when it says it signed.

    ``at`` is None where an ML-DSA cosigner made no statement of time.
    """

    witness: str
    key: KeyId
    at: datetime | None


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """A checkpoint that met a policy. Only ``Policy.check`` should make one.

    ``note`` are the exact bytes that were checked and ``text`` those that were signed; ``unknown_lines`` are
    signature lines whose key the policy does not name, from which nothing may be concluded.
    """

    checkpoint: Checkpoint
    note: bytes = field(repr=False)
    text: bytes = field(repr=False)
    log_keys: tuple[KeyId, ...]
    cosignatures: tuple[Cosignature, ...]
    unknown_lines: tuple[Signature, ...]
    proven_at: datetime | None
    """By when outsiders had seen this checkpoint: the earliest time by which the quorum had cosigned. With
    ``quorum none`` the latest of the cosignatures there are, which is the least that they say together;
    None without any."""
    trimmed: bytes = field(repr=False)
    """The note without the unknown lines: what goes into receipts and exports."""

    def check_no_unknown_lines(self) -> None:
        """Check that the policy names the key of every signature line, as in receipts and exports it must.

        Raises:
            ForeignSignature: there is a line whose key it does not name.
        """
        for signature in self.unknown_lines:
            raise ForeignSignature(key=signature.key.name)


@dataclass(frozen=True, slots=True)
class Policy:
    """The logs, witnesses and groups that an auditor names, and the quorum.

    Raises:
        PolicyMalformed: the lines break a rule of the format (line 0: built by hand, not read).
    """

    logs: tuple[LogLine, ...]
    witnesses: tuple[WitnessLine, ...] = ()
    groups: tuple[GroupLine, ...] = ()
    quorum: str = NO_QUORUM
    known: Mapping[KeyId, Verifier] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rules = _Rules()
        try:
            for log in self.logs:
                rules.log(log)
            for witness in self.witnesses:
                rules.witness(witness)
            for group in self.groups:
                rules.group(group)
            rules.quorum(self.quorum)
            keys = [log.verifier for log in self.logs] + [line.verifier for line in self.witnesses]
            object.__setattr__(self, "known", known_keys(keys))
        except (_RuleBroken, KeyMalformed) as error:
            raise PolicyMalformed(line=0, detail=str(error)) from error

    def check(self, note: bytes) -> VerifiedCheckpoint:
        """Check a signed checkpoint against this policy.

        1. The note holds: every line of a key that the policy names verifies.
        2. Its text is a checkpoint.
        3. A log whose name is the checkpoint's origin signed it.
        4. The quorum of witnesses cosigned it.

        Raises:
            NoteMalformed: not a note.
            SignatureInvalid: a named key is claimed and its signature is wrong.
            NoteUnsigned: no key of this policy signed it.
            CheckpointMalformed: signed, but not a checkpoint.
            LogUnknown: signed, but by no log of that origin.
            QuorumUnmet: too few witnesses.
        """
        opened = open_note(note, self.known)  # (1)
        checkpoint = decode_checkpoint(opened.text)  # (2)
        log_keys = {log.verifier.key_id for log in self.logs if log.verifier.name == checkpoint.origin}
        signed_by = tuple(dict.fromkeys(item.key for item in opened.verified if item.key in log_keys))
        if not signed_by:  # (3)
            raise LogUnknown(origin=checkpoint.origin)
        names = {line.verifier.key_id: line for line in self.witnesses}
        cosignatures = tuple(
            Cosignature(names[item.key].name, item.key, _time_of(names[item.key].verifier, item.value))
            for item in opened.verified
            if item.key in names
        )
        signed = {item.witness for item in cosignatures}
        if not self.meets_quorum(signed):  # (4)
            raise QuorumUnmet(quorum=self.quorum, witnesses=tuple(sorted(signed)))
        return VerifiedCheckpoint(
            checkpoint=checkpoint,
            note=note,
            text=opened.text,
            log_keys=signed_by,
            cosignatures=cosignatures,
            unknown_lines=opened.unverified,
            proven_at=self._proven_at(cosignatures),
            trimmed=encode_note(opened.text, opened.verified),
        )

    def meets_quorum(self, witnesses: Iterable[str]) -> bool:
        """Whether cosignatures by these witnesses (named as in the policy) are enough."""
        met = {NO_QUORUM, *witnesses}
        for group in self.groups:
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(group.name)
        return self.quorum in met

    def _proven_at(self, cosignatures: Iterable[Cosignature]) -> datetime | None:
        timed = sorted((item.at, item.witness) for item in cosignatures if item.at is not None)
        if self.quorum == NO_QUORUM:
            return timed[-1][0] if timed else None
        signed: set[str] = set()
        for at, witness in timed:
            signed.add(witness)
            if self.meets_quorum(signed):
                return at
        return None


def _time_of(verifier: Verifier, value: bytes) -> datetime | None:
    at = cosigned_at(value)
    # An ML-DSA cosigner writes 0 when it makes no statement of time; in an Ed25519 cosignature 0 is 1970.
    return None if isinstance(verifier, MlDsaVerifier) and at.timestamp() == 0 else at


class _RuleBroken(Exception):
    """A line breaks a rule of the format."""


class _Rules:
    """The rules that lines keep among each other, in the order in which they stand."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self._names: set[str] = set()
        self._members: set[str] = set()
        self._counts = {"log": 0, "witness": 0, "group": 0}

    def log(self, line: LogLine) -> None:
        if not isinstance(line.verifier, NoteVerifier | MlDsaVerifier):
            raise _RuleBroken("a witness's key for a log")
        self._key(line.verifier)
        self._count("log", line.url)

    def witness(self, line: WitnessLine) -> None:
        if not isinstance(line.verifier, CosignatureVerifier | MlDsaVerifier):
            raise _RuleBroken("a log's key for a witness")
        self._key(line.verifier)
        self._define(line.name)
        self._count("witness", line.url)

    def group(self, line: GroupLine) -> None:
        if not 1 <= line.threshold <= len(line.members):
            raise _RuleBroken(f"{line.threshold} of {len(line.members)} members")
        for member in line.members:
            if member not in self._names:
                raise _RuleBroken(f"{member} was not defined before")
            if member in self._members:
                raise _RuleBroken(f"{member} is a member twice")
            self._members.add(member)
        self._define(line.name)
        self._count("group", None)

    def quorum(self, name: str) -> None:
        if name != NO_QUORUM and name not in self._names:
            raise _RuleBroken(f"{name} was not defined before")

    def _key(self, verifier: Verifier) -> None:
        # One holder under two names would count as two witnesses, or witness its own log.
        if verifier.public_key in self._keys:
            raise _RuleBroken(f"the key of {verifier.name} stands under two names")
        self._keys.add(verifier.public_key)

    def _define(self, name: str) -> None:
        if name == NO_QUORUM or name in self._names:
            raise _RuleBroken(f"the name {name} is taken")
        if not _NAME.fullmatch(name) or _CONTROL.search(name):
            raise _RuleBroken("a name is empty, or holds a space")
        self._names.add(name)

    def _count(self, kind: str, url: str | None) -> None:
        if url is not None and (not _NAME.fullmatch(url) or _CONTROL.search(url)):
            raise _RuleBroken("a URL is empty, or holds a space")
        self._counts[kind] += 1
        if self._counts[kind] > MAX_ITEMS:
            raise _RuleBroken(f"more than {MAX_ITEMS} lines of {kind}")


def parse_policy(data: bytes) -> Policy:
    """Read a policy file.

    It is a file that people write: comments, empty lines and spaces are free, so there are many
    spellings of one policy and ``encode_policy`` gives the plainest of them.

    Raises:
        PolicyMalformed: with the line that breaks a rule.
    """
    try:
        if len(data) > MAX_POLICY:
            raise PolicyMalformed(line=0, detail=f"more than {MAX_POLICY} bytes")
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PolicyMalformed(line=0, detail="not UTF-8") from error
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        if _CONTROL.search(line):
            raise PolicyMalformed(line=number, detail="a control character")
        content = line.strip(" \t")
        if not content or content.startswith("#"):
            continue
        try:
            reader.read(_SPACE.split(content))
        except (_RuleBroken, KeyMalformed, KeyUnsupported) as error:
            raise PolicyMalformed(line=number, detail=str(error)) from error
    if reader.quorum is None:
        raise PolicyMalformed(line=0, detail="no quorum line")
    return Policy(tuple(reader.logs), tuple(reader.witnesses), tuple(reader.groups), reader.quorum)


class _Reader:
    """Lines of a policy file, gathered in their order and checked as they come."""

    def __init__(self) -> None:
        self.logs: list[LogLine] = []
        self.witnesses: list[WitnessLine] = []
        self.groups: list[GroupLine] = []
        self.quorum: str | None = None
        self._rules = _Rules()

    def read(self, words: list[str]) -> None:
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                log = LogLine(parse_vkey(vkey), *url)
                self._rules.log(log)
                self.logs.append(log)
            case ["witness", name, vkey, *url] if len(url) <= 1:
                witness = WitnessLine(name, parse_vkey(vkey), *url)
                self._rules.witness(witness)
                self.witnesses.append(witness)
            case ["group", name, threshold, *members]:
                group = GroupLine(name, _threshold(threshold, len(members)), tuple(members))
                self._rules.group(group)
                self.groups.append(group)
            case ["quorum", name] if self.quorum is None:
                self._rules.quorum(name)
                self.quorum = name
            case ["quorum", _]:
                raise _RuleBroken("a second quorum line")
            case _:
                raise _RuleBroken("neither log, witness, group nor quorum as they are written")


def _threshold(word: str, members: int) -> int:
    if word in ("all", "any"):
        return members if word == "all" else 1
    if not _COUNT.fullmatch(word):
        raise _RuleBroken("a threshold is a number, all or any")
    return int(word)


def encode_policy(policy: Policy) -> bytes:
    """The policy as a file; ``parse_policy`` gives an equal policy back."""
    lines = [_join("log", log.verifier.vkey, log.url) for log in policy.logs]
    lines += [_join("witness", line.name, line.verifier.vkey, line.url) for line in policy.witnesses]
    lines += [_join("group", line.name, str(line.threshold), *line.members) for line in policy.groups]
    lines.append(_join("quorum", policy.quorum))
    return "".join(f"{line}\n" for line in lines).encode()


def _join(*words: str | None) -> str:
    return " ".join(word for word in words if word is not None)
