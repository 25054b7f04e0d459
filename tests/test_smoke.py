"""What `make smoke` expects is tight enough to notice a mistake."""

import pandas as pd
import pytest
import smoke

EXPECTED = pd.read_csv(smoke.EXPECTED, dtype=dict.fromkeys(smoke.KEYS, "str"))
CELL = [key for key in smoke.KEYS if key != "model"]
UNLEARNED = 0.3  # the highest r of CNN14's valence, which is not compared, that was seen on any processor


@pytest.mark.parametrize("fusion", ["sfcnn14", "mfcnn14"])
@pytest.mark.parametrize("section", ["categories", "dimensions", "multitask"])
def test_a_fusion_model_that_falls_to_cnn14_is_noticed(section, fusion):
    scores = EXPECTED[EXPECTED["section"] == section].set_index(CELL)
    listening = scores[scores["model"] == "cnn14"]["score"]
    own = (EXPECTED["section"] == section) & (EXPECTED["model"] == fusion)
    fallen = EXPECTED.copy()
    cells = pd.MultiIndex.from_frame(fallen.loc[own, CELL])
    fallen.loc[own, "score"] = listening.reindex(cells).fillna(UNLEARNED).to_numpy()
    wrong = smoke.departures(fallen)
    assert set(wrong["model"]) == {fusion}
    assert "msp-podcast" in set(wrong["train_corpus"]), "where the tolerance is tight"


def test_scores_as_expected_pass_and_one_that_is_missing_is_named():
    assert smoke.departures(EXPECTED).empty
    (row,) = smoke.departures(EXPECTED.iloc[1:]).itertuples()
    assert row.score_expected == EXPECTED["score"].iloc[0]
