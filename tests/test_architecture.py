"""The shape of the package: who may import whom, no circles, and an analysis half that starts without torch."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sercore"
# --8<-- [start:rooms] what docs/house.md shows
FOUNDATION = {"schema", "files", "settings", "metrics", "registry"}
MAY_IMPORT = {
    "schema": set(),
    "files": set(),
    "metrics": {"schema"},
    "registry": {"schema", "metrics"},
    "settings": {"schema", "registry"},
    "losses": FOUNDATION,
    "corpora": FOUNDATION,
    "features": {*FOUNDATION, "corpora"},
    "datasets": {*FOUNDATION, "corpora", "features"},
    "models": {*FOUNDATION, "features"},
    "training": {*FOUNDATION, "corpora", "features", "datasets", "models", "losses"},
    "study": {*FOUNDATION, "corpora"},
    "analysis": {*FOUNDATION, "corpora", "study"},
    "inference": {*FOUNDATION, "corpora", "features", "datasets", "models", "losses", "training", "analysis"},
    "widgets": {*FOUNDATION, "corpora", "features", "study", "analysis"},
    "commands": {*FOUNDATION, "corpora", "features", "study", "analysis", "inference", "widgets"},
}
"""Room of the house -> the rooms that it may import, anywhere in its files."""
# --8<-- [end:rooms]
WITHOUT_TORCH = ("analysis", "study", "widgets")
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
}


def room(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path, whole_file: bool = True) -> set[str]:
    """The modules of sercore that the file imports: anywhere in it, or only when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if whole_file else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sercore":
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {member if member in MODULES else node.module for member in members}
            found |= {f"sercore.{alias.name}" for alias in node.names if node.module == "sercore"}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("sercore.")}
    return found - {"sercore"}


def test_every_room_has_its_rule():
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert entries - {"__init__", "__main__"} == set(MAY_IMPORT)
    assert len(entries - {"__init__", "__main__"}) <= 16


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_room_may(module):
    own = room(module)
    wrong = {imported for imported in imports(MODULES[module]) if room(imported) not in {own, *MAY_IMPORT[own]}}
    assert not wrong, f"sercore.{own} may import {', '.join(sorted(MAY_IMPORT[own])) or 'nothing'}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: imports(path, whole_file=False) & MODULES.keys() for module, path in MODULES.items()}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the circle
    assert list(TopologicalSorter(MAY_IMPORT).static_order())


def test_the_analysis_half_starts_without_torch():
    modules = [module for module in MODULES if room(module) in WITHOUT_TORCH]
    program = "\n".join(["import sys", *(f"import {module}; assert 'torch' not in sys.modules" for module in modules)])
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) != "commands"])
def test_only_commands_print(module):
    calls = [node for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Call)]
    assert "print" not in {call.func.id for call in calls if isinstance(call.func, ast.Name)}
