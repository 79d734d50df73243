"""Who may lean on whom (DESIGN §3, STYLE "Where things live"), read from the syntax of every module.

Nothing is imported here: an import inside a function, or one for the type checker only, counts like
any other.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pki", "signing", "exchange", "clients")

# The narrowest prefix that fits is a module's layer.
LAYERS: dict[str, frozenset[str]] = {
    "pki": frozenset(),
    "pki.storage": frozenset({"pki"}),
    "signing": frozenset({"pki"}),
    "signing.sandbox": frozenset({"signing", "pki"}),
    "exchange.ledger": frozenset(),
    "exchange.protocol": frozenset({"exchange.ledger", "signing", "pki"}),
    "exchange.journey": frozenset({"exchange.protocol", "exchange.ledger", "signing", "pki"}),
    "exchange.storage": frozenset(
        {"exchange.journey", "exchange.protocol", "exchange.ledger", "signing", "pki"}
    ),
    "exchange.courier": frozenset(
        {"exchange.journey", "exchange.protocol", "exchange.ledger", "signing", "pki"}
    ),
    "exchange.web": frozenset(
        # The handlers read what the storage adapters give, and are put together with them.
        {"exchange.storage", "exchange.journey", "exchange.protocol", "exchange.ledger", "signing", "pki"}
    ),
    # Putting together: app knows everybody; config, keeper, judging and operator are its parts.
    "exchange": frozenset(
        {
            "exchange.web",
            "exchange.courier",
            "exchange.storage",
            "exchange.journey",
            "exchange.protocol",
            "exchange.ledger",
            "signing",
            "signing.sandbox",
            "pki",
            "pki.storage",
        }
    ),
    # A unit has keys, a trust folder, and documents to judge: the folders of pki and the sandbox serve it too.
    "clients": frozenset(
        {"exchange.protocol", "exchange.ledger", "signing", "signing.sandbox", "pki", "pki.storage"}
    ),
}
RUNS_A_HUB = ("clients.demo", "clients.commands.hub", "clients.bench")
"""What runs a hub on this machine may know how it is put together; nothing else of a client may."""
MEASURES = ("clients.bench",)
"""What measures the hub may take its parts one by one."""

WORLDLY = frozenset(
    [
        "sqlalchemy",
        "alembic",
        "aiosqlite",
        "psycopg",
        "aiohttp",
        "httpx",
        "httpx2",
        "requests",
        "urllib",
        "http",
        "socket",
        "ssl",
        "subprocess",
        "multiprocessing",
        "pydantic_settings",
        "structlog",
        "prometheus_client",
        "asyncio.subprocess",
        "tempfile",
        "shutil",
    ]
)
PURE_PARTS = frozenset({"urllib.parse"})
"""Of a worldly package what only turns text into text."""
PURE = ("pki", "signing", "exchange.ledger", "exchange.protocol", "exchange.journey")
"""Layers that hold bytes and values only (their own module and those below it, but for those below here)."""
TOUCHING = ("pki.storage", "signing.sandbox")

FOR_THE_TYPE_CHECKER = "clients"
"""Only commands import for the type checker alone: at run time they load what one call needs, so that
``--help`` does not wait for it. Elsewhere it would hide a cycle."""


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            if "migrations" in parts:
                continue  # alembic's scripts; run by name, imported by nobody
            found[".".join(parts)] = ast.parse(path.read_text(), str(path))
    return found


def is_package(name: str) -> bool:
    return (ROOT / Path(*name.split("."))).is_dir()


def imports(name: str, tree: ast.AST, *, lazy: bool = True) -> Iterator[str]:
    """Full names of the modules that a module imports, anywhere in it or (not ``lazy``) when it is loaded."""
    for node in walk(tree, lazy=lazy):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = name.split(".") if is_package(name) else name.split(".")[:-1]
                base = ".".join([*parent[: len(parent) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in modules() else base


def walk(tree: ast.AST, *, lazy: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        yield node
        if not lazy and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_type_checking(node)):
            continue
        yield from walk(node, lazy=lazy)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def layer_of(module: str) -> str:
    fitting = [layer for layer in LAYERS if module == layer or module.startswith(layer + ".")]
    return max(fitting, key=len)


def ours(module: str) -> bool:
    return module.split(".")[0] in PACKAGES


def within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def test_every_module_has_its_layer() -> None:
    assert len(modules()) > 120
    # Directly in exchange/ are only the parts that put the hub together.
    together = {name for name in modules() if layer_of(name) == "exchange"}
    assert together == {
        "exchange", "exchange.app", "exchange.config", "exchange.judging", "exchange.keeper", "exchange.operator",
    }  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_in_one_direction(layer: str) -> None:
    allowed = LAYERS[layer] | {layer}
    wrong = []
    for name, tree in modules().items():
        if layer_of(name) != layer:
            continue
        for target in imports(name, tree):
            if not ours(target) or layer_of(target) in allowed:
                continue
            if layer_of(target) == "exchange" and (target == "exchange" or within(name, RUNS_A_HUB)):
                continue
            if within(name, MEASURES) and layer_of(target).startswith("exchange."):
                continue
            wrong.append(f"{name} imports {target}")
    assert wrong == []


def test_pure_modules_know_nothing_of_the_world() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, tree in modules().items()
        if within(name, PURE) and not within(name, TOUCHING)
        for target in imports(name, tree)
        if target in WORLDLY or (target.split(".")[0] in WORLDLY and target not in PURE_PARTS)
    ]
    assert wrong == []


def test_only_these_pure_modules_read_a_file() -> None:
    """The catalogue of languages and the font that stamps are drawn with are parts of the program."""
    reading = {
        name
        for name, tree in modules().items()
        if within(name, PURE) and not within(name, TOUCHING)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _opens_a_file(node)
    }
    assert reading <= {"exchange.protocol.i18n", "signing.fonts", "signing.stamp"}


def _opens_a_file(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id == "open"
    return isinstance(function, ast.Attribute) and function.attr in (
        "read_bytes", "read_text", "write_bytes", "write_text", "mkdir", "unlink",
    )  # fmt: skip


def test_there_are_no_cycles() -> None:
    """Of what is imported when a module is loaded."""
    graph = {
        name: {target for target in imports(name, tree, lazy=False) if target in modules() and target != name}
        for name, tree in modules().items()
    }
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for target in sorted(graph[name]):
            visit(target)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_nothing_is_imported_for_the_type_checker_alone() -> None:
    wrong = [
        name
        for name, tree in modules().items()
        if not within(name, (FOR_THE_TYPE_CHECKER,))
        and any(is_type_checking(node) for node in ast.walk(tree))
    ]
    assert wrong == []


def test_untyped_asn1_stays_with_the_formats_of_others() -> None:
    """Our own profile is encoded and read by ``signing.der``; foreign CMS and PDF need the library."""
    users = {
        name
        for name, tree in modules().items()
        for target in imports(name, tree)
        if target.split(".")[0] == "asn1crypto"
    }
    assert users <= {"pki.asn1", "signing.foreign", "signing.pdf_hanko", "signing.pdf_seal"}


# --- what an installation of a unit has

BLOCKED = "sqlalchemy alembic aiosqlite aiohttp pydantic_settings structlog prometheus_client"
CLIENT = (
    "clients.main",
    "clients.__main__",
    "clients.hub",
    "clients.verify",
    "clients.auditor",
    "clients.enrolment",
)


@pytest.mark.parametrize("module", CLIENT)
def test_a_unit_needs_nothing_of_the_hubs(module: str) -> None:
    """It is loaded where the hub's dependencies are not installed."""
    program = f"""
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED.split()!r}:
            raise ModuleNotFoundError(name, name=name)
        return None

sys.meta_path.insert(0, Missing())
importlib.import_module({module!r})
loaded = [name for name in sys.modules if name.split(".")[0] in {BLOCKED.split()!r}]
assert not loaded, loaded
hub = [name for name in sys.modules if name.startswith("exchange.") and name.split(".")[1] not in ("protocol", "ledger")]
assert not hub, hub
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
