"""Whether the words of an utterance can tell its emotion: is its sentence said in one way, or in every way?

A sentence that is spoken in every emotion, as all of EMO-DB and the common sentences of the embedded corpora are,
leaves only the voice to go by.
"""

import numpy as np
import pandas as pd

from sercore.schema import EMOTION

TELL, NOTHING, MISLEAD = "tell", "tell nothing", "mislead"
LABELS = {TELL: "words tell", NOTHING: "words tell nothing", MISLEAD: "words mislead"}
FEWEST = 6  # times that a sentence must have been said, to be known as one that tells nothing
SPREAD = 0.5  # of what a sentence leaves open, against what the corpus does


def telling(utterances: pd.DataFrame) -> pd.Series:
    """TELL or NOTHING for each row of the utterance table; missing where the transcript is.

    A sentence tells nothing where it was said at least FEWEST times and leaves open what the emotion is: the entropy of
    its emotions (in a corpus without emotions, the deviation of its valence) is at least SPREAD of that of all
    utterances. Sentences are the same where their letters are, whatever their case and punctuation.
    """
    sentence = utterances["transcript"].astype("object").map(_plain, na_action="ignore")
    words = pd.Series(TELL, index=utterances.index, dtype="object").where(sentence.notna())
    measure = _entropy if utterances[EMOTION].notna().any() else _deviation
    column = EMOTION if measure is _entropy else "valence"
    known = utterances[column].dropna()
    if known.nunique() < 2:
        return words
    for _, part in known.groupby(sentence[known.index]):
        if len(part) >= FEWEST and measure(part) >= SPREAD * measure(known):
            words[sentence == sentence[part.index[0]]] = NOTHING
    return words


def _plain(text: str) -> str:
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.casefold()).split())


def _entropy(values: pd.Series) -> float:
    shares = values.value_counts(normalize=True)
    return float(-(shares * np.log2(shares)).sum())


def _deviation(values: pd.Series) -> float:
    return float(values.std(ddof=0))
