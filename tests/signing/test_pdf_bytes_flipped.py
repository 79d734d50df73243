"""No changed byte leaves a sealed PDF valid: sampled over the whole file, dense where no digest covers it."""

from __future__ import annotations

import random
import re

import pytest

from pki.keys import Algorithm
from signing.pdf_bytes import byte_range_marks, read_byte_range, read_gap
from signing.report import Verdict
from tests.signing.attacks import byte_range
from tests.signing.pdfs import judged, seal, sealed_pdf, unit

GOOD = (Verdict.VALID, Verdict.VALID_WITH_REMARKS)


def check_never_good(sealed: bytes, changes: list[tuple[int, int]]) -> None:
    """Judge each change by itself, with a time given, which is the more lenient way."""
    for at, octet in changes:
        if sealed[at] == octet:
            continue
        changed = sealed[:at] + bytes([octet]) + sealed[at + 1 :]
        verdict = judged(changed).verdict
        assert verdict not in GOOD, f"byte {at}: {sealed[at]:#04x} to {octet:#04x} is {verdict}"


def flips(positions: list[int], sealed: bytes, rnd: random.Random) -> list[tuple[int, int]]:
    return [(at, sealed[at] ^ (1 << rnd.randrange(8))) for at in positions]


def test_no_flipped_bit_anywhere_in_the_file_leaves_it_valid() -> None:
    sealed, rnd = sealed_pdf(), random.Random(20261121)
    check_never_good(sealed, flips(rnd.sample(range(len(sealed)), 450), sealed, rnd))


def test_no_flipped_bit_in_what_was_appended_leaves_it_valid() -> None:
    """Field, appearance, signature dictionary, cross-reference table and trailer."""
    sealed, rnd = sealed_pdf(), random.Random(1)
    a, b, _ = byte_range(sealed)
    positions = [*range(sealed.rindex(b"\nxref"), len(sealed)), *range(b, b + 300), *range(a - 60, a)]
    check_never_good(sealed, flips(rnd.sample(positions, 250), sealed, rnd))


def test_no_changed_digit_of_the_byte_range_leaves_it_valid() -> None:
    sealed = sealed_pdf()
    (start,) = byte_range_marks(sealed)
    match = re.compile(rb"/ByteRange \[[0-9 ]+\] *").match(sealed, start)
    assert match is not None
    check_never_good(sealed, [(at, octet) for at in range(*match.span()) for octet in b"0]"])


@pytest.mark.parametrize(
    ("algorithm", "digits"), [(Algorithm.ECDSA_P256_SHA256, 250), (Algorithm.RSA_SHA256, 100)]
)
def test_no_changed_digit_of_the_signature_leaves_it_valid(algorithm: Algorithm, digits: int) -> None:
    """The gap, which no digest covers: other digits, the other case, the padding and its edges."""
    sealed, rnd = seal(credential=unit(algorithm).seal), random.Random(2)
    a, b, c = byte_range(sealed)
    der_end = a + 1 + 2 * len(read_gap(sealed, read_byte_range(sealed, (0, a, b, c)), _octets(sealed)))
    letters = [at for at in range(a, b) if sealed[at : at + 1].isalpha()]
    changes = [(at, rnd.choice(b"0123456789ABCDEF")) for at in rnd.sample(range(a + 1, der_end), digits)]
    changes += [(at, sealed[at] ^ 0x20) for at in rnd.sample(letters, 60)]
    changes += [(at, octet) for at in rnd.sample(range(der_end, b - 1), 60) for octet in (0x20, ord("1"))]
    changes += [(at, octet) for at in (a, a + 1, der_end - 1, der_end, b - 2, b - 1) for octet in b"<>0F "]
    check_never_good(sealed, changes)


def test_the_two_spellings_of_rsa_are_told_apart_in_our_seals() -> None:
    """rsaEncryption and sha256WithRSAEncryption mean the same; RFC 6211 says which one was signed."""
    sealed = seal(credential=unit(Algorithm.RSA_SHA256).seal)
    a, b, _ = byte_range(sealed)
    with_hash, without = b"2A864886F70D01010B", b"2A864886F70D010101"
    places = [at for at in range(a, b) if sealed.startswith(with_hash, at)]
    assert places
    for at in places:
        changed = sealed[:at] + without + sealed[at + len(without) :]
        assert judged(changed).verdict not in GOOD


def test_a_lower_case_signature_is_as_good() -> None:
    """One case, whichever: what counts is that no letter can be changed by itself."""
    sealed = sealed_pdf()
    a, b, _ = byte_range(sealed)
    assert judged(sealed[:a] + sealed[a:b].lower() + sealed[b:]).verdict is Verdict.VALID


def _octets(sealed: bytes) -> bytes:
    a, b, _ = byte_range(sealed)
    return bytes.fromhex(sealed[a + 1 : b - 1].decode("ascii"))
