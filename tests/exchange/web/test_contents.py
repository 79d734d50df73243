"""Contents: uploads that break and go on, uploads that lie, and downloads by range."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest

from exchange.protocol.identifiers import digest_of
from tests.end_to_end.hubs import TestHub, TestUnit
from tests.exchange.web.conftest import MAX_CONTENT
from tests.exchange.web.looking import check_problem

PARTIAL = "application/partial-upload"


def a_content(size: int = 300_000) -> tuple[str, bytes]:
    data = secrets.token_bytes(size)
    return f"/v1/contents/{digest_of(data)}", data


def patch(client: httpx2.Client, url: str, data: bytes, *, offset: object, total: object) -> httpx2.Response:
    return client.patch(
        url,
        content=data,
        headers={"Content-Type": PARTIAL, "Upload-Offset": str(offset), "Upload-Length": str(total)},
    )


def break_off(unit: TestUnit, head: str, body: bytes) -> None:
    """Send a request's head and some of its body, then close the connection."""
    host, port = unit.hub.settings.units_listen.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as raw,
        unit.context().wrap_socket(raw, server_hostname=host) as tls,
    ):
        tls.sendall(head.replace("\n", "\r\n").encode() + body)
        # What lies unread in the hub's buffers when the line breaks is lost; give it time to read.
        time.sleep(0.3)


def settled_offset(client: httpx2.Client, url: str, at_least: int) -> int:
    """The offset once the hub has noticed that the line broke."""
    until = time.monotonic() + 5
    offset = -1
    while time.monotonic() < until:
        answer = client.head(url)
        if answer.status_code == 204:
            assert answer.headers["Upload-Complete"] == "?0"
            offset = int(answer.headers["Upload-Offset"])
            if offset >= at_least:
                return offset
        time.sleep(0.02)
    return offset


def test_upload_then_head_then_repeat(http: httpx2.Client) -> None:
    url, data = a_content()
    check_head_404(http, url)
    answer = http.put(url, content=data)
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert answer.headers["Location"] == url
    head = http.head(url)
    assert head.status_code == 200
    assert head.headers["Content-Length"] == str(len(data))
    assert head.headers["Upload-Complete"] == "?1"
    assert http.put(url, content=data).status_code == 200


def check_head_404(client: httpx2.Client, url: str) -> None:
    head = client.head(url)
    assert head.status_code == 404
    assert not head.content


def test_broken_upload_goes_on_where_it_broke(
    hub: TestHub, office: TestUnit, finance: TestUnit, http: httpx2.Client
) -> None:
    url, data = a_content()
    sent = 120_000
    head = f"PUT {url} HTTP/1.1\nHost: hub\nContent-Length: {len(data)}\n\n"
    break_off(office, head, data[:sent])
    offset = settled_offset(http, url, 1)
    assert 0 < offset <= sent
    # To everybody else it does not exist.
    check_head_404(finance.door, url)
    # A part of the rest, then all of it.
    answer = patch(http, url, data[offset : offset + 1000], offset=offset, total=len(data))
    assert answer.status_code == 204, answer.text
    assert answer.headers["Upload-Offset"] == str(offset + 1000)
    assert answer.headers["Upload-Complete"] == "?0"
    problem = patch(http, url, data[offset:], offset=offset, total=len(data))
    check_problem(problem, 409, "upload-offset-mismatch")
    assert problem.headers["Upload-Offset"] == str(offset + 1000)
    assert settled_offset(http, url, 0) == offset + 1000
    answer = patch(http, url, data[offset + 1000 :], offset=offset + 1000, total=len(data))
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert http.get(url).content == data
    assert not [name for name in hub.contents() if digest_of(data)[7:] in name and "partial" in name]


def test_broken_patch_goes_on_too(office: TestUnit, http: httpx2.Client) -> None:
    url, data = a_content()
    assert patch(http, url, data[:50_000], offset=0, total=len(data)).status_code == 204
    head = (
        f"PATCH {url} HTTP/1.1\nHost: hub\nContent-Type: {PARTIAL}\nUpload-Offset: 50000\n"
        f"Upload-Length: {len(data)}\nContent-Length: {len(data) - 50_000}\n\n"
    )
    break_off(office, head, data[50_000:90_000])
    offset = settled_offset(http, url, 50_001)
    assert 50_000 < offset <= 90_000
    assert patch(http, url, data[offset:], offset=offset, total=len(data)).status_code == 201
    assert http.get(url).content == data


def test_upload_may_begin_anew(office: TestUnit, http: httpx2.Client) -> None:
    url, data = a_content()
    assert patch(http, url, data[:50_000], offset=0, total=len(data)).status_code == 204
    assert http.put(url, content=data).status_code == 201
    assert http.get(url).content == data


