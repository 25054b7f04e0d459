"""Labels as other people write them -> the names of schema.py: `anger` is `angry`, `W` is what the reader is told."""

from collections.abc import Mapping

import pandas as pd

from sercore import schema
from sercore.corpora.corpus import Finding

MISSING = ("nan", "na", "n/a", "none", "null", "-")  # cells that mean: nothing is known
EMOTIONS = {
    "anger": "angry", "ang": "angry", "contempt": "contemptuous", "disgust": "disgusted", "dis": "disgusted",
    "excitement": "excited", "exc": "excited", "fear": "fearful", "fea": "fearful", "frustration": "frustrated",
    "fru": "frustrated", "happiness": "happy", "hap": "happy", "joy": "happy", "joyful": "happy", "neu": "neutral",
    "neutrality": "neutral", "sadness": "sad", "surprise": "surprised", "sur": "surprised",
}  # fmt: skip
GENDERS = {"f": "female", "w": "female", "woman": "female", "m": "male", "man": "male"}
PARTITIONS = {
    "training": "train", "dev": "development", "devel": "development", "val": "development", "valid": "development",
    "validation": "development", "eval": "test", "evaluation": "test", "testing": "test",
}  # fmt: skip
STYLES = {"improvisation": "improvised", "script": "scripted", "podcasts": "podcast"}
KNOWN = {
    "emotion": (schema.EMOTION_NAMES, EMOTIONS),
    "gender": (schema.GENDERS, GENDERS),
    "partition": (schema.PARTITIONS, PARTITIONS),
    "style": (schema.STYLES, STYLES),
}
"""Column -> its names, and other words for them, in lower case."""


def translate(labels: pd.Series, column: str, given: Mapping[str, str | None] | None = None) -> pd.Series:
    """`labels` in the names of `column` (emotion, gender, partition, style).

    `given` comes first: label -> name, None where it is to count as missing. Otherwise case does not matter, and the
    words of KNOWN are understood. Raises ValueError for labels that are not, with how often each occurs, and for a
    `given` name that is none.
    """
    names, words = KNOWN[column]
    given = {str(label): name for label, name in (given or {}).items()}
    for label, name in given.items():
        if name is not None and name not in names:
            raise ValueError(f"{column} '{label}' is to be '{name}'{schema.did_you_mean(str(name), names)}")
    found = labels.dropna().astype("str")
    mapping: dict[str, str | None] = {}
    strange = []
    for label in found.unique():
        plain = label.strip().lower()
        if label in given:
            mapping[label] = given[label]
        elif plain in names or plain in words:
            mapping[label] = words.get(plain, plain)
        else:
            strange.append(label)
    if strange:
        counts = found.value_counts()
        listed = schema.first((f"'{label}' ({counts[label]:,} times)" for label in sorted(strange)), 12)
        raise ValueError(
            f"{len(strange)} labels of {column} are not known: {listed}; known: {', '.join(names)}. "
            f"Say what each is called here, or leave it empty to count it as missing"
        )
    return labels.astype("str").where(labels.notna()).map(mapping, na_action="ignore")


def blank(table: pd.DataFrame, columns: tuple[str, ...]) -> tuple[pd.DataFrame, Finding]:
    """`table` whose cells that say nan, NA, none, null or - in `columns` are missing, and which they were."""
    met = []
    table = table.copy()
    for column in columns:
        if column in table:
            written = table[column].notna() & table[column].astype("str").str.strip().str.lower().isin(MISSING)
            met += [f"{name} ({column})" for name in table.loc[written, "utterance"]]
            table[column] = table[column].mask(written)
    return table, Finding.of("cells that say nan, NA or none", met, "taken as missing")
