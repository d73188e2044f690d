"""Measure the structure of the package: size, function length, imports, types, names and citations.

``python benchmarks/structure.py [PATH]`` prints one line per figure for the checkout at PATH (default: this one). It
reads source files only and needs only Python, so that it also works on older commits.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "thousandeyes_provider"
AIRFLOW_NAMED = frozenset({"definition", "instant_test", "thousandeyes"})
"""Module names that follow Airflow's conventions: service, task, and ``cli/definition.py``."""

ABSENT_DOCUMENTS = re.compile(r"(?<![\w-])(?:DESIGN|SPEC|API-FACTS|DEV|KB|REC|LANGUAGE|STYLE)(?![\w-])")
"""Documents that are not in the repository."""

VAGUE_NAMES = frozenset({"told", "found", "one", "amiss", "begun", "said"})
"""Names that do not describe a variable, parameter or function."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file of the package.

    :param path: its path.
    :param name: its dotted name, such as ``thousandeyes_provider.api.retry``.
    """

    path: Path
    name: str

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text, str(self.path))

    @property
    def floor(self) -> str:
        """The first folder below the package, or the module name outside a folder."""
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def functions(self) -> list[Function]:
        """All functions and methods, including nested ones."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @property
    def classes(self) -> list[ast.ClassDef]:
        """The classes at the top of the module."""
        return [node for node in self.tree.body if isinstance(node, ast.ClassDef)]


def modules(root: Path) -> list[Module]:
    """Return all modules of the package in a checkout."""
    sources = []
    for path in sorted((root / PACKAGE).rglob("*.py")):
        if "node_modules" in path.parts:
            continue
        parts = path.relative_to(root).with_suffix("").parts
        sources.append(Module(path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    return sources


def function_lines(sources: Sequence[Module]) -> list[int]:
    """Return the number of lines of each function, without decorators and docstring."""
    lengths = []
    for module in sources:
        for function in module.functions:
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if ast.get_docstring(function, clean=False) is not None:
                docstring = function.body[0]
                lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
            lengths.append(lines)
    return lengths


def imports_in_functions(sources: Sequence[Module]) -> list[str]:
    """Return import statements in functions, as ``module:line``."""
    return sorted(
        {
            f"{module.name}:{node.lineno}"
            for module in sources
            for function in module.functions
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
    )


def mentions_of_any(sources: Sequence[Module]) -> int:
    """Count ``Any`` in code, including imports, without comments and strings."""
    return sum(
        (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.alias) and node.name == "Any")
        for module in sources
        for node in ast.walk(module.tree)
    )


def calls_across_files(sources: Sequence[Module]) -> list[str]:
    """Return calls on ``self`` of methods that are defined in another of these files only."""
    methods = {
        module.name: {
            function.name
            for owner in module.classes
            for function in owner.body
            if isinstance(function, Function)
        }
        for module in sources
    }
    crossing = []
    for module in sources:
        elsewhere = set().union(*(names for name, names in methods.items() if name != module.name))
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "self"
                and node.func.attr in elsewhere - methods[module.name]
            ):
                crossing.append(f"{module.name}:{node.lineno}: {node.func.attr}")
    return crossing


def repeated_module_names(sources: Sequence[Module]) -> list[str]:
    """Return names of more than one module of the package."""
    names = Counter(
        module.path.stem
        for module in sources
        if not module.path.stem.startswith("__") and module.path.stem not in AIRFLOW_NAMED
    )
    return sorted(name for name, count in names.items() if count > 1)


def repeated_class_names(sources: Sequence[Module]) -> list[str]:
    """Return names of more than one public class of the package."""
    names = Counter(
        owner.name for module in sources for owner in module.classes if not owner.name.startswith("_")
    )
    return sorted(name for name, count in names.items() if count > 1)


def vague_names(sources: Sequence[Module]) -> list[str]:
    """Return variables, parameters and functions with a vague name, as ``module:line: name``."""
    vague = []
    for module in sources:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            elif isinstance(node, ast.arg):
                name = node.arg
            elif isinstance(node, Function):
                name = node.name
            else:
                continue
            if name.strip("_") in VAGUE_NAMES:
                vague.append(f"{module.name}:{node.lineno}: {name}")
    return vague


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page, or the comments and strings of a source file, with line numbers."""
    if path.suffix != ".py":
        yield from enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        return
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT or tokenize.tok_name[token.type].endswith(
                ("STRING", "_MIDDLE")
            ):
                yield from enumerate(token.string.splitlines(), token.start[0])


def citations_of_absent_files(root: Path) -> list[str]:
    """Return the lines of the repository that cite an absent document."""
    folders = [root / name for name in (PACKAGE, "example_dags", "tests", "docs", "demo", "benchmarks")]
    return [
        f"{path.relative_to(root)}:{number}"
        for folder in folders
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.md")])
        if "node_modules" not in path.parts and path.name not in ("structure.py", "test_architecture.py")
        for number, line in _prose(path)
        if ABSENT_DOCUMENTS.search(line)
    ]


def figures(root: Path) -> dict[str, str]:
    """Return the figures of a checkout by name."""
    everything = modules(root)
    product = [module for module in everything if module.floor != "simulator"]
    operators = [module for module in product if module.floor in ("operators", "sensors")]
    lengths = function_lines(product)
    return {
        "lines without simulator": f"{sum(len(module.text.splitlines()) for module in product):,}",
        "lines by folder": ", ".join(
            f"{floor} {sum(len(module.text.splitlines()) for module in product if module.floor == floor):,}"
            for floor in sorted({module.floor for module in product} - {""})
        ),
        "functions": f"{len(lengths):,}",
        "function lines, median": f"{statistics.median(lengths):g}",
        "function lines, p90": f"{statistics.quantiles(lengths, n=10, method='inclusive')[8]:g}",
        "function lines, max": f"{max(lengths)}",
        "imports in functions of operators and sensors": f"{len(imports_in_functions(operators))}",
        "mentions of Any in operators and sensors": f"{mentions_of_any(operators)}",
        "self-calls across operator files": f"{len(calls_across_files(operators))}",
        "module names used twice": ", ".join(repeated_module_names(everything)) or "0",
        "public class names used twice": ", ".join(repeated_class_names(everything)) or "0",
        "vague names": f"{len(vague_names(everything))}",
        "citations of absent files": f"{len(citations_of_absent_files(root))}",
    }


def main() -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, default=Path(__file__).parents[1], help="a checkout")
    for name, figure in figures(parser.parse_args().path).items():
        print(f"{name:48} {figure}")


if __name__ == "__main__":
    main()
