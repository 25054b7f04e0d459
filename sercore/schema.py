"""The two tables that the study is made of, and the names that every part of it uses.

Utterances come from a corpus on disk, one row each; predictions come from a run, one row per utterance and
target. Whatever reads or writes either goes through the checks here, so that the halves of the study agree.

What stands below every table and figure: what was trained, selected and tested on what, with which settings.

A number is only as good as the sentence that says where it comes from, so these are made from the study itself.
"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

DIMENSIONS = ("arousal", "valence", "dominance")  # the order of every array of dimensions, whatever a corpus writes
EMOTION = "emotion"
TARGETS = (EMOTION, *DIMENSIONS)
CLASSES = ("angry", "happy", "neutral", "sad")  # the paper's four (section 4.2), in the order of its figures

EMOTION_NAMES = (
    "angry",
    "contemptuous",
    "disgusted",
    "excited",
    "fearful",
    "frustrated",
    "happy",
    "neutral",
    "other",
    "sad",
    "surprised",
)
FOUR_CLASSES: dict[str, tuple[str, ...]] = {
    "angry": ("angry",),
    "happy": ("happy", "excited"),
    "neutral": ("neutral",),
    "sad": ("sad",),
}
"""Class -> the corpus's emotions that count as it (section 4.2); all others are dropped for categories."""

PARTITIONS = ("train", "development", "test")
STYLES = ("improvised", "scripted", "podcast")
GENDERS = ("female", "male")

UTTERANCE_COLUMNS = {
    "utterance": "unique id",
    "file": "audio file, relative to the corpus's root",
    "speaker": "who talks; missing where the corpus does not know",
    "gender": "female or male; missing where the corpus does not know",
    "dialog": "recording or podcast that the utterance was cut from",
    "style": "improvised, scripted or podcast",
    "partition": "train, development or test; missing where the corpus has no official split",
    "transcript": "what was said; missing where nothing is known, empty where nothing was said",
    "emotion": "the raters' category in schema.EMOTION_NAMES; missing where they did not agree",
    "arousal": "mean rating on the corpus's own scale",
    "valence": "mean rating on the corpus's own scale",
    "dominance": "mean rating on the corpus's own scale",
    "seconds": "duration of the audio",
}
NUMBERS = (*DIMENSIONS, "seconds")  # columns of an utterance table that hold them
REQUIRED_UTTERANCE_COLUMNS = ("utterance", "file", "speaker")

GROUP = "group_"  # prefix of other columns of a corpus, as group_age, by whose values scores are given

VOTE_COLUMNS = {
    "utterance": "id in the utterance table",
    "rater": "who judged it",
    "self_rated": "whether that is who talks",
    "emotion": "what the rater called it, in schema.EMOTION_NAMES; missing where the rater named none",
    "arousal": "the rater's rating on the corpus's own scale",
    "valence": "the rater's rating on the corpus's own scale",
    "dominance": "the rater's rating on the corpus's own scale",
}
"""Of a votes table, which a corpus may have beside its utterances; see corpora.votes."""

MEL_STATISTICS = "mel statistics"  # the model of a baseline's predictions: training.baseline
RUN_KEYS = ("section", "model", "train_corpus", "test_corpus", "fold", "seed")
PREDICTION_COLUMNS = {
    "section": "categories, dimensions, multitask",
    "model": "a name of registry.MODELS",
    "train_corpus": "corpus that the model was trained on",
    "test_corpus": "corpus that it is evaluated on",
    "fold": "split of the training corpus: official, or the name of the left-out speaker",
    "seed": "seed of the run",
    "partition": "development or test",
    "utterance": "id in the test corpus",
    "speaker": "who talks; missing where unknown",
    "gender": "female or male; missing where unknown",
    "style": "improvised, scripted or podcast",
    "target": "emotion, arousal, valence or dominance",
    "truth": "class name, or the mean rating on the test corpus's scale",
    "prediction": "class name, or the predicted rating on the training corpus's scale",
    "simulated": "whether either corpus is made of synthesised speech",
}
PROBABILITY = "p_"  # prefix of one column a class, in predictions of emotions


def first(items: Iterable[object], most: int = 5) -> str:
    """The first few of `items`, for an error that names its offenders."""
    texts = [str(item) for item in items]
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest


