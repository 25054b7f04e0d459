"""The paper's own sizes, on a small tree: width 64, 64 mels, hop 160, one epoch of one fold."""

import pandas as pd
import papermill
import pytest
import yaml

from sercore import files, settings
from sercore.study import config


@pytest.mark.long
@pytest.mark.parametrize("model", ["cnn14", "mfcnn14"])
def test_a_run_of_the_papers_grid_works_at_full_width(model, embedded, tmp_path):
    paper = config.load("parameters/paper.yaml")
    (run,) = [run for run in paper.section("categories") if run.name == f"model={model},corpus=iemocap,seed=0"]
    small = {
        "folds": ["Ses01F"],
        "training": {"epochs": 1},
        "text": {"encoder": "all-minilm-l6-v2"},
        "corpora": embedded,
        "folder": str(tmp_path / "run"),
        "cache": str(tmp_path / "cache"),
    }
    papermill.execute_notebook(str(run.notebook), str(tmp_path / "out.ipynb"), run.parameters | small)
    predictions = pd.read_parquet(tmp_path / "run" / files.PREDICTIONS)
    assert set(predictions["test_corpus"]) == {"iemocap", "msp-podcast"}
    recorded = files.read_json(tmp_path / "run" / files.PROVENANCE)["settings"]
    assert recorded["network"]["width"] == settings.NetworkSettings().width == 64
    assert recorded["features"]["mels"] == 64
    assert yaml.safe_load((tmp_path / "run" / files.PARAMETERS).read_text())["network"] == {}
