"""What a PDF could do besides showing pages: programs, other files, hidden layers.

A scan of every object that can be reached from the catalogue, as findings. It
decides nothing about seals and runs nothing; that a page *looks* honest it cannot
tell (no scan finds every file that was prepared before it was sealed).

ISO 32000-2, 12.6.4 (actions), 7.11.4 (embedded files), 8.11 (optional content), 7.3.8 (external streams).
"""

# mypy: allow-untyped-calls
# (pyHanko is typed in part only.)
from __future__ import annotations

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.misc import PdfReadError
from pyhanko.pdf_utils.reader import PdfFileReader

from pki.text import N_, text
from signing.report import Finding, Severity

MAX_OBJECTS = 50_000

_RULES: dict[str, tuple[Severity, str]] = {
    "javascript": (Severity.ERROR, N_("the document contains a program (JavaScript)")),
    "launch-action": (Severity.ERROR, N_("the document would start another program (Launch)")),
    "xfa-form": (Severity.ERROR, N_("the document is an XFA form: a program decides what it shows")),
    "external-content": (
        Severity.ERROR,
        N_("a part of the document lies in another file, which no seal on it covers"),
    ),
    "submit-form": (
        Severity.WARNING,
        N_("the document would send form data to somebody (SubmitForm, ImportData)"),
    ),
    "embedded-file": (Severity.WARNING, N_("the document has other files inside it")),
    "other-document": (Severity.WARNING, N_("the document would open another document (GoToR, GoToE)")),
    "rich-media": (
        Severity.WARNING,
        N_("the document contains moving pictures, sound or three-dimensional content"),
    ),
    "hidden-layers": (
        Severity.WARNING,
        N_("the document has layers that are hidden, or are not shown and printed alike"),
    ),
    "layers": (Severity.INFO, N_("the document has layers (optional content)")),
    "web-link": (Severity.INFO, N_("the document has links to web addresses")),
    "not-scanned": (Severity.WARNING, N_("parts of the document could not be read in the scan for programs")),
}

_ACTIONS = {
    "/JavaScript": "javascript",
    "/Launch": "launch-action",
    "/SubmitForm": "submit-form",
    "/ImportData": "submit-form",
    "/GoToR": "other-document",
    "/GoToE": "other-document",
    "/Rendition": "rich-media",
    "/Movie": "rich-media",
    "/Sound": "rich-media",
    "/RichMediaExecute": "rich-media",
    "/GoTo3DView": "rich-media",
    "/URI": "web-link",
}
_ANNOTATIONS = {
    "/RichMedia": "rich-media",
    "/Movie": "rich-media",
    "/Screen": "rich-media",
    "/Sound": "rich-media",
    "/3D": "rich-media",
    "/FileAttachment": "embedded-file",
}


def scan_content(reader: PdfFileReader) -> tuple[Finding, ...]:
    """What the document as it stands now could do, each kind once, the worst first.

    At most 50,000 objects are looked at; more, or one that cannot be read, is a
    finding of its own. Never raises on a document that could be opened.
    """
    found: set[str] = set()
    seen: set[tuple[int, int]] = set()
    stack: list[object] = [reader.trailer.raw_get("/Root")]
    looked = 0
    while stack:
        value = stack.pop()
        if isinstance(value, generic.IndirectObject):
            key = (value.idnum, value.generation)
            if key in seen:
                continue
            seen.add(key)
            try:
                value = value.get_object()
            except PdfReadError:
                # A reference to nothing stands for null (7.3.10); a broken object is more.
                if reader.xrefs[value.reference] is not None:
                    found.add("not-scanned")
                continue
            except Exception:
                # T12: odd objects raise anything.
                found.add("not-scanned")
                continue
        looked += 1
        if looked > MAX_OBJECTS * 20 or len(seen) > MAX_OBJECTS:
            found.add("not-scanned")
            break
        if isinstance(value, generic.DictionaryObject):
            found |= _look(value)
            stack.extend(value.raw_get(name, decrypt=generic.EncryptedObjAccess.RAW) for name in value)
        elif isinstance(value, generic.ArrayObject):
            stack.extend(value.raw_get(i, decrypt=generic.EncryptedObjAccess.RAW) for i in range(len(value)))
    order = list(_RULES)
    return tuple(
        Finding(code, _RULES[code][0], text(_RULES[code][1])) for code in sorted(found, key=order.index)
    )


def _look(value: generic.DictionaryObject) -> set[str]:
    """What one dictionary, taken by itself, gives away."""
    found = set()
    action = _name(value, "/S")
    if action in _ACTIONS:
        found.add(_ACTIONS[action])
    annotation = _name(value, "/Subtype")
    if annotation in _ANNOTATIONS:
        found.add(_ANNOTATIONS[annotation])
    if "/JS" in value:
        found.add("javascript")
    if "/XFA" in value:
        found.add("xfa-form")
    if "/EF" in value or _name(value, "/Type") == "/EmbeddedFile":
        found.add("embedded-file")
    if isinstance(value, generic.StreamObject) and ("/F" in value or "/FFilter" in value):
        found.add("external-content")
    if annotation == "/Form" and "/Ref" in value:
        found.add("external-content")
    if "/OCProperties" in value:
        found.add(_layers(value))
    return found


def _layers(catalogue: generic.DictionaryObject) -> str:
    """Are all layers shown, on the screen as on paper?"""
    try:
        properties = catalogue["/OCProperties"]
        setting = properties["/D"]
        hidden = (
            len(setting.get("/OFF", ()))
            or setting.get("/BaseState", "/ON") != "/ON"
            or len(setting.get("/AS", ()))
            or len(properties.get("/Configs", ()))
        )
    except Exception:
        # T12. Layers of which nothing can be told are hidden ones.
        return "hidden-layers"
    return "hidden-layers" if hidden else "layers"


def _name(value: generic.DictionaryObject, key: str) -> str:
    if key not in value:
        return ""
    try:
        found = value[key]
    except Exception:
        # T12; a name that cannot be read names nothing we know.
        return ""
    return str(found) if isinstance(found, generic.NameObject) else ""