def are(count: int) -> str:
    """`is` of one, `are` of others: the verb of `count` things."""
    return "is" if count == 1 else "are"


def printable(text: object) -> str:
    """`text` as it can be printed and written: bytes of a file's name that are no UTF-8 are escaped."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known name is close to `name`, else the list of known names."""
    known = list(known)
    close = get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"


def map_emotions(emotions: pd.Series, classes: Mapping[Any, Any]) -> pd.Series:
    """Class of each utterance under `classes` (class -> emotions that count as it), missing where none fits.

    Raises ValueError for an emotion that no corpus uses, for one that is counted as two classes, and for members that
    are no list.
    """
    mapping: dict[str, str] = {}
    for name, members in classes.items():
        if isinstance(name, bool) or isinstance(members, str) or not isinstance(members, Iterable):
            raise ValueError(
                f"class {name!r} counts {members!r}; expected a name (yes, no, on and off are written in quotes) and "
                "the list of the emotions that count as it, as {angry: [angry]}"
            )
        for member in members:
            if member not in EMOTION_NAMES:
                raise ValueError(
                    f"class '{name}' counts an unknown emotion '{member}'{did_you_mean(member, EMOTION_NAMES)}"
                )
            if member in mapping:
                raise ValueError(
                    f"emotion '{member}' counts as both '{mapping[member]}' and '{name}': choose one class"
                )
            mapping[member] = name
    return emotions.map(mapping).astype("str").where(emotions.isin(list(mapping)))


def group_columns(table: pd.DataFrame) -> list[str]:
    """The columns of an utterance or predictions table that a corpus has of its own, to group by."""
    return [column for column in table.columns if str(column).startswith(GROUP)]


def check_utterances(
    utterances: pd.DataFrame, source: str, place: Callable[[int], str] = lambda row: f"row {row + 1}"
) -> pd.DataFrame:
    """`utterances` with every column of the utterance table, in its order, its values checked; then the groups.

    Optional columns that are absent are added as missing. `source` (a file or folder) is named in errors; `place` says
    where a row, counted from 0, is in it.
    Raises ValueError for an unknown or absent column, and, with all that is wrong, for a duplicate or missing id, a
    value outside a column's names, and a rating or duration that is not a number. Missing ratings and emotions are
    allowed.
    """
    groups = group_columns(utterances)
    for column in utterances.columns:
        if column not in UTTERANCE_COLUMNS and column not in groups:
            raise ValueError(f"{source}: unknown column '{column}'{did_you_mean(column, UTTERANCE_COLUMNS)}")
    absent = [column for column in REQUIRED_UTTERANCE_COLUMNS if column not in utterances.columns]
    if absent:
        raise ValueError(
            f"{source}: no column {', '.join(absent)}; an utterance table needs {', '.join(REQUIRED_UTTERANCE_COLUMNS)}"
        )
    if not len(utterances):
        raise ValueError(f"{source}: no utterances; expected one row per utterance")
    table = utterances.reset_index(drop=True)
    for column in UTTERANCE_COLUMNS:
        if column not in table:
            table[column] = pd.Series(np.nan, table.index, dtype="float64" if column in NUMBERS else "str")
    table = table[[*UTTERANCE_COLUMNS, *groups]]
    problems = []
    for column in ("utterance", "file"):
        missing = table.index[table[column].isna()]
        if len(missing):
            where = first(map(place, missing))
            problems.append(f"{len(missing)} rows have no {column}, {where}; fill them or drop the rows")
    twice = table["utterance"][repeated(table["utterance"])].dropna().drop_duplicates()
    if len(twice):
        again = first(f"{name} (again in {place(row)})" for row, name in twice.items())
        problems.append(f"{len(twice)} utterances occur twice, {again}; every id must be unique")
    names = {"gender": GENDERS, "style": STYLES, "partition": PARTITIONS, "emotion": EMOTION_NAMES}
    for column, known in names.items():
        wrong = table[column].dropna()
        wrong = wrong[~wrong.isin(known)]
        if len(wrong):
            value = str(wrong.iloc[0])
            where = first(table.loc[wrong.index, "utterance"])
            problems.append(f"{column} is '{value}' at {where}{did_you_mean(value, known)}")
    for column in NUMBERS:
        numbers = _numbers(table[column])
        wrong = table.index[numbers.isna() & table[column].notna()]
        if len(wrong):
            offenders = first(f"{table.at[i, 'utterance']} ('{table.at[i, column]}', {place(i)})" for i in wrong)
            problems.append(f"{column} is not a number at {offenders}; leave it empty where it is not known")
        table[column] = numbers
    if len(wrong := table.index[(table["seconds"] <= 0) | np.isinf(table["seconds"])]):
        offenders = first(f"{table.at[i, 'utterance']} ({table.at[i, 'seconds']:g})" for i in wrong)
        problems.append(f"seconds is no duration at {offenders}; leave it empty where it is not known")
    if problems:
        raise ValueError(f"{source}: " + "\n  ".join(problems))
    for column in table.columns:
        if column not in NUMBERS and table[column].dtype != "str":
            table[column] = table[column].astype("str").where(table[column].notna())
    return table


