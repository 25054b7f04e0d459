"""Does the smallest study still score what it scored? `make smoke` runs it, then this compares; `--write` renews.

A tolerance, because sums in another order (another processor, another version of a library) make other roundings, and
a model that is hardly trained amplifies them. What a mistake does is larger: labels shuffled, text not read, a wrong
corpus.
"""

import sys
from pathlib import Path

import pandas as pd

from sercore.analysis import results

STUDY = "parameters/smoke.yaml"
EXPECTED = Path(__file__).with_name("smoke_expected.csv")
KEYS = ["section", "model", "train_corpus", "test_corpus", "target", "metric", "pooling"]
TOLERANCE = {"uar": 15.0, "ccc": 0.25, "pcc": 0.25}  # UAR in %


def scores_of_study() -> pd.DataFrame:
    parts = [results.read(STUDY, section).scores for section in ("categories", "dimensions", "multitask")]
    scores = pd.concat([part[(part["partition"] == "test") & part["metric"].isin(TOLERANCE)] for part in parts])
    return scores[[*KEYS, "score"]].astype(dict.fromkeys(KEYS, "str")).sort_values(KEYS, ignore_index=True).round(4)


def compared(scores: pd.DataFrame) -> pd.DataFrame:
    """Each score beside the expected one, with their difference in tolerances."""
    expected = pd.read_csv(EXPECTED, dtype=dict.fromkeys(KEYS, "str"))
    both = expected.merge(scores, on=KEYS, how="outer", suffixes=("_expected", "_found"), indicator=True)
    return both.assign(off=(both["score_found"] - both["score_expected"]).abs() / both["metric"].map(TOLERANCE))


def departures(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that are missing, not expected, or further from the expected one than the tolerance."""
    both = compared(scores)
    return both[(both["_merge"] != "both") | ~(both["off"] <= 1)]


def main() -> int:
    scores = scores_of_study()
    if "--write" in sys.argv:
        scores.to_csv(EXPECTED, index=False)
        print(f"{len(scores)} expected scores written to {EXPECTED}")
        return 0
    both, wrong = compared(scores), departures(scores)
    print(f"{len(both)} scores, largest difference {both['off'].max():.0%} of the tolerance")
    if len(wrong):
        print(f"{len(wrong)} scores are not what was expected:\n{wrong.to_string(index=False)}")
    return 1 if len(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
