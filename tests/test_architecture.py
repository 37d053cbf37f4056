"""Who may import whom: top to bottom, never upwards, never sideways between the coloured wings."""

import ast
import subprocess

import pytest

from sutrolib.places import ROOT

LAYERS = [
    {"__main__"},
    {
        "batch",
        "batch_charts",
        "batch_cluster",
        "batch_plan",
        "batch_records",
        "batch_run",
        "batch_tables",
        "run_command",
        "commands",
        "new_command",
        "exam_command",
        "compare_command",
        "compare_ledger",
        "compare_numbers",
        "compare_runs",
        "deck",
        "deck_command",
        "deck_page",
        "deck_parts",
        "deck_pdf",
        "deck_slides",
        "deck_sources",
        "notebook",
        "progress",
        "widgets",
        "doctor",
        "reproduce",
        "claims",
        "problem_claims",
    },
    {
        "guards",
        "ablation",
        "exam",
        "exam_charts",
        "exam_entries",
        "exam_limits",
        "exam_outcome",
        "exam_record",
        "exam_sitting",
        "exam_table",
        "recipe_charts",
        "recipes",
    },
    {"processes"},
    {
        "measure",
        "scales",
        "verdict",
        "ledger",
        "charts",
        "search_charts",
        "race_charts",
        "figures",
        "ladders",
        "standing",
        "tables",
    },
    {"problems", "models", "meters"},
    {"cube", "errors", "nouns", "parameters", "findings", "files", "kernel", "cluster", "places", "provenance"},
]
WINGS = LAYERS[5]
MODULES = sorted((ROOT / "sutrolib").rglob("*.py"))


def unit(path):
    parts = path.relative_to(ROOT / "sutrolib").with_suffix("").parts
    return parts[0]


def imported_units(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sutrolib":
            names = [node.module.split(".")[1]] if "." in node.module else [alias.name for alias in node.names]
            yield from (name for name in names if not name.startswith("__version"))
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("sutrolib."))


def layer(name):
    return next(index for index, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_and_not_across_the_wings(path):
    here = unit(path)
    if here == "__init__":
        assert list(imported_units(path)) == []
        return
    for there in imported_units(path):
        assert layer(there) >= layer(here), f"{here} imports {there}, which is above it"
        assert there == here or not {here, there} <= WINGS, f"{here} imports {there}, sideways between the wings"


def test_meters_never_import_a_model_or_a_process():
    for path in (ROOT / "sutrolib" / "meters").glob("*.py"):
        assert not {"models", "problems", "processes", "guards"} & set(imported_units(path))


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
