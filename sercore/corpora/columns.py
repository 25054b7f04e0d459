"""Which column of a table that somebody has made is which of ours: by its name, and by what stands in it."""

import re
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sercore import schema
from sercore.corpora import cells
from sercore.corpora.corpus import KNOWN
from sercore.corpora.sound import AUDIO

OTHER_NAMES = {
    "utterance": "id utt uttid utteranceid fileid segmentid clipid key turn turnname filename name",
    "file": "path filepath filename wav wavpath wavfile audio audiopath audiofile clip fname recording media fileid",
    "speaker": "spk spkr spkid speakerid speakername actor actorid clientid subject subjectid participant talker voice",
    "gender": "sex speakergender spkgender",
    "dialog": "dialogue dialogid dialogueid session sessionid conversation episode podcast",
    "style": "speakingstyle",
    "partition": "split splitset subset set usage",
    "transcript": "transcription text sentence words utterance utterancetext content",
    "emotion": "label emo emotionlabel emotionclass emoclass majorityemotion category class affect feeling",
    "arousal": "activation act emoact aro",
    "valence": "val emoval pleasure",
    "dominance": "dom emodom control",
    "seconds": "duration dur length durationseconds lengthseconds durations",
}
"""Our column -> other names of it, without signs and in lower case, the likeliest first."""
GROUPS = "age agegroup language lang accent dialect ethnicity race nationality country microphone device room intensity"
"""Names of columns whose values group utterances, likewise."""
FEW = 12  # values of a column that groups, at most
LOOKED_AT = 2_000  # cells of a column
MISSPELT = 0.8  # likeness of two names, of which one is the other misspelt
WIDTH = 118  # characters of a printed line
LONGEST = 100  # median duration of utterances [s]: longer ones are in milliseconds or samples
SCALES = ((1, 5), (1, 7), (1, 9), (0, 1), (-1, 1), (0, 10), (0, 100))  # of ratings, the likeliest first


class Proposal(NamedTuple):
    """What the columns of a table are."""

    names: Mapping[str, str]  # theirs -> ours, of those that are called otherwise
    groups: tuple[str, ...]  # theirs, whose values group utterances
    aside: tuple[str, ...]  # theirs, of which nothing is made


def spelt(name: str) -> str:
    """The name of ours that `name` is, but for case, spaces and signs; else `name`."""
    plain = _plain(name)
    return plain if plain in schema.UTTERANCE_COLUMNS else name


def misspelt(name: str, columns: Mapping[str, object]) -> str | None:
    """The one of `columns` that `name` is but for a letter or two; None where there is none, and for other names."""
    if any(_plain(name) in others.split() for others in OTHER_NAMES.values()):
        return None
    likeness = {column: SequenceMatcher(None, _plain(name), column).ratio() for column in columns}
    nearest = max(likeness, key=lambda column: likeness[column], default=None)
    return nearest if nearest is not None and likeness[nearest] >= MISSPELT else None


def propose(table: pd.DataFrame) -> Proposal:
    """Which column of `table`, texts or numbers, is which of the utterance table.

    A column of our name is ours, but for one that cannot be: an `utterance` whose cells are sentences. Of other names
    the likeliest whose cells fit is taken; audio files and emotions are also known by the cells alone.
    """
    held = {name: table[name].dropna().head(LOOKED_AT) for name in table.columns}
    taken: dict[str, str] = {}  # ours -> theirs

    def take(ours: str, names: list[str], fits: Callable[[pd.Series], bool]) -> None:
        free = [name for name in names if name not in taken.values()]
        chosen = next((name for name in free if len(held[name]) and fits(held[name])), None)
        if ours not in taken and chosen is not None:
            taken[ours] = chosen

    for ours in schema.UTTERANCE_COLUMNS:
        take(ours, [name for name in held if _plain(name) == ours], partial(_may_be, ours))
    for ours, others in OTHER_NAMES.items():
        named = [name for other in others.split() for name in held if _plain(name) == other]
        near = [name for name in held if misspelt(name, {ours: None}) and spelt(name) == name]
        take(ours, [*named, *near], partial(_may_be, ours))
    take("file", list(held), _are_files)
    take("emotion", list(held), lambda values: values.nunique() > 1 and _are_known("emotion", values))
    used = set(taken.values())
    groups = tuple(
        name for name in held if name not in used and _plain(name) in GROUPS.split() and 1 < held[name].nunique() <= FEW
    )
    return Proposal(
        names={theirs: ours for ours, theirs in taken.items() if theirs != ours},
        groups=groups,
        aside=tuple(name for name in held if name not in used and name not in groups),
    )


def describe(table: pd.DataFrame, proposal: Proposal, shown: int = 3) -> list[str]:
    """A line to print for each column of `table`: what it is, its name, and the first few of its values."""
    lines = []
    for name in table.columns:
        what = proposal.names.get(name) or ("(group)" if name in proposal.groups else spelt(name))
        what = "(kept aside)" if name in proposal.aside else what
        different = table[name].dropna().astype("str").unique()
        lines.append(f"{what:<13} {name}: {len(different):,} different, {schema.first(different, shown)}"[:WIDTH])
    return lines


def scale_of(ratings: pd.DataFrame) -> tuple[float, float]:
    """The first of SCALES that all `ratings`, numbers, lie in; (1, 5) where there are none, or in no scale."""
    numbers = ratings.stack()
    fitting = (scale for scale in SCALES if len(numbers) and numbers.between(*scale).all())
    return next(fitting, SCALES[0])


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", str(name).casefold())


def _may_be(ours: str, values: pd.Series) -> bool:
    """Whether the cells `values`, of which none is missing, may be those of our column `ours`."""
    if ours in schema.NUMBERS:
        numbers = pd.to_numeric(cells.with_points(values), errors="coerce")[~cells.are_blank(values)]
        return (
            len(numbers) > 0 and bool(numbers.notna().all()) and not (ours == "seconds" and numbers.median() > LONGEST)
        )
    if ours in ("gender", "partition", "style"):
        return _are_known(ours, values)
    if ours == "utterance":
        return values.is_unique and not _are_sentences(values)
    if ours in ("file", "transcript"):
        return not pd.api.types.is_numeric_dtype(values.dtype) and (ours == "transcript" or not _are_sentences(values))
    return True


def _are_known(column: str, values: pd.Series) -> bool:
    """Whether each of the labels `values` is a name of `column`, or another word for one, or says that none is."""
    names, words = KNOWN[column]
    labels = cells.as_text(values).astype("str").str.lower().unique()
    return all(label in names or label in words or cells.is_blank(label) for label in labels)


def _are_files(values: pd.Series) -> bool:
    """Whether most of the texts `values` end as audio files do."""
    return bool(values.astype("str").map(lambda text: Path(text).suffix.lower() in AUDIO).mean() > 0.5)


def _are_sentences(values: pd.Series) -> bool:
    return bool(values.astype("str").str.contains(r"\s").mean() > 0.5) and not _are_files(values)
