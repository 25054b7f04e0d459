"""The shape of the package: imports point downwards, and the analysis half starts without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sercore"
LAYERS = [
    {"schema", "files", "nursery"},
    {"kernels"},
    {"config", "settings", "metrics", "resampling", "significance", "residuals", "published", "wer"},
    {"asr_weights", "aisfx"},
    {"corpora", "splits", "features", "recognisers", "costs", "attempts", "clusters"},
    {"packed", "batch", "transcripts", "corruption", "convolutions", "acceleration", "trained"},
    {"cache", "schedule", "recordings"},
    {"datasets", "cnn14", "models", "losses", "optimisers", "resuming", "speech_encoders", "waveforms"},
    {"training", "sources"},
    {"sittings", "prediction"},
    {"experiment", "jobs"},
    {"study"},
    {"preparation"},
    {"scores", "progress", "verification"},
    {"results"},
    {"notes", "measures", "conditions"},
    {"verdicts", "tables", "mismatch"},
    {"claims", "comparisons", "figures", "live", "report_tables"},
    {"distributions", "report_origins", "text_tables", "text_figures", "timelines", "cards"},
    {"widgets", "report", "exports"},
    {"commands"},
    {"cli"},
]
WITHIN_A_LAYER = {
    ("files", "schema"), ("significance", "metrics"), ("residuals", "metrics"), ("published", "metrics"),
    ("published", "significance"), ("resampling", "metrics"), ("significance", "resampling"),
    ("models", "cnn14"), ("models", "speech_encoders"), ("speech_encoders", "cnn14"), ("waveforms", "datasets"),
}  # fmt: skip
"""Importer, imported: the few that stand on the same floor."""
TRAINING_HALF = {
    "features", "recognisers", "transcripts", "mismatch", "packed", "cache", "datasets", "models", "cnn14", "losses",
    "optimisers", "resuming", "training", "sittings", "sources", "experiment", "preparation",
    "convolutions", "acceleration", "recordings", "prediction", "exports", "speech_encoders", "waveforms",
}  # fmt: skip
ANALYSIS_HALF = sorted({path.stem for path in PACKAGE.glob("*.py")} - TRAINING_HALF - {"__init__"})


def layer(module: str) -> int:
    homes = [number for number, names in enumerate(LAYERS) if module in names]
    assert homes, f"sercore.{module} has no layer: add it to LAYERS and to the README's tree"
    return homes[0]


def imports(path: Path) -> set[str]:
    """The modules of the package that the file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "sercore":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sercore."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("sercore.")}
    return found


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    importer = module_of(path)
    for imported in imports(path) - {importer}:
        assert layer(imported) < layer(importer) or (importer, imported) in WITHIN_A_LAYER, (
            f"{importer} imports {imported}"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_is_too_long_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_study_runs_notebooks_and_never_trains_itself():
    assert not imports(PACKAGE / "study.py") & {"training", "experiment", "models", "datasets"}


def test_the_analysis_half_starts_without_torch():
    program = (
        f"import sys; import {', '.join(f'sercore.{name}' for name in ANALYSIS_HALF)}; sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr or "torch was imported"


def test_only_the_command_line_prints():
    for path in SOURCES:
        names = [
            n.func.id
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        ]
        assert "print" not in names or path.name == "cli.py" or path.parent.name == "commands", path
