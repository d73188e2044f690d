"""The structure of the package: imports between layers, unique names, and no citations of absent documents."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PACKAGE = "thousandeyes_provider"

MAY_IMPORT = {
    "exceptions": set(),
    "api": {"exceptions"},
    "validation": {"api", "exceptions"},
    "config": {"api", "exceptions"},
    "get_provider_info": {"config"},
    "hooks": {"validation", "api", "get_provider_info", "config", "exceptions"},
    "triggers": {"hooks", "validation", "api", "config", "exceptions"},
    "links": {"api", "exceptions"},
    "operators": {"triggers", "links", "hooks", "validation", "api", "config", "exceptions"},
    "sensors": {"operators", "triggers", "links", "hooks", "validation", "api", "config", "exceptions"},
    "simulator": {"api"},
    "ui": {"validation", "api", "exceptions"},
    "cli": {"operators", "hooks", "validation", "api", "config", "exceptions", "simulator"},
    "__main__": {"cli"},
}
"""Layer to the layers that it may import. Every layer may import the package itself for its version."""


def _load_structure() -> ModuleType:
    """Load the script that measures the structure, so that benchmark and tests read files in the same way."""
    spec = importlib.util.spec_from_file_location("structure", ROOT / "benchmarks" / "structure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


structure = _load_structure()
MODULES = {module.name: module for module in structure.modules(ROOT)}


@cache
def imports_of(name: str) -> frozenset[str]:
    """Return the modules of the package that a module imports, including imports in functions."""
    imported = set()
    for node in ast.walk(MODULES[name].tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                imported.add(submodule if submodule in MODULES else node.module)
    return frozenset(imported & MODULES.keys() - {name})


def layer_of(name: str) -> str:
    return MODULES[name].floor


def test_every_layer_has_a_rule() -> None:
    assert {layer_of(name) for name in MODULES} - {""} <= MAY_IMPORT.keys()


def test_no_module_imports_from_a_layer_above() -> None:
    upward = [
        f"{name} imports {imported}"
        for name in MODULES
        if layer_of(name)
        for imported in sorted(imports_of(name))
        if layer_of(imported) not in {"", layer_of(name)} | MAY_IMPORT[layer_of(name)]
    ]
    assert upward == []


def test_rules_allow_no_cycle() -> None:
    """No layer may import itself through other layers."""

    def below(layer: str) -> set[str]:
        return MAY_IMPORT[layer].union(*map(below, MAY_IMPORT[layer]))

    assert [layer for layer in MAY_IMPORT if layer in below(layer)] == []


def test_no_modules_import_each_other_in_a_cycle() -> None:
    order: list[str] = []
    cycles: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycles.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in order:
            for imported in sorted(imports_of(name)):
                visit(imported, (*path, name))
            order.append(name)

    for name in sorted(MODULES):
        visit(name, ())
    assert cycles == []


def test_the_documented_paths_through_the_code_exist():
    page = (ROOT / "docs" / "contributing.md").read_text()
    _, *paths = page.partition("## Three paths")[2].partition("## Commands")[0].split("\n**")
    assert len(paths) == 3
    for path in paths:
        stops = re.findall(r"^\d\. \[([\w/.]+)\]\(\S+\): (.+)$", path, re.MULTILINE)
        files = [file for file, _ in stops]
        assert len(files) == len(set(files)) <= 8
        for file, text in stops:
            (name, *_) = re.findall(r"`(\w+)`", text)
            source = (ROOT / "thousandeyes_provider" / file).read_text()
            assert re.search(rf"^ *(async )?(def|class) {name}\b|^{name} = ", source, re.MULTILINE), (
                file,
                name,
            )
