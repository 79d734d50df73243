"""ASiCManifest: the list that the signature of a dispatch package stands over.

    <?xml version="1.0" encoding="UTF-8"?>
    <asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
    <asic:SigReference URI="META-INF/signature001.p7s" MimeType="application/x-pkcs7-signature"/>
    <asic:DataObjectReference URI="documents/%E6%AD%A3%E6%96%87.pdf" MimeType="application/pdf">
    <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>
    <ds:DigestValue>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</ds:DigestValue>
    </asic:DataObjectReference>
    </asic:ASiCManifest>

Holds the encoder and decoder of that one form. It does not compare digests with
contents or names with entries (``exchange/protocol`` does), and reads no other
writer's manifest: what the encoder would spell differently is refused. The
bytes are signed as they stand, so nothing is canonicalised.

The parser is expat without anything that could fetch or expand: a document type
declaration, and with it every entity, is refused before parsing and again in it.

ETSI EN 319 162-1 clause A.4; URIs are RFC 3986, percent-encoded UTF-8.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from signing.container import check_entry_name
from signing.errors import ContainerMalformed, ManifestMalformed

MAX_SIZE: Final = 1024 * 1024
MAX_ENTRIES: Final = 1000
SIGNATURE_MEDIA_TYPE: Final = "application/x-pkcs7-signature"

_ASIC = "http://uri.etsi.org/02918/v1.2.1#"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
# RFC 6838 §4.2; no parameters, so no quoting either.
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")


@dataclass(frozen=True, slots=True)
class DataObject:
    """One signed entry of the container: its name, media type and SHA-256."""

    name: str
    media_type: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the manifest says: the signature's entry, and the entries it stands for, in order."""

    signature: str
    objects: tuple[DataObject, ...]


def encode_manifest(signature: str, objects: Sequence[DataObject]) -> bytes:
    """The manifest's bytes; the same objects in the same order give the same bytes.

    Raises:
        ManifestMalformed: no object or more than 1000, a name that comes twice or
            may not stand in a container, a media type that is none, a digest
            that is not 32 bytes.
    """
    _check(signature, objects)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<asic:ASiCManifest xmlns:asic="{_ASIC}" xmlns:ds="{_DS}">',
        f'<asic:SigReference URI="{_uri(signature)}" MimeType="{SIGNATURE_MEDIA_TYPE}"/>',
    ]
    for one in objects:
        lines += [
            f'<asic:DataObjectReference URI="{_uri(one.name)}" MimeType={quoteattr(one.media_type)}>',
            f'<ds:DigestMethod Algorithm="{_SHA256}"/>',
            f"<ds:DigestValue>{base64.b64encode(one.sha256).decode()}</ds:DigestValue>",
            "</asic:DataObjectReference>",
        ]
    return "\n".join([*lines, "</asic:ASiCManifest>", ""]).encode()


def decode_manifest(data: bytes, *, max_size: int = MAX_SIZE) -> Manifest:
    """Read a manifest; ``encode_manifest`` gives back the same bytes.

    Raises:
        ManifestMalformed: anything else, or larger than ``max_size``.
    """
    if len(data) > max_size:
        raise ManifestMalformed(f"it has {len(data)} bytes and {max_size} are allowed")
    if b"<!" in data:
        raise ManifestMalformed("it declares a document type, or holds a comment")
    found = _Collector()
    try:
        _parser(found).Parse(data, True)
    except expat.ExpatError as error:
        raise ManifestMalformed(f"it is not XML: {error}") from None
    try:
        objects = tuple(
            DataObject(unquote(uri, errors="strict"), media_type, base64.b64decode(digest, validate=True))
            for (uri, media_type), digest in zip(found.objects, found.digests, strict=True)
        )
        signature = unquote(found.signature, errors="strict")
    except (UnicodeDecodeError, binascii.Error, ValueError):
        raise ManifestMalformed("a URI or a digest in it cannot be read") from None
    if encode_manifest(signature, objects) != data:
        raise ManifestMalformed("it is not spelt as we spell it")
    return Manifest(signature, objects)


def _uri(name: str) -> str:
    # All but unreserved characters and the slash is percent-encoded, so nothing is left for XML to escape.
    return quote(name, safe="/")


def _check(signature: str, objects: Sequence[DataObject]) -> None:
    if not 1 <= len(objects) <= MAX_ENTRIES:
        raise ManifestMalformed(f"it names {len(objects)} objects; 1 to {MAX_ENTRIES} are allowed")
    names = [signature, *(one.name for one in objects)]
    if len(set(names)) != len(names):
        raise ManifestMalformed("it names an entry twice")
    for name in names:
        try:
            check_entry_name(name)
        except ContainerMalformed as error:
            raise ManifestMalformed(error.detail) from None
    for one in objects:
        if not _MEDIA_TYPE.fullmatch(one.media_type) or len(one.sha256) != 32:
            raise ManifestMalformed(f"media type or digest of {one.name!r}")


class _Collector:
    """Takes what might be values while expat walks.

    Whether they stood in the right place, encoding them again tells.
    """

    def __init__(self) -> None:
        self.signature = ""
        self.objects: list[tuple[str, str]] = []
        self.digests: list[str] = []
        self._text: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "asic:SigReference":
            self.signature = attributes.get("URI", "")
        elif name == "asic:DataObjectReference":
            self.objects.append((attributes.get("URI", ""), attributes.get("MimeType", "")))
        elif name == "ds:DigestValue":
            self._text = []

    def characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, name: str) -> None:
        if name == "ds:DigestValue" and self._text is not None:
            self.digests.append("".join(self._text))
            self._text = None


def _parser(found: _Collector) -> expat.XMLParserType:
    # Names are taken with their prefixes, not resolved: only our own prefixes encode to the same bytes.
    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler = found.start
    parser.EndElementHandler = found.end
    parser.CharacterDataHandler = found.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    return parser


def _refuse_doctype(name: str, system: str | None, public: str | None, internal: bool) -> None:
    raise ManifestMalformed("it declares a document type")
