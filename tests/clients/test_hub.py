"""The unit's client against a hub in memory: what it believes, what it repeats, what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from clients import errors
from clients.hub import Hub
from exchange.protocol.events import Event
from tests.clients.fake_hub import (
    ClientWorld,
    Fault,
    answer,
    drop_answer,
    problem,
    read_multipart,
    refuse_connection,
)


def posts(world: ClientWorld, path: str) -> list[bytes]:
    return [one.content for one in world.hub.requests if one.method == "POST" and one.url.path.endswith(path)]


def a_sent(world: ClientWorld, hub: Hub | None = None, **more: object) -> str:
    sent = (hub or world.client()).send([world.document()], to=[world.recipient.unit], title="通知", **more)  # type: ignore[arg-type]
    return sent.answer.consignments[0].consignment_id


def test_sending_returns_with_a_verified_receipt_that_is_kept(world: ClientWorld) -> None:
    with world.client() as hub:
        sent = hub.send([world.document()], to=[world.recipient.unit], title="通知", urgency="特急")
    assert sent.receipt.evidence.event is Event.SUBMISSION_ACCEPTANCE
    assert sent.receipt.path is not None
    assert sent.receipt.path.read_bytes() == sent.receipt.raw
    assert not list(hub.home.pending_dispatches())
    assert (hub.home.path / "sent" / sent.dispatch_id / "dispatch.json").exists()


def test_the_whole_exchange_leaves_a_receipt_for_every_act(world: ClientWorld) -> None:
    consignment = a_sent(world, issued_number="府办发〔2026〕12号")
    with world.client(world.recipient) as hub:
        fetched = hub.fetch(consignment, world.path / "in")
        assert fetched.handed_over is not None
        assert fetched.handed_over.receipt.evidence.event is Event.CONTENT_HANDOVER
        assert (world.path / "in/documents/通知.txt").read_bytes() == b"a document"
        done = hub.sign_for(consignment)
    assert done.answer.state == "SIGNED_FOR"
    assert done.receipt.evidence.issued_number == "府办发〔2026〕12号"
    assert len(list((hub.home.path / "receipts").iterdir())) == 2
    assert not list((hub.home.path / "outgoing" / "acts").iterdir())


def test_returning_needs_a_reason_of_the_registry(world: ClientWorld) -> None:
    consignment = a_sent(world)
    with world.client(world.recipient) as hub:
        with pytest.raises(errors.OptionUnfit, match="wrong-recipient"):
            hub.return_(consignment, code="sent-in-error", text="")
        done = hub.return_(consignment, code="wrong-recipient", text="应送丙局")
    assert done.answer.state == "RETURNED"
    assert done.receipt.evidence.reasons[0].text == "应送丙局"


def test_recall_after_signing_for_gives_the_signed_refusal(world: ClientWorld) -> None:
    consignment = a_sent(world)
    with world.client(world.recipient) as hub:
        hub.sign_for(consignment)
    with world.client() as hub:
        (outcome,) = hub.recall(next(iter(world.hub.sent)), code="sent-in-error", text="误发")
    assert outcome.done is None
    assert outcome.refused is not None
    assert outcome.state == "SIGNED_FOR"
    kept = [one.name for one in (hub.home.path / "receipts").iterdir()]
    assert len(kept) == 2, "the receipt of E01 and the signed refusal E14"


def test_recall_before_signing_for(world: ClientWorld) -> None:
    a_sent(world)
    with world.client() as hub:
        (outcome,) = hub.recall(next(iter(world.hub.sent)))
    assert outcome.done is not None
    assert outcome.state == "RECALLED"


@pytest.mark.parametrize(
    "fault",
    [refuse_connection, drop_answer, answer(503), answer(429, Retry_After="7"), answer(408), answer(425)],
    ids=["refused", "answer-lost", "503", "429", "408", "425"],
)
def test_a_submission_is_sent_again_with_the_same_bytes(world: ClientWorld, fault: Fault) -> None:
    world.hub.faults += [fault, fault]
    a_sent(world)
    bodies = posts(world, "/v1/dispatches")
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert len(world.hub.sent) == 1


def test_retry_after_is_honoured_and_jitter_is_bounded(world: ClientWorld) -> None:
    world.hub.faults += [answer(503, Retry_After="7"), answer(503)]
    a_sent(world)
    assert world.pauses == [7.0, 0.5]


def test_three_retries_and_no_more(world: ClientWorld) -> None:
    world.hub.faults += [refuse_connection] * 4
    with pytest.raises(errors.TransportError):
        a_sent(world)
    assert len(world.hub.requests) == 4


def test_a_long_retry_after_is_the_callers_decision(world: ClientWorld) -> None:
    world.hub.faults.append(answer(429, Retry_After="3600"))
    with pytest.raises(errors.RateLimited) as caught:
        world.client().whoami()
    assert caught.value.retry_after == 3600
    assert world.pauses == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_other_refusals_are_not_repeated(world: ClientWorld, status: int) -> None:
    world.hub.faults.append(answer(status))
    with pytest.raises(errors.ApiError):
        world.client().whoami()
    assert len(world.hub.requests) == 1


def test_an_act_is_sent_again_with_the_same_bytes(world: ClientWorld) -> None:
    consignment = a_sent(world)
    with world.client(world.recipient) as hub:
        hub.consignment(consignment)
        world.hub.faults += [lambda request, handle: handle(request), drop_answer]
        hub.sign_for(consignment)
    bodies = posts(world, "/acts")
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]


def test_after_a_crash_the_kept_envelope_is_sent_not_a_second_one(world: ClientWorld) -> None:
    world.hub.faults += [drop_answer] * 4
    with pytest.raises(errors.TransportError):
        a_sent(world)
    world.at += timedelta(minutes=10)
    a_sent(world)
    assert len(world.hub.sent) == 1
    assert len({read_multipart(r)["envelope"][0] for r in world.hub.requests}) == 1


def test_another_dispatch_is_not_taken_for_the_kept_one(world: ClientWorld) -> None:
    world.hub.faults += [refuse_connection] * 4
    with pytest.raises(errors.TransportError):
        a_sent(world)
    world.client().send([world.document()], to=[world.recipient.unit], title="另一件")
    assert len(world.hub.sent) == 1
    assert len(list(world.client().home.pending_dispatches())) == 1


def test_after_a_crash_the_kept_statement_is_sent_not_a_second_one(world: ClientWorld) -> None:
    consignment = a_sent(world)
    hub = world.client(world.recipient)
    view = hub.consignment(consignment)
    world.hub.faults += [lambda request, handle: handle(request)] + [drop_answer] * 4
    with pytest.raises(errors.TransportError):
        hub.sign_for(consignment)
    world.at += timedelta(minutes=30)
    done = world.client(world.recipient).sign_for(consignment)
    assert done.answer.state == "SIGNED_FOR"
    assert len(set(posts(world, "/acts"))) == 1
    assert view.state == "CONSIGNED"


def test_a_kept_statement_that_never_arrived_and_grew_old_is_made_anew(world: ClientWorld) -> None:
    consignment = a_sent(world)
    hub = world.client(world.recipient)
    world.hub.faults += [lambda request, handle: handle(request)] + [refuse_connection] * 4
    with pytest.raises(errors.TransportError):
        hub.sign_for(consignment)
    world.at += timedelta(minutes=30)
    assert world.client(world.recipient).sign_for(consignment).answer.state == "SIGNED_FOR"
    assert len(set(posts(world, "/acts"))) == 2


# --- receipts that must not be believed


def flip(place: int) -> Callable[[bytes], bytes]:
    return lambda receipt: receipt[:place] + bytes([receipt[place] ^ 1]) + receipt[place + 1 :]


@pytest.mark.parametrize(
    "place", [60, 400, 2000, -40], ids=["mimetype", "evidence", "signature", "directory"]
)
def test_a_changed_receipt_is_never_a_success(world: ClientWorld, place: int) -> None:
    world.hub.tamper = lambda receipt: flip(place % len(receipt))(receipt)
    hub = world.client()
    with pytest.raises(errors.ReceiptUntrusted) as caught:
        a_sent(world, hub)
    assert caught.value.receipt
    assert not (hub.home.path / "receipts").exists()
    assert len(list(hub.home.pending_dispatches())) == 1, "it can be submitted again"


def test_a_good_receipt_of_another_dispatch_is_not_believed(world: ClientWorld) -> None:
    a_sent(world)
    other = world.hub.receipts[next(iter(world.hub.receipts))]
    world.hub.tamper = lambda receipt: other
    with pytest.raises(errors.ReceiptUntrusted, match="another envelope"):
        world.client().send([world.document("b.txt", b"another")], to=[world.recipient.unit], title="乙")


def test_a_good_receipt_of_another_act_is_not_believed(world: ClientWorld) -> None:
    consignment = a_sent(world)
    hub = world.client(world.recipient)
    hub.fetch(consignment, world.path / "in")
    handed_over = list(world.hub.receipts.values())[-1]
    world.hub.tamper = lambda receipt: handed_over
    with pytest.raises(errors.ReceiptUntrusted, match="another statement"):
        hub.sign_for(consignment)


def test_a_receipt_is_undecided_without_the_ledgers_policy(world: ClientWorld) -> None:
    hub = world.client()
    (hub.home.path / "trust" / "ledger.policy").unlink()
    with pytest.raises(errors.ReceiptUntrusted) as caught:
        a_sent(world, hub)
    assert not caught.value.proven_wrong


def test_a_refusal_is_believed_only_with_its_receipt(world: ClientWorld) -> None:
    world.hub.refuse = ("classified", "a secrecy mark")
    hub = world.client()
    with pytest.raises(errors.SubmissionRejected) as caught:
        a_sent(world, hub)
    assert caught.value.code == "classified"
    assert caught.value.request_id == "req-1"
    assert not list(hub.home.pending_dispatches())
    assert len(list((hub.home.path / "refused").iterdir())) == 1
    assert len(list((hub.home.path / "receipts").iterdir())) == 1

    world.hub.tamper = flip(400)
    with pytest.raises(errors.ReceiptUntrusted):
        a_sent(world, hub)
    assert len(list(hub.home.pending_dispatches())) == 1


def test_the_loser_of_a_race_gets_the_winners_receipt(world: ClientWorld) -> None:
    consignment = a_sent(world)
    with world.client() as hub:
        hub.recall(next(iter(world.hub.sent)))
    with world.client(world.recipient) as hub, pytest.raises(errors.WrongState) as caught:
        hub.sign_for(consignment)
    assert caught.value.current == "RECALLED"
    assert caught.value.allowed == ()
    (kept,) = (hub.home.path / "receipts").iterdir()
    assert kept.read_bytes() == caught.value.receipt


# --- contents


def test_a_large_dispatch_uploads_first_and_submits_without_contents(world: ClientWorld) -> None:
    big = world.document("大.bin", bytes(1 << 20) + b"x")
    world.client().send([big], to=[world.recipient.unit], title="大")
    (submission,) = [one for one in world.hub.requests if one.url.path == "/v1/dispatches"]
    assert set(read_multipart(submission)) == {"envelope", "signature"}
    assert [one.method for one in world.hub.requests] == ["PUT", "POST"]


def test_contents_that_the_hub_forgot_are_brought_again(world: ClientWorld) -> None:
    world.hub.faults.append(
        lambda request, handle: (
            (handle(request), world.hub.contents.clear(), world.hub.sent.clear())[0]
            and problem(409, "content-missing", digests=list(missing))
        )
    )
    document = world.document()
    from clients.files import digest_file

    missing = [digest_file(document)]
    world.client().send([document], to=[world.recipient.unit], title="通知")
    assert [one.method for one in world.hub.requests] == ["POST", "PUT", "POST"]


def test_an_interrupted_upload_goes_on_where_it_broke_off(world: ClientWorld) -> None:
    content = bytes(range(256)) * 8192
    path = world.document("大.bin", content)

    def cut(request, handle):  # type: ignore[no-untyped-def]
        world.hub.partial[request.url.path.rsplit("/", 1)[1]] = request.content[:1_000_000]
        return refuse_connection(request, handle)

    world.hub.faults.append(cut)
    digest = world.client().upload(path)
    assert world.hub.contents[digest] == content
    assert [one.method for one in world.hub.requests] == ["PUT", "HEAD", "PATCH"]
    patch = world.hub.requests[-1]
    assert patch.headers["Upload-Offset"] == "1000000"
    assert patch.headers["Content-Type"] == "application/partial-upload"
    assert patch.content == content[1_000_000:]


def test_an_upload_whose_answer_was_lost_is_not_sent_twice(world: ClientWorld) -> None:
    world.hub.faults.append(drop_answer)
    world.client().upload(world.document())
    assert [one.method for one in world.hub.requests] == ["PUT", "HEAD"]


def test_an_upload_gets_through_a_line_that_breaks_often(world: ClientWorld) -> None:
    content = bytes(range(256)) * 20_000
    path = world.document("大.bin", content)

    def cut(request, handle):  # type: ignore[no-untyped-def]
        digest = request.url.path.rsplit("/", 1)[1]
        have = world.hub.partial.get(digest, b"")
        if request.method == "HEAD":
            return handle(request)
        world.hub.partial[digest] = have + request.content[:500_000]
        return refuse_connection(request, handle)

    world.hub.faults += [cut] * 19
    digest = world.client().upload(path)
    assert world.hub.contents[digest] == content


def test_the_hub_says_where_a_moved_upload_goes_on(world: ClientWorld) -> None:
    content = bytes(5 << 20)
    path = world.document("大.bin", content)

    def race(request, handle):  # type: ignore[no-untyped-def]
        # Between our HEAD and our PATCH another upload of the same content went on.
        world.hub.partial[request.url.path.rsplit("/", 1)[1]] = content[: 3 << 20]
        return handle(request)

    from clients.files import digest_file

    world.hub.partial[digest_file(path)] = content[: 1 << 20]
    world.hub.faults += [lambda request, handle: handle(request), race]
    digest = world.client().upload(path)
    assert world.hub.contents[digest] == content
    assert [one.method for one in world.hub.requests] == ["HEAD", "PATCH", "HEAD", "PATCH"]


def test_a_truncated_upload_goes_on(world: ClientWorld) -> None:
    world.hub.faults.append(lambda request, handle: problem(400, "upload-truncated"))
    digest = world.client().upload(world.document())
    assert digest in world.hub.contents


def test_a_wrong_content_is_not_tried_again(world: ClientWorld) -> None:
    world.hub.faults.append(lambda request, handle: problem(422, "content-mismatch"))
    with pytest.raises(errors.ValidationFailed) as caught:
        world.client().upload(world.document())
    assert caught.value.code == "content-mismatch"


def test_an_interrupted_download_goes_on_where_it_broke_off(world: ClientWorld) -> None:
    consignment = a_sent(world)
    hub = world.client(world.recipient)
    folder = world.path / "in"
    digest = world.hub.sent[next(iter(world.hub.sent))].dispatch.contents.digest
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / f".{digest[7:39]}.part").write_bytes(b"a doc")
    hub.fetch(consignment, folder)
    ranges = [one.headers["Range"] for one in world.hub.requests if "Range" in one.headers]
    assert ranges == ["bytes=5-"]
    assert [one.name for one in (folder / "documents").iterdir()] == ["通知.txt"]


def test_fetched_bytes_that_differ_are_thrown_away_and_nothing_is_stated(world: ClientWorld) -> None:
    consignment = a_sent(world)
    for digest in world.hub.contents:
        world.hub.contents[digest] = b"A document"
    hub = world.client(world.recipient)
    with pytest.raises(errors.ContentDiffers):
        hub.fetch(consignment, world.path / "in")
    assert list((world.path / "in/documents").iterdir()) == []
    assert posts(world, "/acts") == []


def test_a_file_that_stands_there_is_not_overwritten(world: ClientWorld) -> None:
    consignment = a_sent(world)
    (world.path / "in/documents").mkdir(parents=True)
    (world.path / "in/documents/通知.txt").write_bytes(b"mine")
    with pytest.raises(errors.ContentDiffers):
        world.client(world.recipient).fetch(consignment, world.path / "in")
    assert (world.path / "in/documents/通知.txt").read_bytes() == b"mine"


def test_an_envelope_of_another_sender_is_refused(world: ClientWorld) -> None:
    consignment = a_sent(world)
    (sent,) = world.hub.sent.values()
    sent.signature = world.home(world.recipient).seal.sign(sent.envelope, at=world.at)
    with pytest.raises(errors.EnvelopeUntrusted):
        world.client(world.recipient).fetch(consignment, world.path / "in")
    assert posts(world, "/acts") == []


def test_an_envelope_that_is_not_the_consignments_is_refused(world: ClientWorld) -> None:
    first = a_sent(world)
    world.client().send([world.document("b.txt", b"b")], to=[world.recipient.unit], title="乙")
    one, other = world.hub.sent.values()
    one.envelope, one.signature = other.envelope, other.signature
    digest = world.client(world.recipient).consignment(first).dispatch
    hub = world.client(world.recipient)
    view = hub.consignment(first).model_copy(update={"dispatch": digest[:-1] + "0"})
    from clients.fetch import check_envelope

    with pytest.raises(errors.EnvelopeUntrusted, match="not the one"):
        check_envelope(hub.session, view, envelope=one.envelope, signature=one.signature)


def test_fetching_twice_states_the_hand_over_once(world: ClientWorld) -> None:
    consignment = a_sent(world)
    hub = world.client(world.recipient)
    hub.fetch(consignment, world.path / "in")
    again = hub.fetch(consignment, world.path / "in")
    assert again.handed_over is None
    assert len(posts(world, "/acts")) == 1


# --- answers


def test_unknown_fields_are_kept_and_unknown_states_are_open(world: ClientWorld) -> None:
    consignment = a_sent(world)
    assert world.client().whoami().model_extra == {"mood": "new"}
    _sent, box = world.hub.find(consignment)
    view = world.client().consignment(consignment)
    assert view.model_extra == {"colour_of_the_folder": "red"}
    assert box.state == view.state


def test_an_answer_that_is_none_is_an_error_of_its_own(world: ClientWorld) -> None:
    world.hub.faults.append(answer(200))
    with pytest.raises(errors.AnswerMalformed):
        world.client().whoami()


def test_a_proxys_page_becomes_a_problem_of_ours(world: ClientWorld) -> None:
    world.hub.faults.append(answer(403))
    with pytest.raises(errors.PermissionDenied) as caught:
        world.client().whoami()
    assert caught.value.code == "not-allowed"
    assert "not-allowed" in caught.value.diagnostics()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthenticated", errors.AuthenticationError),
        (403, "not-allowed", errors.PermissionDenied),
        (404, "not-found", errors.NotFound),
        (409, "wrong-state", errors.WrongState),
        (409, "content-missing", errors.ContentMissing),
        (409, "duplicate-id-conflict", errors.Conflict),
        (422, "envelope-malformed", errors.ValidationFailed),
        (413, "content-too-large", errors.ValidationFailed),
        (400, "request-malformed", errors.ValidationFailed),
    ],
)
def test_each_problem_is_an_error_of_its_kind(
    world: ClientWorld, status: int, code: str, kind: type[errors.ApiError]
) -> None:
    world.hub.faults.append(lambda request, handle: problem(status, code))
    with pytest.raises(kind) as caught:
        world.client().whoami()
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.problem.status == status


def test_watching_gives_every_change_once(world: ClientWorld) -> None:
    a_sent(world)
    hub = world.client(world.recipient)
    changes = hub.watch()
    assert next(changes).state == "CONSIGNED"
    world.client(world.recipient).sign_for(a_sent_id(world))
    assert next(changes).state == "SIGNED_FOR"
    (wait,) = {one.url.params.get("wait") for one in world.hub.requests if one.url.path == "/v1/inbox"}
    assert wait == "30"


def a_sent_id(world: ClientWorld) -> str:
    (sent,) = world.hub.sent.values()
    return sent.boxes[0].consignment_id


async def test_the_asyncio_client_does_the_same(world: ClientWorld) -> None:
    async with world.async_client() as hub:
        big = world.document("大.bin", bytes(1 << 20) + b"x")
        sent = await hub.send([big, world.document()], to=[world.recipient.unit], title="大")
    consignment = sent.answer.consignments[0].consignment_id
    async with world.async_client(world.recipient) as hub:
        fetched = await hub.fetch(consignment, world.path / "in")
        assert len(fetched.documents) == 2
        done = await hub.sign_for(consignment)
        assert (await hub.inbox()).items[0].state == "SIGNED_FOR"
    assert done.receipt.evidence.event is Event.CONSIGNMENT_ACCEPTANCE


async def test_the_asyncio_client_refuses_a_changed_receipt(world: ClientWorld) -> None:
    world.hub.tamper = flip(400)
    async with world.async_client() as hub:
        with pytest.raises(errors.ReceiptUntrusted):
            await hub.send([world.document()], to=[world.recipient.unit], title="通知")


def test_fresh_lists_take_the_place_of_old_ones_and_never_the_other_way(world: ClientWorld) -> None:
    hub = world.client()
    old = world.pki.seals.revocation_list(world.at)
    world.at += timedelta(days=1)
    states = {one.name: one.state for one in hub.refresh_trust()}
    assert states == dict.fromkeys(("root", "seals", "evidence", "tls", "time"), "new")
    before = len(list((hub.home.path / "trust/crls").iterdir()))

    world.hub.faults += [lambda request, handle: handle(request), served(old.der)]
    states = {one.name: one.state for one in hub.refresh_trust()}
    assert states["seals"] == "refused"
    assert len(list((hub.home.path / "trust/crls").iterdir())) == before


def test_a_list_of_an_unknown_authority_is_refused(world: ClientWorld) -> None:
    from tests.worlds.pki import PkiWorld

    foreign = PkiWorld().seals.revocation_list(world.at + timedelta(days=2))
    world.hub.faults.append(served(foreign.der))
    assert world.client().refresh_trust()[0].state == "refused"


def served(data: bytes) -> Fault:
    import httpx2

    return lambda request, handle: httpx2.Response(200, content=data)