def check_votes(votes: pd.DataFrame, utterances: pd.Series, source: str) -> pd.DataFrame:
    """`votes` with all columns of a votes table, those on `utterances` alone, in the order of their ids.

    Raises ValueError, naming `source`, where there are votes and none is on one of them.
    """
    table = votes.reset_index(drop=True)
    defaults = {"self_rated": False, EMOTION: None, **dict.fromkeys(DIMENSIONS, np.nan)}
    table = table.assign(**{column: value for column, value in defaults.items() if column not in table})
    named = table[EMOTION].notna()
    kinds = {"self_rated": "bool", EMOTION: "str", **dict.fromkeys(DIMENSIONS, "float64")}
    table = table.reindex(columns=list(VOTE_COLUMNS)).astype(kinds)
    table[EMOTION] = table[EMOTION].where(named)
    known = table["utterance"].isin(utterances)
    if len(table) and not known.any():
        raise ValueError(
            f"{source}: none of {len(table):,} votes, on {first(table['utterance'].unique(), 3)}, is on one of the "
            f"corpus's utterances, {first(utterances, 3)}; write the ids as the corpus does"
        )
    return table[known].sort_values("utterance", kind="stable", ignore_index=True)


def repeated(texts: pd.Series) -> pd.Series:
    """Whether each of `texts` is there before it already; all that are missing are alike."""
    return pd.Series(pd.factorize(texts)[0], index=texts.index).duplicated()  # without a million Python texts


def _numbers(column: pd.Series) -> pd.Series:
    """`column` as float64, NaN where it is missing or no number."""
    if column.dtype == "float64":
        return column
    try:  # of a million texts without as many Python objects
        numbers = pa.array(column, from_pandas=True).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        return pd.to_numeric(column, errors="coerce").astype("float64")
    return pd.Series(numbers, index=column.index)


def probability_columns(predictions: pd.DataFrame) -> list[str]:
    """The columns of `predictions` that hold one class's probability each."""
    return [column for column in predictions.columns if column.startswith(PROBABILITY)]


def check_predictions(predictions: pd.DataFrame, source: str) -> pd.DataFrame:
    """`predictions` as they are, checked: columns, unique rows, known targets, numbers that are finite.

    Raises ValueError naming `source` and the first offenders.
    """
    absent = [column for column in PREDICTION_COLUMNS if column not in predictions.columns]
    if absent:
        raise ValueError(f"{source}: no column {', '.join(absent)} in a predictions table")
    unknown = [c for c in predictions.columns if c not in PREDICTION_COLUMNS and not c.startswith((PROBABILITY, GROUP))]
    if unknown:
        raise ValueError(f"{source}: unknown columns {', '.join(unknown)} in a predictions table")
    targets = set(predictions["target"]) - set(TARGETS)
    if targets:
        raise ValueError(f"{source}: unknown target {first(sorted(targets))}; known: {', '.join(TARGETS)}")
    twice = predictions[predictions.duplicated([*RUN_KEYS, "partition", "utterance", "target"])]
    if len(twice):
        raise ValueError(f"{source}: {len(twice)} predictions are there twice, of {first(twice['utterance'].unique())}")
    numbers = predictions.loc[predictions["target"] != EMOTION, ["utterance", "prediction"]]
    infinite = numbers[pd.to_numeric(numbers["prediction"], errors="coerce").isna()]
    if len(infinite):
        raise ValueError(
            f"{source}: {len(infinite)} predictions are not finite, of {first(infinite['utterance'].unique())}"
        )
    return predictions
