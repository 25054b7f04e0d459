"""What `make smoke` expects is tight enough to notice a mistake."""

import pandas as pd
import pytest
import smoke

EXPECTED = pd.read_csv(smoke.EXPECTED, dtype=dict.fromkeys(smoke.KEYS, "str"))
FUSIONS = ("sfcnn14", "mfcnn14")
CELL = [key for key in smoke.KEYS if key != "model"]


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("section", ["categories", "dimensions", "multitask"])
def test_a_fusion_model_that_falls_to_cnn14_is_noticed(section, fusion):
    scores = EXPECTED[EXPECTED["section"] == section].pivot(index=CELL, columns="model", values="score")
    limit = scores.index.get_level_values("metric").map(smoke.TOLERANCE)
    gap = (scores[fusion] - scores["cnn14"]).abs()
    assert (gap > limit).any(), f"{fusion} would score as cnn14 within the tolerance"
    wrong = EXPECTED.copy()
    own = (wrong["section"] == section) & (wrong["model"] == fusion)
    listening = EXPECTED[(EXPECTED["section"] == section) & (EXPECTED["model"] == "cnn14")].set_index(CELL)["score"]
    wrong.loc[own, "score"] = listening.loc[pd.MultiIndex.from_frame(wrong.loc[own, CELL])].to_numpy()
    assert set(smoke.departures(wrong)["model"]) == {fusion}


def test_scores_as_expected_pass_and_one_that_is_missing_is_named():
    assert smoke.departures(EXPECTED).empty
    (row,) = smoke.departures(EXPECTED.iloc[1:]).itertuples()
    assert row.score_expected == EXPECTED["score"].iloc[0]
