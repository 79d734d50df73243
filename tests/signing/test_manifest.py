"""The manifest: one spelling, and a parser that fetches and expands nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from signing.errors import ManifestMalformed
from signing.manifest import DataObject, Manifest, decode_manifest, encode_manifest
from tests.signing.files import flips

SIGNATURE = "META-INF/signature001.p7s"
OBJECTS = (
    DataObject("dispatch.json", "application/json", hashlib.sha256(b"a").digest()),
    DataObject("documents/正文 (1)&<'\">.pdf", "application/pdf", hashlib.sha256(b"b").digest()),
    DataObject("evidence/e.receipt.asics", "application/vnd.etsi.asic-s+zip", hashlib.sha256(b"c").digest()),
)
GOOD = encode_manifest(SIGNATURE, OBJECTS)


def test_decoding_gives_the_objects_and_encoding_gives_the_bytes() -> None:
    assert decode_manifest(GOOD) == Manifest(SIGNATURE, OBJECTS)


def test_it_is_spelt_as_the_standard_has_it() -> None:
    assert encode_manifest(
        SIGNATURE, [DataObject("documents/正文.pdf", "application/pdf", hashlib.sha256(b"").digest())]
    ) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" '
        b'xmlns:ds="http://www.w3.org/2000/09/xmldsig#">\n'
        b'<asic:SigReference URI="META-INF/signature001.p7s" MimeType="application/x-pkcs7-signature"/>\n'
        b'<asic:DataObjectReference URI="documents/%E6%AD%A3%E6%96%87.pdf" MimeType="application/pdf">\n'
        b'<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>\n'
        b"<ds:DigestValue>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</ds:DigestValue>\n"
        b"</asic:DataObjectReference>\n"
        b"</asic:ASiCManifest>\n"
    )


def test_no_changed_byte_leaves_the_same_manifest() -> None:
    for position, changed in flips(GOOD, 0x01, 0x20, 0x80):
        try:
            manifest = decode_manifest(changed)
        except ManifestMalformed:
            continue
        assert manifest != Manifest(SIGNATURE, OBJECTS), position
        assert encode_manifest(manifest.signature, manifest.objects) == changed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"?>\n<asic", b'?>\n<!DOCTYPE a [<!ENTITY e "x">]>\n<asic', id="doctype"),
        pytest.param(b"<ds:DigestMethod", b"<!-- a comment --><ds:DigestMethod", id="comment"),
        pytest.param(b"<ds:DigestValue>", b"<ds:DigestValue><![CDATA[", id="cdata"),
        pytest.param(b"<ds:DigestMethod", b"<?pi x?><ds:DigestMethod", id="processing-instruction"),
        pytest.param(b"<ds:DigestMethod", b"&e;<ds:DigestMethod", id="entity"),
        pytest.param(b"dispatch.json", b"dispatch&#46;json", id="character-reference"),
        pytest.param(b"dispatch.json", b"dispatch%2Ejson", id="needless-percent"),
        pytest.param(b"%E6%AD%A3", b"%e6%ad%a3", id="percent-in-small-letters"),
        pytest.param(b"%E6%AD%A3", b"%E6%AD", id="percent-without-utf-8"),
        pytest.param(b"dispatch.json", b"../dispatch.json", id="leads-elsewhere"),
        pytest.param(b"dispatch.json", b"/dispatch.json", id="absolute"),
        pytest.param(b"dispatch.json", b"evidence/e.receipt.asics", id="twice"),
        pytest.param(b"dispatch.json", SIGNATURE.encode(), id="names-the-signature"),
        pytest.param(b'MimeType="application/json"', b"", id="without-media-type"),
        pytest.param(b"application/json", b"json", id="no-media-type"),
        pytest.param(b"xmlenc#sha256", b"xmldsig#sha1", id="sha-1"),
        pytest.param(b"=</ds", b"</ds", id="base64-without-padding"),
        pytest.param(b"=</ds", b" =</ds", id="base64-with-space"),
        pytest.param(b"encoding=\"UTF-8\"", b"encoding='UTF-8'", id="other-quotes"),
        pytest.param(b"UTF-8", b"UTF-7", id="other-encoding"),
        pytest.param(b"xmlns:asic=", b"xmlns:asid=", id="prefix-not-bound"),
        pytest.param(b"v1.2.1#", b"v1.3.1#", id="other-namespace"),
        pytest.param(b"</asic:ASiCManifest>\n", b"</asic:ASiCManifest>", id="without-last-newline"),
        pytest.param(b"</asic:ASiCManifest>\n", b"</asic:ASiCManifest>\n<a/>", id="two-roots"),
        pytest.param(b"<asic:SigReference", b"<asic:SigReference Rootfile='true'", id="further-attribute"),
        pytest.param(b"\n", b"\r\n", id="carriage-returns"),
    ],
)  # fmt: skip
def test_another_spelling_is_refused(old: bytes, new: bytes) -> None:
    assert old in GOOD
    with pytest.raises(ManifestMalformed):
        decode_manifest(GOOD.replace(old, new))


@pytest.mark.parametrize("data", [b"", b"<", b"\xff\xfe<\x00a\x00", b"<a/>", b"\x00" * 10, b"<a>" * 5000])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestMalformed):
        decode_manifest(data)


def test_caps_hold() -> None:
    assert decode_manifest(GOOD, max_size=len(GOOD)).objects == OBJECTS
    with pytest.raises(ManifestMalformed):
        decode_manifest(GOOD, max_size=len(GOOD) - 1)
    with pytest.raises(ManifestMalformed):
        encode_manifest(SIGNATURE, [DataObject(f"d/{i}", "text/plain", bytes(32)) for i in range(1001)])


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([], id="none"),
        pytest.param([DataObject("a", "text/plain", bytes(31))], id="short-digest"),
        pytest.param([DataObject("a", 'text/plain" x="', bytes(32))], id="media-type-with-quote"),
        pytest.param([DataObject("../a", "text/plain", bytes(32))], id="name-that-leads-elsewhere"),
    ],
)
def test_objects_that_no_manifest_names_are_refused_on_writing(objects: list[DataObject]) -> None:
    with pytest.raises(ManifestMalformed):
        encode_manifest(SIGNATURE, objects)


def test_the_page_shows_a_manifest_that_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats" / "asic.md").read_text(encoding="utf-8")
    shown = page.split("```xml\n")[1].split("```")[0].encode()
    (one,) = decode_manifest(shown).objects
    assert (one.name, one.sha256) == ("documents/正文.pdf", hashlib.sha256(b"").digest())