def test_wrong_digest_keeps_nothing(hub: TestHub, http: httpx2.Client) -> None:
    url, data = a_content()
    before = hub.contents()
    check_problem(http.put(url, content=data[:-1] + bytes([data[-1] ^ 1])), 422, "content-mismatch")
    check_head_404(http, url)
    assert hub.contents() == before


def test_wrong_digest_after_resuming_keeps_nothing(hub: TestHub, http: httpx2.Client) -> None:
    url, data = a_content()
    before = hub.contents()
    assert patch(http, url, data[:100], offset=0, total=len(data)).status_code == 204
    wrong = bytes(len(data) - 100)
    check_problem(patch(http, url, wrong, offset=100, total=len(data)), 422, "content-mismatch")
    check_head_404(http, url)
    assert hub.contents() == before


def test_more_bytes_than_announced_keep_nothing(hub: TestHub, http: httpx2.Client) -> None:
    url, data = a_content()
    before = hub.contents()
    check_problem(patch(http, url, data, offset=0, total=len(data) - 1), 422, "content-mismatch")
    check_head_404(http, url)
    assert hub.contents() == before


def test_offset_without_an_upload_is_refused(hub: TestHub, http: httpx2.Client) -> None:
    url, data = a_content()
    before = hub.contents()
    answer = patch(http, url, data[10:], offset=10, total=len(data))
    check_problem(answer, 409, "upload-offset-mismatch")
    assert answer.headers["Upload-Offset"] == "0"
    check_head_404(http, url)
    assert hub.contents() == before


@pytest.mark.parametrize("extra", [1, 10_000_000])
def test_too_large_is_refused_before_a_byte_is_taken(
    hub: TestHub, office: TestUnit, http: httpx2.Client, extra: int
) -> None:
    url, data = a_content(1000)
    before = hub.contents()
    answer = patch(http, url, data, offset=0, total=MAX_CONTENT + extra)
    check_problem(answer, 413, "content-too-large")
    assert hub.contents() == before
    # A PUT that announces too much is answered without its body.
    head = f"PUT {url} HTTP/1.1\nHost: hub\nContent-Length: {MAX_CONTENT + extra}\nConnection: close\n\n"
    assert raw_answer(office, head).startswith(b"HTTP/1.1 413 ")
    assert hub.contents() == before


def raw_answer(unit: TestUnit, head: str, body: bytes = b"") -> bytes:
    """What comes back for exactly these bytes."""
    host, port = unit.hub.settings.units_listen.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as raw,
        unit.context().wrap_socket(raw, server_hostname=host) as tls,
    ):
        tls.sendall(head.replace("\n", "\r\n").encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer and (chunk := tls.recv(65536)):
            answer += chunk
        return answer


def test_largest_content_is_taken(http: httpx2.Client) -> None:
    url, data = a_content(MAX_CONTENT)
    assert http.put(url, content=data).status_code == 201


def test_put_without_length_is_refused(hub: TestHub, http: httpx2.Client) -> None:
    url, data = a_content()
    before = hub.contents()

    def chunked() -> Iterator[bytes]:
        yield data

    check_problem(http.put(url, content=chunked()), 411, "length-needed")
    assert hub.contents() == before


def test_empty_content_is_refused(http: httpx2.Client) -> None:
    url = f"/v1/contents/{digest_of(b'')}"
    check_problem(http.put(url, content=b""), 400, "request-malformed")


HEADERS = {
    "no-offset": {"Upload-Length": "10"},
    "no-length": {"Upload-Offset": "0"},
    "negative": {"Upload-Offset": "-1", "Upload-Length": "10"},
    "offset-beyond-length": {"Upload-Offset": "11", "Upload-Length": "10"},
    "not-a-number": {"Upload-Offset": "0x0", "Upload-Length": "10"},
    "huge": {"Upload-Offset": "0", "Upload-Length": "9" * 40},
    "unicode-digits": {"Upload-Offset": "0", "Upload-Length": "\u0661\u0660"},
}


@pytest.mark.parametrize("defect", HEADERS)
def test_malformed_offsets_are_refused(hub: TestHub, http: httpx2.Client, defect: str) -> None:
    url, data = a_content(10)
    before = hub.contents()
    headers = {name: value.encode() for name, value in HEADERS[defect].items()}
    answer = http.patch(url, content=data, headers={"Content-Type": PARTIAL.encode(), **headers})
    check_problem(answer, 400, "request-malformed")
    assert hub.contents() == before


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/json", ""])
def test_patch_of_another_media_type_is_refused(http: httpx2.Client, kind: str) -> None:
    url, data = a_content(10)
    headers = {"Content-Type": kind, "Upload-Offset": "0", "Upload-Length": "10"}
    check_problem(http.patch(url, content=data, headers=headers), 415, "media-type-unsupported")


SPELLINGS = ["sha256:abc", "sha256:" + "A" * 64, "sha512:" + "a" * 64, "a" * 64, "sha256:" + "a" * 65]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "HEAD"])
def test_other_spellings_of_a_digest_name_nothing(http: httpx2.Client, method: str, spelling: str) -> None:
    headers = {"Content-Type": PARTIAL, "Upload-Offset": "0", "Upload-Length": "1"}
    body = b"x" if method in ("PUT", "PATCH") else None
    answer = http.request(method, f"/v1/contents/{spelling}", content=body, headers=headers)
    assert answer.status_code == 404
    if method != "HEAD":
        check_problem(answer, 404, "not-found")


