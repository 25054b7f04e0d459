"""Shapes in signatures are checked while testing only."""

import itertools
import os

import nbformat
import pytest
import yaml
from jaxtyping import install_import_hook
from nbformat.v4 import new_code_cell, new_notebook

install_import_hook(["sercore.models", "sercore.losses"], "beartype.beartype")

import made_up  # noqa: E402 -- after the hook, which must see the modules first

from sercore import files  # noqa: E402 -- after the hook, which must see the modules first
from sercore.analysis import results  # noqa: E402 -- after the hook, which must see the modules first
from sercore.corpora import read, synthetic  # noqa: E402 -- after the hook, which must see the modules first
from sercore.study import config  # noqa: E402 -- after the hook, which must see the modules first


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """Small embedded corpora, as a study's `corpora`: real synthesised speech in the native layouts.

    In the MSP-Podcast layout other turns' sentences stand in for recognised ones, so that no test waits for ASR. All
    processes of a test run read the same ones.
    """
    run = tmp_path_factory.getbasetemp()
    root = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "corpora"
    corpora = {}
    with files.lock(root / "embedded.lock", wait=lambda: None):
        for name in ("iemocap", "msp-podcast"):
            synthetic.speak(name, root / name, size=0.35)
            corpora[name] = {"root": str(root / name)}
    sentences = read("iemocap", root / "iemocap").utterances["transcript"].tolist()
    utterances = read("msp-podcast", root / "msp-podcast").utterances["utterance"]
    rows = [f'{utterance},"{text}"' for utterance, text in zip(utterances, itertools.cycle(sentences), strict=False)]
    recognised = tmp_path_factory.mktemp("recognised") / "recognised.csv"
    recognised.write_text("\n".join(["utterance,transcript", *rows]) + "\n", encoding="utf-8")
    corpora["msp-podcast"]["transcripts"] = str(recognised)
    return corpora


PARAMETERS = 'model = "cnn14"\nseed = 0\ncorpora = {}\nfolder = ""\ncache = ""'
RESULT = """
import pathlib, yaml
home = pathlib.Path(folder)
with (home / "log.txt").open("a") as log:
    log.write("executed ")
if seed == 13:
    raise ValueError("seed 13 brings bad luck")
(home / "parameters.yaml").write_text(yaml.safe_dump({"model": model, "seed": seed}))
if seed != 7:
    (home / "predictions.parquet").write_bytes(pathlib.Path(done).read_bytes())
"""


@pytest.fixture
def make(tmp_path):
    """A study of one section, whose runs train nothing: seed 13 fails, seed 7 ends without a result."""

    def _make(seeds, **fixed):
        files.write_table(tmp_path / "done.parquet", made_up.DONE)
        result = RESULT.replace("pathlib.Path(done)", f"pathlib.Path({str(tmp_path / 'done.parquet')!r})")
        cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(result)]
        kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "n.ipynb")
        content = {
            "study": "small",
            "corpora": {},
            "outputs": str(tmp_path / "outputs"),
            "sections": {
                "s": {"notebook": str(tmp_path / "n.ipynb"), "blocks": [{"grid": {"seed": seeds}, "fixed": fixed}]}
            },
        }
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
        return config.load(tmp_path / "small.yaml")

    return _make


@pytest.fixture(scope="module")
def categories(study):
    """Section 5 of the made-up study that the test's module writes."""
    return results.read(study, "categories")


@pytest.fixture(scope="module")
def dimensions(study):
    """Section 6.1 of the made-up study that the test's module writes."""
    return results.read(study, "dimensions")


@pytest.fixture(scope="module")
def multitask(study):
    """Section 6.2 of the made-up study that the test's module writes."""
    return results.read(study, "multitask")
