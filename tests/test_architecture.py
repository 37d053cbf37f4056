"""Who may import whom: top to bottom, never upwards, never sideways between the coloured wings."""

import ast
import subprocess
from graphlib import TopologicalSorter

import pytest

from sutrolib.core.paths import ROOT

# Floor by floor, the top one first. A wing imports from floors below its own, and never from a wing beside it.
FLOORS = [
    {"__main__", "adapters", "bytedmd"},  # modules; the others are wings
    {"cli", "notebook"},
    {"walk"},
    {"exam"},
    {"guards", "meeting", "boards"},
    {"processes", "batch"},
    {"measurement", "plots"},
    {"problems", "models", "meters"},
    {"core"},
]
NEVER = {("meeting", "processes")}  # though it lies below
WINGS = set().union(*FLOORS[1:])
MODULES = sorted((ROOT / "sutrolib").rglob("*.py"))


def wing(path):
    return path.relative_to(ROOT / "sutrolib").with_suffix("").parts[0]


def imported_modules(path):
    """The full names of what a module imports from this library."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sutrolib":
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "sutrolib")


def imported_wings(path):
    return {name.split(".")[1] for name in imported_modules(path) if "." in name}


def floor(name):
    return next(index for index, names in enumerate(FLOORS) if name in names)


def test_the_library_is_fifteen_wings():
    there = {path.name for path in (ROOT / "sutrolib").iterdir() if not path.name.startswith((".", "__pycache__"))}
    assert there == WINGS | {"__init__.py", "__main__.py", "adapters.py", "bytedmd.py"}
    assert len(WINGS) == 15
    for name in WINGS:
        assert ast.get_docstring(ast.parse((ROOT / "sutrolib" / name / "__init__.py").read_text(encoding="utf-8")))


def test_tests_mirror_the_wings():
    folders = {
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    }
    assert folders - {"bench"} <= WINGS


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_and_never_to_a_wing_beside(path):
    here = wing(path)
    if here == "__init__":
        assert imported_wings(path) == set()
        return
    for there in imported_wings(path) - {here}:
        assert floor(there) > floor(here), f"{here} imports {there}, which is not below it"
        assert (here, there) not in NEVER, f"{here} imports {there}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {}
    for path in MODULES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = {there for there in imported_modules(path) if there != name}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_meters_never_import_a_model_or_a_process():
    for path in (ROOT / "sutrolib" / "meters").rglob("*.py"):
        assert not {"models", "problems", "processes", "guards"} & imported_wings(path)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_short_and_says_what_it_is_for(path):
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source))
    assert len(source.splitlines()) <= 300


def test_the_top_level_holds_nothing_else():
    allowed = {"README.md", "requirements.txt", "pyproject.toml", "LICENSE"}
    allowed |= {"notebooks", "sutrolib", "data", "figures", "tests"}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: whatever lies here may be the user's own")
    assert {name.split("/")[0] for name in listed.stdout.split() if not name.startswith(".")} <= allowed
