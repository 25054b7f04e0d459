"""The benchmark of growth: every stage runs, and one that grows faster than the corpus is named."""

import pandas as pd
import pytest
from benchmarks import growth


def test_what_grows_faster_than_the_corpus_is_named():
    rows = [
        {"stage": stage, "factor": factor, "seconds": 0.5 * factor**power, "MB": 10.0}
        for stage, power in (("corpus", 1), ("report", 2))
        for factor in (1, 4, 16)
    ]
    lines = growth.table(pd.DataFrame(rows)).splitlines()
    assert lines[2] == "| corpus | 0.5 s, 10 MB | 2.0 s, 10 MB | 8.0 s, 10 MB | 1.00 |"
    assert lines[-1] == "report grows faster than the corpus: as its power of 2.00"
    assert growth.table(pd.DataFrame(rows[:3])).endswith("nothing grows faster than the corpus")


@pytest.mark.long
def test_every_stage_runs(capsys, monkeypatch):
    monkeypatch.setattr(growth, "UTTERANCES", 60)
    monkeypatch.setattr(growth, "EACH", 10)
    growth.main(["--factors", "1", "2"])
    printed = capsys.readouterr().out
    assert [line.split(" | ")[0] for line in printed.splitlines()[2:8]] == [
        f"| {stage}" for stage in growth.STAGES if stage != "empty"
    ]


@pytest.mark.long
def test_a_stage_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)--do corpus .* ended with 1:.*corpus"):
        growth.measure("corpus", tmp_path)
