"""The notebooks as they are committed: pages of prose, calls and no results."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from sercore.corpora.synthetic import msp_podcast
from sercore.study import plan

ROOT = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(path for path in ROOT.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def code(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def parameters_cell(path):
    (cell,) = [cell for cell in code(path) if "parameters" in cell.metadata.get("tags", [])]
    return cell


def ids(path):
    return str(path.relative_to(ROOT))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
class TestEveryNotebook:
    def test_holds_no_outputs(self, path):
        assert not [cell for cell in code(path) if cell.outputs or cell.execution_count]

    def test_is_a_page_and_not_a_program(self, path):
        cells = nbformat.read(path, as_version=4).cells
        assert len(cells) <= 24
        assert cells[0].cell_type == "markdown"
        for cell in code(path):
            parameters = len(plan.defaults(path)) if cell == parameters_cell(path) else 0  # a line each
            assert len(cell.source.splitlines()) <= (parameters or 15)
            tree = ast.parse(re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE))
            assert not [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Lambda)]

    def test_every_parameter_is_seen_by_papermill(self, path):
        assigned = [node.targets[0].id for node in ast.parse(parameters_cell(path).source).body]
        assert list(plan.defaults(path)) == assigned

    def test_names_its_kernel_and_language(self, path):
        kernel = nbformat.read(path, as_version=4).metadata.kernelspec
        assert (kernel.name, kernel.language) == ("python3", "python")


def defined(path):
    """The names of what each call of `experiment.define` in the notebook takes."""
    trees = [ast.parse(re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE)) for cell in code(path)]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [{keyword.arg for keyword in call.keywords} for call in calls if getattr(call.func, "attr", "") == "define"]


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if "seed" in plan.defaults(path) and defined(path)], ids=ids
)
def test_a_run_records_every_parameter_of_its_notebook(path):
    assert defined(path) == [set(plan.defaults(path))], "else a batch that goes on takes it for another run"


def test_recordings_that_notebooks_name_are_in_the_embedded_corpus():
    spoken = {request.file for request in msp_podcast.script(0, 1.0, None).requests}
    named = [
        name
        for path in NOTEBOOKS
        for name in re.findall(r"outputs/corpora/msp-podcast/([\w/-]+\.wav)", path.read_text())
    ]
    assert named
    assert set(named) <= spoken
