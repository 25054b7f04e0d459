"""Does the smallest study still score what it scored? `make smoke` runs it, then this compares; `--write` renews.

A tolerance, because sums in another order (another processor, another version of a library) make other roundings, and
a model that is hardly trained amplifies them. With AVX2 in place of AVX-512, and with other last bits of the text
embeddings, UAR moved by up to 6.5 points (trained on MSP-Podcast) and 22.4 (IEMOCAP: chosen and tested on one speaker
each), r of arousal by .09, r of valence by .10 where the model reads: each tolerance is a third more, or double. The
other ratings are not compared: two epochs do not teach them, and their r changed its sign. What a mistake does is
larger: labels are shuffled, a corpus is the wrong one, a model that reads MSP-Podcast falls to CNN14.
"""

import sys
from pathlib import Path

import pandas as pd

from sercore import metrics
from sercore.analysis import results
from sercore.schema import CLASSES, EMOTION

STUDY = "parameters/smoke.yaml"
EXPECTED = Path(__file__).with_name("smoke_expected.csv")
KEYS = ["section", "model", "train_corpus", "test_corpus", "target", "metric"]
TOLERANCE = {("msp-podcast", "uar"): 13.0, ("iemocap", "uar"): 30.0}  # UAR in %
TOLERANCE |= {(corpus, "pcc"): 0.2 for corpus in ("msp-podcast", "iemocap")}


def scores_of_study() -> pd.DataFrame:
    """UAR of the classes and r of the ratings that are learned, of every model on the test utterances."""
    rows = []
    for section in ("categories", "dimensions", "multitask"):
        table = results.read(STUDY, section).predictions
        table = table[(table["partition"] == "test") & learned(table)]
        for key, part in table.groupby(KEYS[1:5], observed=True):
            if key[-1] == EMOTION:
                score = 100 * metrics.unweighted_average_recall(part["truth"], part["prediction"], CLASSES)
            else:
                score = metrics.pearson_correlation(part["truth"].astype(float), part["prediction"].astype(float))
            rows.append((section, *key, "uar" if key[-1] == EMOTION else "pcc", round(score, 4)))
    return pd.DataFrame(rows, columns=[*KEYS, "score"]).astype(dict.fromkeys(KEYS, "str"))


def learned(predictions: pd.DataFrame) -> pd.Series:
    """Whether two epochs teach it: emotion and arousal, and valence to a model that reads, on the larger corpus."""
    reads = predictions["model"].isin(["bert", "sfcnn14", "mfcnn14"]) & (predictions["train_corpus"] == "msp-podcast")
    return predictions["target"].isin([EMOTION, "arousal"]) | (reads & (predictions["target"] == "valence"))


def compared(scores: pd.DataFrame) -> pd.DataFrame:
    """Each score beside the expected one, with their difference in tolerances."""
    expected = pd.read_csv(EXPECTED, dtype=dict.fromkeys(KEYS, "str"))
    both = expected.merge(scores, on=KEYS, how="outer", suffixes=("_expected", "_found"), indicator=True)
    return both.assign(off=(both["score_found"] - both["score_expected"]).abs() / tolerance(both))


def tolerance(scores: pd.DataFrame) -> pd.Series:
    """What is tolerated of each row of `scores`."""
    of = [TOLERANCE[row.train_corpus, row.metric] for row in scores.itertuples()]
    return pd.Series(of, scores.index)


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
