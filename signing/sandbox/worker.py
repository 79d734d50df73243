"""The process in which documents are judged: ``python -m signing.sandbox.worker``.

Reads frames from standard input, answers on standard output, one after the other,
until the input ends. It bounds itself before the first document: address space,
processor time per document, no files written, no core dumps (they would hold
documents). It opens no connection and no file but the document it is told to.

    {"op": "trust", "digest": ..., "lengths": ...}  + DER values       {"ok": true}
    {"op": "judge", "trust": digest, "purpose": ..., ...}  + document  {"report": ..., "mark": ...}

The first thing it says is ``{"ready": true}``, when everything is loaded.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

from pki.path import TrustStore
from signing.errors import DocumentMalformed
from signing.pdf_check import judge_pdf
from signing.report import JsonObject
from signing.sandbox.first_page import first_page_lines
from signing.sandbox.wire import (
    PREFIX,
    WireMalformed,
    decode_head,
    decode_prefix,
    decode_purpose,
    decode_time,
    decode_trust,
    encode_frame,
    encode_report,
)
from signing.secrecy import find_mark

MAX_STORES = 4
"""Trust stores kept; the one used longest ago goes first."""


def main() -> int:
    """Serve until the input ends."""
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    # Nothing that a library prints may get between the frames.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    _bound(memory)
    stores: OrderedDict[str, TrustStore] = OrderedDict()
    _say(answers, {"ready": True})
    while (frame := _read(sys.stdin.buffer)) is not None:
        head, payload = frame
        if head.get("op") == "trust":
            stores[str(head["digest"])] = decode_trust(head, payload)
            while len(stores) > MAX_STORES:
                stores.popitem(last=False)
            _say(answers, {"ok": True})
        else:
            _bound_time(seconds)
            digest = str(head["trust"])
            stores.move_to_end(digest)
            _say(answers, _judge(head, payload, stores[digest]))
    return 0


def _judge(head: JsonObject, payload: bytes, trust: TrustStore) -> JsonObject:
    limit = head["limit"]
    assert isinstance(limit, int)
    path = head["path"]
    document = _open(Path(str(path)), limit) if path is not None else payload
    report = judge_pdf(
        document,
        trust=trust,
        purpose=decode_purpose(head["purpose"]),
        now=decode_time(head["now"]),
        at=None if head["at"] is None else decode_time(head["at"]),
        file=str(head["file"]),
        max_size=limit,
    )
    answer: JsonObject = {"report": encode_report(report), "mark": None, "page_read": False}
    if len(document) <= limit:
        try:
            answer["mark"] = find_mark(first_page_lines(document))
            answer["page_read"] = True
        except DocumentMalformed:
            pass
    return answer


def _open(path: Path, limit: int) -> bytes:
    """The document, or one byte more than is judged."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def _bound(memory: int) -> None:
    """Limits that hold for the process's life; where the system has none (Windows), only the pool's remain."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    # A limit below what is in use already is accepted in silence. Without room for any document it
    # is better not to become ready than to fail at each.
    bytearray(32 * 1024 * 1024)


def _bound_time(seconds: int) -> None:
    """So much processor time from now on; at its end the system kills the process."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _read(stream: BinaryIO) -> tuple[JsonObject, bytes] | None:
    prefix = stream.read(PREFIX)
    if not prefix:
        return None
    head, payload = decode_prefix(prefix)
    encoded, body = stream.read(head), stream.read(payload)
    if len(encoded) != head or len(body) != payload:
        raise WireMalformed("a frame that ends too early")
    return decode_head(encoded), body


def _say(answers: BinaryIO, head: JsonObject) -> None:
    answers.write(encode_frame(head))
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
