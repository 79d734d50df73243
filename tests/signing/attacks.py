"""Broken and hostile PDFs, each named by its defect. Generators only: what they come to is in the tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO

from pyhanko.pdf_utils import generic, writer
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader

Attack = Callable[[bytes], bytes]

_RANGE = re.compile(rb"/ByteRange \[0 (\d+) (\d+) (\d+)\]")


def byte_range(sealed: bytes) -> tuple[int, int, int]:
    """End of the first part, start and length of the second, of the last seal."""
    a, b, c = (int(group) for group in list(_RANGE.finditer(sealed))[-1].groups())
    return a, b, c


def _updated(sealed: bytes, change: Callable[[IncrementalPdfFileWriter], None]) -> bytes:
    """The file with an incremental update, made as any editor would."""
    out = IncrementalPdfFileWriter(BytesIO(sealed), strict=True)
    change(out)
    result = BytesIO()
    out.write(result)
    return result.getvalue()


def _stream(data: bytes, **entries: generic.PdfObject) -> generic.StreamObject:
    return generic.StreamObject(
        {pdf_name("/" + name): value for name, value in entries.items()}, stream_data=data
    )


# --- changed after sealing, by an incremental update


def page_content_replaced_later(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        page_ref = out.find_page_for_modification(0)[0]
        page_ref.get_object()["/Contents"] = out.add_object(_stream(b"BT ET"))
        out.mark_update(page_ref)

    return _updated(sealed, change)


def content_stream_overwritten_later(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        page = out.find_page_for_modification(0)[0].get_object()
        stream = page["/Contents"]
        stream._data = b"0 0 100 100 re f"
        stream._encoded_data = None
        out.update_container(stream)

    return _updated(sealed, change)


def annotation_added_later(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        box = generic.ArrayObject(map(generic.NumberObject, (100, 100, 300, 200)))
        note = generic.DictionaryObject(
            {
                pdf_name("/Type"): pdf_name("/Annot"),
                pdf_name("/Subtype"): pdf_name("/FreeText"),
                pdf_name("/Rect"): box,
                pdf_name("/Contents"): generic.TextStringObject("作废"),
                pdf_name("/DA"): generic.TextStringObject("/Helv 12 Tf"),
            }
        )
        out.register_annotation(out.find_page_for_modification(0)[0], out.add_object(note))

    return _updated(sealed, change)


def page_added_later(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        out.insert_page(
            writer.PageObject(
                contents=out.add_object(_stream(b"")),
                media_box=generic.ArrayObject(map(generic.NumberObject, (0, 0, 595, 842))),
            )
        )

    return _updated(sealed, change)


def form_removed_later(sealed: bytes) -> bytes:
    """Trap T14: readers then list no signature at all."""

    def change(out: IncrementalPdfFileWriter) -> None:
        del out.root["/AcroForm"]
        out.update_root()

    return _updated(sealed, change)


def form_and_permissions_removed_later(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        del out.root["/AcroForm"]
        del out.root["/Perms"]
        out.update_root()

    return _updated(sealed, change)


def field_value_removed_later(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        field = out.root["/AcroForm"]["/Fields"][0]
        del field["/V"]
        out.update_container(field)

    return _updated(sealed, change)


def stamp_picture_replaced_later(sealed: bytes) -> bytes:
    """Trap T15: the looks of a field swapped, its value left (shadow replace)."""

    def change(out: IncrementalPdfFileWriter) -> None:
        field = out.root["/AcroForm"]["/Fields"][0]
        box = generic.ArrayObject(map(generic.NumberObject, (0, 0, 119, 119)))
        look = _stream(b"0 0 119 119 re f", Type=pdf_name("/XObject"), Subtype=pdf_name("/Form"), BBox=box)
        field["/AP"] = generic.DictionaryObject({pdf_name("/N"): out.add_object(look)})
        out.update_container(field)

    return _updated(sealed, change)


def stamp_moved_later(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        field = out.root["/AcroForm"]["/Fields"][0]
        field["/Rect"] = generic.ArrayObject(map(generic.NumberObject, (10, 10, 129, 129)))
        out.update_container(field)

    return _updated(sealed, change)


def info_changed_later(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        info = out.trailer["/Info"]
        info["/Title"] = generic.TextStringObject("另一个标题")
        out.update_container(info)

    return _updated(sealed, change)


def revocation_data_added_later(sealed: bytes) -> bytes:
    """A DSS dictionary without a time stamp over it: allowed by PAdES, protected by nothing."""

    def change(out: IncrementalPdfFileWriter) -> None:
        crl = out.add_object(_stream(b"0\x00"))
        out.root["/DSS"] = out.add_object(
            generic.DictionaryObject({pdf_name("/CRLs"): generic.ArrayObject([crl])})
        )
        out.update_root()

    return _updated(sealed, change)


# --- bytes at the end


def garbage_appended(sealed: bytes) -> bytes:
    return sealed + b"garbage"


def newline_appended(sealed: bytes) -> bytes:
    return sealed + b"\n"


def end_repeated(sealed: bytes) -> bytes:
    start = sealed.rindex(b"startxref")
    return sealed + sealed[start:]


def last_byte_missing(sealed: bytes) -> bytes:
    return sealed[:-1]


def cut_in_half(sealed: bytes) -> bytes:
    return sealed[: len(sealed) // 2]


def header_pushed_down(sealed: bytes) -> bytes:
    return b"\n" + sealed


# --- the gap and the byte range


def _gap_edited(sealed: bytes, edit: Callable[[bytearray], None]) -> bytes:
    a, b, _ = byte_range(sealed)
    gap = bytearray(sealed[a:b])
    edit(gap)
    assert len(gap) == b - a
    return sealed[:a] + bytes(gap) + sealed[b:]


def padding_not_zero(sealed: bytes) -> bytes:
    def edit(gap: bytearray) -> None:
        gap[-5:-1] = b"BEEF"

    return _gap_edited(sealed, edit)


def hexadecimal_of_two_cases(sealed: bytes) -> bytes:
    def edit(gap: bytearray) -> None:
        at = next(i for i, octet in enumerate(gap) if octet in b"ABCDEF")
        gap[at] += 32

    return _gap_edited(sealed, edit)


def space_in_the_hexadecimal(sealed: bytes) -> bytes:
    def edit(gap: bytearray) -> None:
        gap[-2] = 0x20

    return _gap_edited(sealed, edit)


def object_hidden_in_the_gap(sealed: bytes) -> bytes:
    def edit(gap: bytearray) -> None:
        hidden = b"> /Hidden (bytes that no digest covers) /X <00"
        gap[-len(hidden) - 1 : -1] = hidden

    return _gap_edited(sealed, edit)


def signature_empty(sealed: bytes) -> bytes:
    """Universal signature forgery: nothing in Contents."""

    def edit(gap: bytearray) -> None:
        gap[:] = b"<" + b"0" * (len(gap) - 2) + b">"

    return _gap_edited(sealed, edit)


def signature_null(sealed: bytes) -> bytes:
    def edit(gap: bytearray) -> None:
        gap[:] = b"null".ljust(len(gap))

    return _gap_edited(sealed, edit)


def _range_written(sealed: bytes, words: bytes) -> bytes:
    match = list(_RANGE.finditer(sealed))[-1]
    start, end = match.span()
    room = len(sealed[start:]) - len(sealed[start:].lstrip()) + (end - start)
    while sealed[end : end + 1] == b" ":
        end += 1
        room += 1
    assert len(words) <= room
    return sealed[:start] + words.ljust(end - start) + sealed[end:]


def byte_range_missing(sealed: bytes) -> bytes:
    return _range_written(sealed, b"")


def byte_range_negative(sealed: bytes) -> bytes:
    a, b, c = byte_range(sealed)
    return _range_written(sealed, b"/ByteRange [0 %d %d -%d]" % (a, b, c))


def byte_range_beyond_the_end(sealed: bytes) -> bytes:
    a, b, c = byte_range(sealed)
    return _range_written(sealed, b"/ByteRange [0 %d %d %d]" % (a, b, c + 1))


def byte_range_with_a_wider_gap(sealed: bytes) -> bytes:
    a, b, c = byte_range(sealed)
    return _range_written(sealed, b"/ByteRange [0 %d %d %d]" % (a - 8, b + 8, c - 8))


def byte_range_of_two_numbers(sealed: bytes) -> bytes:
    return _range_written(sealed, b"/ByteRange [0 %d]" % len(sealed))


def byte_range_not_from_the_start(sealed: bytes) -> bytes:
    a, b, c = byte_range(sealed)
    return _range_written(sealed, b"/ByteRange [1 %d %d %d]" % (a - 1, b, c))


def wrapped(sealed: bytes) -> bytes:
    """Signature wrapping: what was sealed is moved back, and other things stand in between."""
    a, b, c = byte_range(sealed)
    extra = b"\n1 0 obj\n<< /Type /Catalog >>\nendobj\n" * 4
    new_b = b + len(extra) + 60
    head = b"/ByteRange [0 %d %d %d]\n" % (a, new_b, c)
    filler = (head + extra).ljust(new_b - b)
    return sealed[:b] + filler + sealed[b:]


# --- the seal's dictionary


def subfilter_of_a_maker_unknown(sealed: bytes) -> bytes:
    return sealed.replace(b"/SubFilter /ETSI.CAdES.detached", b"/SubFilter /GM.sm2seal         ")


def second_field_with_the_same_signature(sealed: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        fields = out.root["/AcroForm"]["/Fields"]
        copy = generic.DictionaryObject(dict(fields[0]))
        copy[pdf_name("/V")] = fields[0].raw_get("/V")
        copy[pdf_name("/T")] = generic.TextStringObject("Seal2")
        fields.append(out.add_object(copy))
        out.update_container(fields)

    return _updated(sealed, change)


CHANGED: tuple[Attack, ...] = (
    page_content_replaced_later,
    content_stream_overwritten_later,
    annotation_added_later,
    page_added_later,
    form_removed_later,
    form_and_permissions_removed_later,
    field_value_removed_later,
    stamp_picture_replaced_later,
    stamp_moved_later,
    garbage_appended,
    newline_appended,
    end_repeated,
    last_byte_missing,
    cut_in_half,
    header_pushed_down,
    padding_not_zero,
    hexadecimal_of_two_cases,
    space_in_the_hexadecimal,
    object_hidden_in_the_gap,
    signature_empty,
    signature_null,
    byte_range_missing,
    byte_range_negative,
    byte_range_beyond_the_end,
    byte_range_with_a_wider_gap,
    byte_range_of_two_numbers,
    byte_range_not_from_the_start,
    wrapped,
    second_field_with_the_same_signature,
)
"""Done to a sealed file; every one is *not valid*."""


# --- documents that could do more than show pages; made before sealing


def _with_catalogue(
    pdf: bytes, edit: Callable[[generic.DictionaryObject, IncrementalPdfFileWriter], None]
) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        edit(out.root, out)
        out.update_root()

    return _updated(pdf, change)


def _action(kind: str, **entries: generic.PdfObject) -> generic.DictionaryObject:
    return generic.DictionaryObject(
        {pdf_name("/S"): pdf_name("/" + kind)} | {pdf_name("/" + k): v for k, v in entries.items()}
    )


def with_program(pdf: bytes) -> bytes:
    action = _action("JavaScript", JS=generic.TextStringObject("app.alert(1)"))
    return _with_catalogue(pdf, lambda root, _: root.update({pdf_name("/OpenAction"): action}))


def with_program_in_an_object_stream(pdf: bytes) -> bytes:
    reader = PdfFileReader(BytesIO(with_program(pdf)))
    out = writer.copy_into_new_writer(reader, writer_kwargs={"stream_xrefs": True})
    result = BytesIO()
    out.write(result)
    return result.getvalue()


def with_launch(pdf: bytes) -> bytes:
    action = _action("Launch", F=generic.TextStringObject("calc.exe"))
    return _with_catalogue(pdf, lambda root, _: root.update({pdf_name("/OpenAction"): action}))


def with_submit_form(pdf: bytes) -> bytes:
    action = _action("SubmitForm", F=generic.TextStringObject("http://example.com/"))
    return _with_catalogue(pdf, lambda root, _: root.update({pdf_name("/OpenAction"): action}))


def with_embedded_file(pdf: bytes) -> bytes:
    def edit(root: generic.DictionaryObject, out: IncrementalPdfFileWriter) -> None:
        stream = out.add_object(_stream(b"MZ", Type=pdf_name("/EmbeddedFile")))
        spec = generic.DictionaryObject(
            {
                pdf_name("/Type"): pdf_name("/Filespec"),
                pdf_name("/F"): generic.TextStringObject("a.exe"),
                pdf_name("/EF"): generic.DictionaryObject({pdf_name("/F"): stream}),
            }
        )
        names = generic.ArrayObject([generic.TextStringObject("a"), out.add_object(spec)])
        tree = generic.DictionaryObject({pdf_name("/Names"): names})
        root["/Names"] = generic.DictionaryObject({pdf_name("/EmbeddedFiles"): tree})

    return _with_catalogue(pdf, edit)


def with_hidden_layer(pdf: bytes) -> bytes:
    def edit(root: generic.DictionaryObject, out: IncrementalPdfFileWriter) -> None:
        layer = out.add_object(
            generic.DictionaryObject(
                {pdf_name("/Type"): pdf_name("/OCG"), pdf_name("/Name"): generic.TextStringObject("x")}
            )
        )
        setting = generic.DictionaryObject({pdf_name("/OFF"): generic.ArrayObject([layer])})
        root["/OCProperties"] = generic.DictionaryObject(
            {pdf_name("/OCGs"): generic.ArrayObject([layer]), pdf_name("/D"): setting}
        )

    return _with_catalogue(pdf, edit)


def with_xfa_form(pdf: bytes) -> bytes:
    def edit(root: generic.DictionaryObject, out: IncrementalPdfFileWriter) -> None:
        root["/AcroForm"] = generic.DictionaryObject(
            {pdf_name("/Fields"): generic.ArrayObject(), pdf_name("/XFA"): out.add_object(_stream(b"<xdp/>"))}
        )

    return _with_catalogue(pdf, edit)


def with_external_stream(pdf: bytes) -> bytes:
    def change(out: IncrementalPdfFileWriter) -> None:
        page_ref = out.find_page_for_modification(0)[0]
        stream = _stream(b"", F=generic.TextStringObject("/etc/passwd"))
        page_ref.get_object()["/Contents"] = out.add_object(stream)
        out.mark_update(page_ref)

    return _updated(pdf, change)


def encrypted(pdf: bytes) -> bytes:
    out = writer.copy_into_new_writer(PdfFileReader(BytesIO(pdf)))
    out.encrypt(owner_pass="secret", user_pass="secret")
    result = BytesIO()
    out.write(result)
    return result.getvalue()
