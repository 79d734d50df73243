"""TLS as the unit speaks it: the hub's anchors and no others, TLS 1.3, the unit's own certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.errors import AuthenticationError, HubUntrusted, TransportError
from clients.transport import Driver, tls_context
from clients.wire import Request, Response, exchange
from tests.worlds.pki import Member, PkiWorld

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


@pytest.fixture(scope="module")
def pki() -> PkiWorld:
    return PkiWorld(now=datetime.now(UTC))


@contextmanager
def listening(
    pki: PkiWorld, hub: Member, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[int]:
    """A server that demands a client certificate of the world's root; it answers one connection after the other."""
    from clients.transport import _load_key

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    from cryptography.hazmat.primitives.serialization import Encoding

    context.load_verify_locations(cadata=pki.root.certificate.public_bytes(Encoding.PEM).decode())
    _load_key(context, hub.tls.signer, hub.tls.chain)
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(5)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                plain, _address = server.accept()
                plain.settimeout(5)
                with context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(65536)
                    connection.sendall(ANSWER)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        ended.set()
        server.close()
        thread.join(6)


def ask(port: int, context: ssl.SSLContext) -> Response:
    driver = Driver(f"https://localhost:{port}", tls=context, sleep=lambda seconds: None)
    try:
        return driver.run(exchange(Request("GET", "/")))
    finally:
        driver.close()


def test_both_sides_know_each_other(pki: PkiWorld) -> None:
    unit = pki.unit()
    context = tls_context([pki.root.certificate], signer=unit.tls.signer, certificates=unit.tls.chain)
    with listening(pki, pki.hub()) as port:
        assert ask(port, context).body == b"hi"


def test_a_hub_of_another_root_is_not_talked_to(pki: PkiWorld) -> None:
    other = PkiWorld(now=pki.now)
    with listening(pki, other.hub()) as port, pytest.raises(HubUntrusted):
        ask(port, tls_context([pki.root.certificate]))


def test_a_hub_under_another_name_is_not_talked_to(pki: PkiWorld) -> None:
    elsewhere = pki.hub(server_names=("elsewhere.test",))
    with listening(pki, elsewhere) as port, pytest.raises(HubUntrusted):
        ask(port, tls_context([pki.root.certificate]))


def test_a_refused_certificate_is_no_network_failure(pki: PkiWorld) -> None:
    with listening(pki, pki.hub()) as port, pytest.raises(AuthenticationError):
        ask(port, tls_context([pki.root.certificate]))


def test_older_tls_is_not_spoken(pki: PkiWorld) -> None:
    with listening(pki, pki.hub(), version=ssl.TLSVersion.TLSv1_2) as port, pytest.raises(TransportError):
        ask(port, tls_context([pki.root.certificate]))


def test_nobody_listens(pki: PkiWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(TransportError):
        ask(port, tls_context([pki.root.certificate]))


def test_without_memory_files_the_key_touches_the_disk_encrypted_and_briefly(
    pki: PkiWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import os
    import tempfile

    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    unit = pki.unit()
    tls_context([pki.root.certificate], signer=unit.tls.signer, certificates=unit.tls.chain)
    assert list(tmp_path.iterdir()) == []
