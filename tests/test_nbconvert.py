"""An executed analysis notebook, turned into HTML, shows every figure and table that it drew."""

import re
from pathlib import Path

import made_up
import nbformat
import papermill
import pytest
from nbconvert import HTMLExporter

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks" / "analysis").glob("*.ipynb"))
PICTURE = re.compile(r'<img[^>]+src="data:image/(?:png|svg)|<svg\b')


def converted(path):
    page, _ = HTMLExporter(embed_images=True).from_filename(str(path))
    return page[page.index("<body") :]


def plots(template):
    """How many figures the notebook draws: one a cell that calls a function named plot_..."""
    cells = nbformat.read(template, as_version=4).cells
    return sum(bool(re.search(r"\bplot_\w+\(", cell.source)) for cell in cells if cell.cell_type == "code")


def executed(template):
    """The copies of a notebook that a study on this machine has executed."""
    return [ROOT / "outputs" / name / "analysis" / template.name for name in ("demo", "smoke", "asr-quality")]


def test_a_page_of_a_notebook_shows_its_figures(tmp_path):
    study = made_up.write_study(tmp_path, seeds=2, sections=("categories",), utterances=16)
    template, done = ROOT / "notebooks" / "analysis" / "figure_2.ipynb", tmp_path / "figure_2.ipynb"
    given = {"study": str(study), "incomplete": "show"}
    papermill.execute_notebook(str(template), str(done), given, progress_bar=False, cwd=str(ROOT))
    page = converted(done)
    assert len(PICTURE.findall(page)) == plots(template) == 2
    assert "<table" in page


@pytest.mark.long
@pytest.mark.parametrize("template", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_of_every_notebook_that_a_study_executed_shows_its_figures(template):
    copies = [path for path in executed(template) if path.exists()]
    if not copies:
        pytest.skip(f"no study here has executed {template.name}: demo.yaml, smoke.yaml, transcripts.yaml would")
    for copy in copies:
        assert len(PICTURE.findall(converted(copy))) == plots(template), copy
