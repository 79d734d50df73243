"""The demo's documents and containers before other people's programs: poppler, qpdf, Info-ZIP, Python's zip."""

from __future__ import annotations

import re
import subprocess
import zipfile

from tests.conftest import Demo
from tests.tools import need


def test_poppler_finds_every_seal_valid_and_whole(demo: Demo) -> None:
    pdfsig = need("pdfsig")
    for file in demo.files("documents"):
        done = subprocess.run([pdfsig, "-nocert", file], capture_output=True, text=True, check=False)
        assert "Signature Validation: Signature is Valid." in done.stdout, done.stdout + done.stderr
        assert "Total document signed" in done.stdout
        assert "ETSI.CAdES.detached" in done.stdout


def test_qpdf_finds_nothing_wrong(demo: Demo) -> None:
    qpdf = need("qpdf")
    for file in demo.files("documents"):
        done = subprocess.run([qpdf, "--check", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "No syntax or stream encoding errors found" in done.stdout


def test_unzip_finds_every_container_whole(demo: Demo) -> None:
    unzip = need("unzip")
    for file in [*demo.files("receipts"), *demo.files("dispatches")]:
        done = subprocess.run([unzip, "-t", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_containers_are_written_as_formats_say(demo: Demo) -> None:
    """FORMATS §5 and §6: stored, fixed times, no extra fields, in their order."""
    for file in demo.files("receipts"):
        names = entries(file, "application/vnd.etsi.asic-s+zip")
        assert names[:4] == [
            "mimetype",
            "evidence.json",
            "META-INF/signature.p7s",
            "META-INF/ledger.tlog-proof",
        ]
        for name in names[4:]:
            assert re.fullmatch(r"META-INF/revocation/[0-9A-Fa-f]{64}\.(crl|ocsp)", name), name
    for file in demo.files("dispatches"):
        names = entries(file, "application/vnd.etsi.asic-e+zip")
        assert names[:3] == ["mimetype", "dispatch.json", "dispatch.p7s"]
        assert names[-2:] == ["META-INF/ASiCManifest001.xml", "META-INF/signature001.p7s"]
        for name in names[3:-2]:
            assert name.startswith(("documents/", "evidence/")), name


def entries(file: object, media_type: str) -> list[str]:
    with zipfile.ZipFile(str(file)) as opened:
        for one in opened.infolist():
            assert one.compress_type == zipfile.ZIP_STORED
            assert one.date_time == (1980, 1, 1, 0, 0, 0)
            assert not one.extra
        assert opened.read("mimetype").decode() == media_type
        return opened.namelist()


def test_packages_hold_the_documents_as_they_were_sealed(demo: Demo) -> None:
    sealed = {file.name: file.read_bytes() for file in demo.files("documents")}
    for file in demo.files("dispatches"):
        with zipfile.ZipFile(file) as opened:
            for name in opened.namelist():
                if name.startswith("documents/"):
                    assert opened.read(name) == sealed[name.removeprefix("documents/")]


def test_packages_hold_the_receipts_that_stand_beside_them(demo: Demo) -> None:
    beside = {file.name: file.read_bytes() for file in demo.files("receipts")}
    for file in demo.files("dispatches"):
        with zipfile.ZipFile(file) as opened:
            for name in opened.namelist():
                if name.startswith("evidence/"):
                    assert opened.read(name) == beside[name.rpartition("/")[2]]
