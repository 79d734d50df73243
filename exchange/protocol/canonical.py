"""Strict canonical JSON: the only JSON that is signed or hashed here (FORMATS §1).

    {"digest":"sha256:9f86…","name":"正文.pdf","size":102400}

RFC 8785 restricted to strings, integers within ±(2^53-1), booleans, arrays and
objects whose keys match ``[a-z][a-z0-9_]*``: no floats, no null, no duplicate
keys. In that subset sorting keys by code point, as :mod:`json` does, equals
RFC 8785 (tests compare with the ``rfc8785`` package). ``decode`` accepts exactly
the bytes that ``encode`` gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

from exchange.protocol.errors import JsonMalformed

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json]"

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
_MAX_INTEGER = (1 << 53) - 1
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def encode(value: Json) -> bytes:
    """The canonical bytes of a value.

    Raises:
        JsonMalformed: the value holds something outside the subset.
    """
    _check(value, depth=0)
    try:
        return _encoder.encode(value).encode()
    except UnicodeEncodeError:
        raise JsonMalformed(detail="a lone surrogate") from None


def decode(data: bytes, *, max_bytes: int = MAX_BYTES) -> Json:
    """The value of canonical bytes; anything that :func:`encode` would not give back is refused.

    Raises:
        JsonMalformed: too long, not UTF-8, not JSON, or not canonical.
    """
    if len(data) > max_bytes:
        raise JsonMalformed(detail=f"longer than {max_bytes} bytes")
    try:
        value: Json = json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except UnicodeDecodeError:
        raise JsonMalformed(detail="not UTF-8") from None
    except RecursionError:
        raise JsonMalformed(detail="nested too deeply") from None
    except ValueError as error:
        # json's own sentences quote the position, not the content.
        raise JsonMalformed(detail=str(error)[:120]) from None
    if encode(value) != data:
        raise JsonMalformed(detail="not in canonical form")
    return value


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise JsonMalformed(detail="a key stands twice in one object")
    return fields


def _refuse_number(_text: str) -> NoReturn:
    raise JsonMalformed(detail="numbers are integers")


def _check(value: object, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise JsonMalformed(detail="nested too deeply")
    match value:
        case str() | bool():
            return
        case int():
            if abs(value) > _MAX_INTEGER:
                raise JsonMalformed(detail="an integer beyond 2^53-1")
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str) or not _KEY.fullmatch(key):
                    raise JsonMalformed(detail="a key that is not [a-z][a-z0-9_]*")
                _check(item, depth=depth + 1)
        case list() | tuple():
            for item in value:
                _check(item, depth=depth + 1)
        case None:
            raise JsonMalformed(detail="null is not used; leave the key out")
        case _:
            raise JsonMalformed(detail=f"{type(value).__name__} has no place in it")
