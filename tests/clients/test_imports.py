"""What a unit's install may need: neither the hub's storage nor its web server."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
HUB_ONLY = tuple(
    f"exchange.{name}"
    for name in ("storage", "web", "journey", "courier", "app", "operator", "config", "keeper", "judging")
)
HUB_MODULES = ("sqlalchemy", "aiohttp", "aiosqlite", "alembic", "structlog", "prometheus_client")
MAY_RUN_A_HUB = ("demo.py", "bench", "hub.py", "other.py")
"""``commands/hub.py`` and ``commands/other.py`` import lazily, inside their functions."""


def modules() -> list[Path]:
    return sorted((ROOT / "clients").rglob("*.py"))


def imported(tree: ast.AST, *, top_level_only: bool) -> set[str]:
    nodes = tree.body if top_level_only and isinstance(tree, ast.Module) else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_clients_lean_on_nothing_of_the_hub(path: Path) -> None:
    relative = path.relative_to(ROOT / "clients")
    if relative.parts[0] in ("demo.py", "bench"):
        return
    lazily = relative.parts[0] == "commands" and relative.name in MAY_RUN_A_HUB
    names = imported(ast.parse(path.read_text()), top_level_only=lazily)
    wrong = [name for name in names if name.startswith((*HUB_ONLY, *HUB_MODULES))]
    assert wrong == []
