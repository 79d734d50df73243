"""Extract, update and compile the message catalogues (gettext) with Babel.

    python tools/catalogue.py update     after sentences changed: merges new ones into every .po
    python tools/catalogue.py compile    after translating: writes the .mo files that are installed
    python tools/catalogue.py check      lists what is missing, obsolete, unsound or not compiled; exit 1 if anything

Marked are ``N_("…")`` (translated where it is shown) and ``_("…")`` (translated at
once). A translation must use exactly the values in braces that its sentence has. The
.po files are for people; that .mo belongs to them, byte for byte, is tested.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from string import Formatter

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pki", "signing", "exchange", "clients")
LOCALES = ROOT / "exchange" / "protocol" / "locale"
DOMAIN = "gongwen"
MARKS = ("N_", "_")
HEADER = "# Translations of gongwen's sentences. Made with tools/catalogue.py."


def extracted() -> Catalog:
    """Every marked sentence of the packages, with the files it stands in.

    Found in the syntax tree and not with Babel's tokenizer, which does not look into f-strings.
    """
    catalog = Catalog(project="gongwen", charset="utf-8", fuzzy=False, header_comment=HEADER)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for line, sentence in marked(path.read_text("utf-8")):
                catalog.add(sentence, locations=[(path.relative_to(ROOT).as_posix(), line)])
    return catalog


def marked(source: str) -> Iterator[tuple[int, str]]:
    """The marked sentences of a module with their lines; a mark on anything but a plain string is refused."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
            match node.args:
                case [ast.Constant(value=str(sentence))]:
                    yield node.lineno, sentence
                case [ast.Name() | ast.Attribute() | ast.Subscript() | ast.Call()] if node.func.id == "_":
                    pass  # a sentence that was marked where it was written
                case _:
                    raise SystemExit(f"line {node.lineno}: {node.func.id} marks one plain string")


def catalogues() -> Iterator[tuple[str, Path]]:
    """Every language with its .po file."""
    for path in sorted(LOCALES.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
        yield path.parent.parent.name, path


def read(path: Path, language: str) -> Catalog:
    """A .po file."""
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=DOMAIN)


def compiled(path: Path, language: str) -> bytes:
    """The .mo file that belongs to a .po file; the same input gives the same bytes."""
    buffer = BytesIO()
    write_mo(buffer, read(path, language))
    return buffer.getvalue()


def translations(path: Path, language: str) -> dict[str, str]:
    """What a .po file translates."""
    return {str(one.id): str(one.string) for one in read(path, language) if one.id and one.string}


def fields(sentence: str) -> set[str]:
    """The values in braces of a sentence."""
    return {name for _text, name, _format, _conversion in Formatter().parse(sentence) if name is not None}


def complaints() -> Iterator[str]:
    """What is wrong with the catalogues, a line each."""
    wanted = {str(one.id) for one in extracted() if one.id}
    for language, path in catalogues():
        known = translations(path, language)
        for sentence in sorted(wanted - set(known)):
            yield f"{language}: not translated: {sentence}"
        for sentence in sorted(set(known) - wanted):
            yield f"{language}: no longer said: {sentence}"
        for sentence, translated in known.items():
            if fields(sentence) != fields(translated):
                yield f"{language}: other values in braces: {sentence}"
        target = path.with_suffix(".mo")
        if not target.exists() or target.read_bytes() != compiled(path, language):
            yield f"{language}: {target.name} is not compiled from {path.name}"


def update() -> None:
    """Merge what the packages say now into every .po file; nothing is guessed from similar sentences."""
    template = extracted()
    for language, path in catalogues():
        catalog = read(path, language)
        catalog.update(template, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        # No date of creation: it would change with every run.
        catalog.creation_date = catalog.revision_date
        for message in catalog:
            # Lines move with every change; the file is enough to find a sentence, and keeps diffs small.
            message.locations = [(file, None) for file in sorted({file for file, _line in message.locations})]  # type: ignore[misc]
        with path.open("wb") as file:
            write_po(file, catalog, width=110, sort_output=True, omit_header=False)


def compile_all() -> None:
    """Write every .mo file."""
    for language, path in catalogues():
        path.with_suffix(".mo").write_bytes(compiled(path, language))


def main(arguments: list[str]) -> int:
    """Do what is asked; the exit code."""
    if arguments == ["update"]:
        update()
    elif arguments == ["compile"]:
        compile_all()
    elif arguments == ["check"]:
        found = list(complaints())
        print("\n".join(found) or "complete")
        return 1 if found else 0
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