@pytest.mark.parametrize("path", ["/v1/contents/..%2f..%2fhub.toml", "/v1/contents/%00"])
def test_no_way_out_of_the_store(http: httpx2.Client, path: str) -> None:
    check_problem(http.get(path), 404, "not-found")


# --- downloads


@dataclass(frozen=True)
class Kept:
    url: str
    data: bytes


@pytest.fixture(scope="module")
def content(http: httpx2.Client) -> Kept:
    url, data = a_content(10_000)
    assert http.put(url, content=data).status_code == 201
    return Kept(url, data)


def test_whole_download(http: httpx2.Client, content: Kept) -> None:
    answer = http.get(content.url)
    assert answer.status_code == 200
    assert answer.content == content.data
    assert answer.headers["ETag"] == f'"{digest_of(content.data)}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "X-Request-Id" in answer.headers


RANGES = {
    "bytes=0-0": (0, 1),
    "bytes=0-99": (0, 100),
    "bytes=100-": (100, 10_000),
    "bytes=-100": (9_900, 10_000),
    "bytes=9999-9999": (9_999, 10_000),
    "bytes=9000-20000": (9_000, 10_000),
    "bytes=-20000": (0, 10_000),
}


@pytest.mark.parametrize("asked", RANGES)
def test_range(http: httpx2.Client, content: Kept, asked: str) -> None:
    start, end = RANGES[asked]
    answer = http.get(content.url, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == content.data[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(content.data)}"
    assert answer.headers["ETag"] == f'"{digest_of(content.data)}"'


@pytest.mark.parametrize("asked", ["bytes=10000-", "bytes=10000-10001", "bytes=-0"])
def test_range_outside_is_unsatisfiable(http: httpx2.Client, content: Kept, asked: str) -> None:
    """RFC 9110 §15.5.17: 416 says how long the content is."""
    answer = http.get(content.url, headers={"Range": asked})
    check_problem(answer, 416, "range-not-satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(content.data)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=0-0,-1"])
def test_several_ranges_are_answered_with_the_whole_or_refused(
    http: httpx2.Client, content: Kept, asked: str
) -> None:
    """RFC 9110 §14.2 lets a server ignore what it does not want to do; it must not do something else."""
    answer = http.get(content.url, headers={"Range": asked})
    if answer.status_code == 200:
        assert answer.content == content.data
    else:
        check_problem(answer, 416, "range-not-satisfiable")


@pytest.mark.parametrize("asked", ["bytes=b-a", "bytes=5-1", "lines=1-2", "bytes", "bytes=", "bytes=--5"])
def test_malformed_range_is_ignored_or_refused(http: httpx2.Client, content: Kept, asked: str) -> None:
    answer = http.get(content.url, headers={"Range": asked})
    if answer.status_code == 200:
        assert answer.content == content.data
    else:
        check_problem(answer, 416, "range-not-satisfiable")


def test_not_modified(http: httpx2.Client, content: Kept) -> None:
    etag = f'"{digest_of(content.data)}"'
    answer = http.get(content.url, headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert answer.headers["ETag"] == etag
    assert not answer.content
    assert http.get(content.url, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("form", ["W/{}", '"other", {}', "*"])
def test_not_modified_in_every_form_of_the_header(http: httpx2.Client, content: Kept, form: str) -> None:
    """RFC 9110 §13.1.2: a list, weak comparison, or a star."""
    etag = f'"{digest_of(content.data)}"'
    answer = http.get(content.url, headers={"If-None-Match": form.format(etag)})
    assert answer.status_code == 304


def test_range_with_a_stale_if_range_gives_the_whole(http: httpx2.Client, content: Kept) -> None:
    """RFC 9110 §13.1.5: a range of something else must not be mistaken for one of this."""
    answer = http.get(content.url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert answer.status_code == 200
    assert answer.content == content.data
    etag = f'"{digest_of(content.data)}"'
    assert http.get(content.url, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206


def test_content_of_another_unit_does_not_exist(finance: TestUnit, content: Kept) -> None:
    check_problem(finance.door.get(content.url), 404, "not-found")
    check_head_404(finance.door, content.url)


def test_uploading_what_another_unit_has_says_nothing_of_it(finance: TestUnit, http: httpx2.Client) -> None:
    """Whoever has the bytes may upload them; the answer is that of a first upload."""
    url, data = a_content()
    assert http.put(url, content=data).status_code == 201
    assert finance.door.put(url, content=data).status_code == 201
    assert finance.door.get(url).content == data
