"""Make the example files of the format pages anew, and put them into the pages.

    .venv/bin/python docs/formats/examples/make.py

Runs the demo and keeps a trust folder, one dispatch package and one receipt of it. In
the pages the block below ``<!-- example: NAME -->`` is replaced, and the time behind
``--at`` by one at which the examples' revocation lists are current. Needed only when a
format changes; ``tests/test_docs.py`` compares pages and files.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from clients.demo import run
from exchange.protocol.entry import decode_entry
from exchange.protocol.events import Event
from exchange.protocol.evidence import decode_evidence
from exchange.protocol.receipt import SUFFIX, decode_receipt, read_proof
from signing.container import decode_container

HERE = Path(__file__).parent
PACKAGE = HERE / "example.asice"
RECEIPT = HERE / f"example{SUFFIX}"


def main() -> None:
    """Replace files and blocks."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "demo"
        run(folder=folder, keep=True, as_json=False)
        shutil.rmtree(HERE / "trust", ignore_errors=True)
        shutil.copytree(folder / "trust", HERE / "trust")
        accepted = next(
            path
            for path in sorted((folder / "receipts").iterdir())
            if decode_evidence(decode_receipt(path.read_bytes()).evidence).event
            is Event.CONSIGNMENT_ACCEPTANCE
        )
        shutil.copy(accepted, RECEIPT)
        dispatch_id = decode_evidence(decode_receipt(RECEIPT.read_bytes()).evidence).dispatch_id
        shutil.copy(folder / "dispatches" / f"{dispatch_id}.asice", PACKAGE)
    examples, at = texts()
    for page in HERE.parent.glob("*.md"):
        old = page.read_text(encoding="utf-8")
        new = re.sub(r"--at \d\S*Z", f"--at {at}", old)
        for name, text in examples.items():
            pattern = rf"(<!-- example: {re.escape(name)} -->\n```\w+\n).*?(^```$)"
            parts = re.split(pattern, new, flags=re.DOTALL | re.MULTILINE)
            if len(parts) == 4:
                new = f"{parts[0]}{parts[1]}{text}{parts[2]}{parts[3]}"
        page.write_text(new, encoding="utf-8")


def texts() -> tuple[dict[str, str], str]:
    """What stands in the pages, by name, and the time at which the examples are judged there."""
    receipt = decode_receipt(RECEIPT.read_bytes())
    _, extra = read_proof(receipt)
    package = dict(decode_container(PACKAGE.read_bytes(), max_entries=100))
    at = decode_entry(extra.entry).t + timedelta(minutes=1)
    return {
        "dispatch.json": pretty(package["dispatch.json"]),
        "evidence.json": pretty(receipt.evidence),
        "entry": pretty(extra.entry),
        "receipt": listing(RECEIPT.read_bytes()),
        "package": listing(PACKAGE.read_bytes()),
        "proof": (receipt.proof or b"").decode(),
        "ledger.policy": (HERE / "trust" / "ledger.policy").read_text(encoding="utf-8"),
        "trust": "".join(
            f"{path.relative_to(HERE).as_posix()}\n"
            for path in sorted(HERE.glob("trust/**/*"))
            if path.is_file()
        ),
    }, f"{at:%Y-%m-%dT%H:%M:%SZ}"


def pretty(data: bytes) -> str:
    """Canonical JSON with white space for readers."""
    return json.dumps(json.loads(data), ensure_ascii=False, indent=1) + "\n"


def listing(data: bytes) -> str:
    """Size and name of each entry of a container, in its order."""
    return "".join(f"{len(body):>7}  {name}\n" for name, body in decode_container(data, max_entries=100))


if __name__ == "__main__":
    main()
