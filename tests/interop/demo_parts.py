"""The pieces of a demo folder as files of their own, for programs that know nothing of our containers."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from tests.conftest import Demo


def anchors_file(demo: Demo, folder: Path) -> Path:
    """``anchors.pem`` of FORMATS §1."""
    file = folder / "anchors.pem"
    file.write_bytes(b"".join(one.read_bytes() for one in demo.files("trust/anchors")))
    return file


def signed_parts(container: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Content and detached signature of everything that is signed in a receipt or a package, its receipts too."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [
        ("evidence.json", "META-INF/signature.p7s"),
        ("dispatch.json", "dispatch.p7s"),
        ("META-INF/ASiCManifest001.xml", "META-INF/signature001.p7s"),
    ]
    with zipfile.ZipFile(container) as opened:
        names = set(opened.namelist())
        for content, signature in pairs:
            if content in names:
                yield written(folder, opened, content), written(folder, opened, signature)
        for name in sorted(names):
            if name.endswith(".asics"):
                inner = written(folder, opened, name)
                yield from signed_parts(inner, folder / inner.stem)


def written(folder: Path, opened: zipfile.ZipFile, name: str) -> Path:
    file = folder / name.rpartition("/")[2]
    file.write_bytes(opened.read(name))
    return file


def all_signed_parts(demo: Demo, folder: Path) -> list[tuple[Path, Path]]:
    containers = [*demo.files("receipts"), *demo.files("dispatches")]
    return [pair for one in containers for pair in signed_parts(one, folder / one.name)]


def certificates(demo: Demo, signatures: list[Path]) -> dict[bytes, x509.Certificate]:
    """Every certificate of the demo but the anchor, by its DER: in CMS files, trust folder, units and hub."""
    found = [one for file in signatures for one in load_der_pkcs7_certificates(file.read_bytes())]
    places = [*demo.files("trust/intermediates"), *(demo.folder / "hub").rglob("certificates/*.pem")]
    places += [demo.folder / "hub" / "server.pem", demo.folder / "hub" / "evidence.pem"]
    for file in places:
        found += x509.load_pem_x509_certificates(file.read_bytes())
    return {one.public_bytes(Encoding.DER): one for one in found}
