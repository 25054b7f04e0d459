"""What every reader returns, a corpus and the defects of its release, and what several readers need for it.

Labels are translated into the names of schema.py: `anger` is `angry`, and `W` is what an option of the reader says.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import pandas as pd

from sercore import files, schema
from sercore.corpora import cells

SIMULATED = "SIMULATED.txt"  # a file of this name in a corpus's root says that its speech is synthesised
TEXTS = ("utterance", "speaker", "gender", "dialog", "style", "partition", "emotion", "transcript")
MAY_BE_BLANK = ("speaker", "gender", "dialog", "style", "partition", "emotion", *schema.DIMENSIONS, "seconds")
PATH_OPTIONS = ("root", "transcripts", "votes")  # of a corpus in a parameters file: relative to the project's folder


@dataclass(frozen=True)
class Finding:
    """A defect of a release, and what was done about it."""

    kind: str
    count: int
    examples: tuple[str, ...]
    meaning: str

    @classmethod
    def of(cls, kind: str, offenders: Iterable[object], meaning: str) -> Self:
        """The finding that `offenders` make; the first five are its examples."""
        offenders = offenders.to_numpy() if isinstance(offenders, pd.Series) else list(offenders)
        return cls(kind=kind, count=len(offenders), examples=tuple(map(str, offenders[:5])), meaning=meaning)


@dataclass(frozen=True)
class Corpus:
    """One release as it lies on disk; the audio of a row is `root / row.file`."""

    name: str
    root: Path
    scale: tuple[float, float]  # lowest and highest rating of arousal, valence and dominance
    utterances: pd.DataFrame  # the utterance table, see schema.UTTERANCE_COLUMNS
    findings: tuple[Finding, ...]
    simulated: bool
    other_transcripts: Mapping[str, Path] = field(default_factory=dict)
    """Name -> CSV, see transcripts.apply_transcripts."""
    read_votes: Callable[[], pd.DataFrame] | None = None
    """Reads what single raters said; None where the release does not have it."""
    with_sound: bool = True
    """Whether it has audio: that of an unpacked study has none."""

    @cached_property
    def votes(self) -> pd.DataFrame:
        """The votes table (schema.VOTE_COLUMNS), read when it is first asked for; empty where there is none.

        Raises ValueError, naming the file, where it cannot be read or is of another corpus.
        """
        votes = self.read_votes() if self.read_votes else pd.DataFrame(columns=list(schema.VOTE_COLUMNS))
        return schema.check_votes(votes, self.utterances["utterance"], str(self.root))

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Digests of what a run may depend on: `audio`, `transcripts`, and `table`, the rest of the utterance table.

        Of the audio it is the files' sizes, a file that is not there being of none: 62,140 files take a second or two.
        A recording that was replaced by one of the same size goes unnoticed here, but not in the keys of the cache.
        """
        rows = self.utterances.reindex(columns=[*schema.UTTERANCE_COLUMNS, *schema.group_columns(self.utterances)])
        sizes = rows[["utterance"]].assign(bytes=[_size(self.root / file) for file in rows["file"]])
        parts = {
            "table": rows.drop(columns="transcript"),
            "transcripts": rows[["utterance", "transcript"]],
            "audio": sizes,
        }
        return {name: _digest(part) for name, part in parts.items()}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _digest(table: pd.DataFrame) -> str:
    text = table.sort_values("utterance").to_csv(index=False, na_rep="\0", lineterminator="\n")
    return blake2b(text.encode(), digest_size=8).hexdigest()


def assemble(
    name: str,
    root: Path,
    scale: tuple[float, float],
    utterances: pd.DataFrame,
    findings: Iterable[Finding],
    read_votes: Callable[[], pd.DataFrame] | None = None,
) -> Corpus:
    """The corpus of a reader's table: tidy, checked, in the order of the ids, with the findings that found something.

    `read_votes` is as Corpus has it. Raises ValueError as schema.check_utterances does.
    """
    utterances, found = tidy(utterances)
    utterances = schema.check_utterances(utterances, str(root))
    findings = [*findings, *found, *doubts(utterances)]
    return Corpus(
        name=name,
        root=root,
        scale=scale,
        utterances=utterances.sort_values("utterance", ignore_index=True),
        findings=tuple(finding for finding in findings if finding.count),
        simulated=(root / SIMULATED).is_file(),
        read_votes=read_votes,
    )


def located(values: object, where: str) -> dict[str, Any]:
    """The options of corpora.read in `values`, a corpus's entry in a parameters file, with absolute paths.

    `where` is the entry's place, for errors. Raises ValueError where `values` is no mapping, or has no `root`, or its
    other_transcripts are no mapping.
    """
    if not isinstance(values, Mapping) or "root" not in values:
        raise ValueError(f"{where}: expected a mapping with the release's folder as `root`, found {values!r}")
    options = {key: str(files.resolve(value)) if key in PATH_OPTIONS else value for key, value in values.items()}
    others = options.get("other_transcripts")
    if others is not None:
        if not isinstance(others, Mapping):
            raise ValueError(f"{where}: expected other_transcripts as a mapping of names to files, found {others!r}")
        options["other_transcripts"] = {name: str(files.resolve(path)) for name, path in others.items()}
    return options


def locate(root: str | Path, expected: str) -> Path:
    """`root` as an absolute path of something that exists; a relative one is relative to the project's folder.

    Raises FileNotFoundError that says how far the path exists, what lies there, and what was `expected`.
    """
    path = files.resolve(root)
    if path.exists():
        return path.resolve()
    nearest = next(folder for folder in path.parents if folder.exists())
    raise FileNotFoundError(f"{path} does not exist; expected {expected}\n  {nearest} holds {contents(nearest)}")


def contents(folder: Path, most: int = 8) -> str:
    """The first few names in `folder`, for an error about what is not there."""
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir() if not entry.name.startswith("."))
    return schema.first(names, most) if names else "nothing"


def walk(top: Path, depth: int) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each folder from `top` down to `depth` levels below it: its path relative to `top`, its subfolders and its files.

    Sorted; links are followed, and the depth keeps a circle of them finite. A caller may take names out of the list of
    subfolders to leave them out. Hidden folders are left out.
    """
    for folder, subfolders, names in os.walk(top, followlinks=True):
        relative = Path(os.path.relpath(folder, top))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield relative.as_posix(), subfolders, sorted(names)
        if len(relative.parts) >= depth:
            subfolders.clear()


def out_of_scale(utterances: pd.DataFrame, scale: tuple[float, float]) -> list[str]:
    """`turn (dimension value)` of every rating outside `scale`; a missing rating is not outside."""
    outside = {
        dimension: utterances.loc[
            (utterances[dimension] < scale[0]) | (utterances[dimension] > scale[1]), ["utterance", dimension]
        ]
        for dimension in schema.DIMENSIONS
    }
    return [
        f"{utterance} ({dimension} {rating:g})"
        for dimension, rows in outside.items()
        for utterance, rating in zip(rows["utterance"], rows[dimension], strict=True)
    ]


def missing_ratings(utterances: pd.DataFrame) -> list[str]:
    """`turn (dimension)` of every rating that is missing."""
    return [
        f"{utterance} ({dimension})"
        for dimension in schema.DIMENSIONS
        for utterance in utterances["utterance"][utterances[dimension].isna()]
    ]


def check_tolerance(tolerance: float) -> None:
    """Raise ValueError where `tolerance`, a share of the labelled turns, is outside 0 to 1."""
    if not 0 <= tolerance <= 1:
        raise ValueError(f"tolerance is {tolerance}; expected a share of the labelled turns, 0 to 1")


def id_of(file: str) -> str:
    """An utterance id made of the path `file`: its folders and name, without the suffix."""
    return Path(file).with_suffix("").as_posix().replace("/", "-")


EMOTIONS = {
    "afraid": "fearful",
    "anger": "angry",
    "ang": "angry",
    "contempt": "contemptuous",
    "disgust": "disgusted",
    "dis": "disgusted",
    "excitement": "excited",
    "exc": "excited",
    "fear": "fearful",
    "fea": "fearful",
    "frustration": "frustrated",
    "fru": "frustrated",
    "happiness": "happy",
    "hap": "happy",
    "joy": "happy",
    "joyful": "happy",
    "neu": "neutral",
    "neutrality": "neutral",
    "sadness": "sad",
    "scared": "fearful",
    "surprise": "surprised",
    "sur": "surprised",
}
GENDERS = {"f": "female", "w": "female", "woman": "female", "m": "male", "man": "male"}
PARTITIONS = {
    "training": "train",
    "trn": "train",
    "dev": "development",
    "devel": "development",
    "val": "development",
    "valid": "development",
    "validation": "development",
    "eval": "test",
    "evaluation": "test",
    "testing": "test",
    "tst": "test",
}
STYLES = {
    "improvisation": "improvised",
    "improv": "improvised",
    "impro": "improvised",
    "script": "scripted",
    "podcasts": "podcast",
}
KNOWN = {
    "emotion": (schema.EMOTION_NAMES, EMOTIONS),
    "gender": (schema.GENDERS, GENDERS),
    "partition": (schema.PARTITIONS, PARTITIONS),
    "style": (schema.STYLES, STYLES),
}
"""Column -> its names, and other words for them, in lower case."""


def translate(
    labels: pd.Series,
    column: str,
    given: Mapping[str, str | None] | None = None,
    where: str = "",
    place: Callable[[int], str] | None = None,
) -> pd.Series:
    """`labels` in the names of `column` (emotion, gender, partition, style), missing where they say that none is known.

    Labels in `given` have the name there, None for missing. All others are looked up in KNOWN, whatever their case.
    Raises ValueError, naming `where`, for unknown labels, with how often each occurs and, by `place`, which says where
    a row is, where first; and for a label or an unknown name in `given` that is no text.
    """
    names, words = KNOWN[column]
    before = f"{where}: " if where else ""
    given = _texts(given or {}, column, before)
    for label, name in given.items():
        if name is not None and name not in names:
            raise ValueError(f"{before}{column} '{label}' is to be '{name}'{schema.did_you_mean(str(name), names)}")
    labels = cells.as_text(labels).astype("str").where(labels.notna())
    present = labels.dropna()
    mapping: dict[str, str | None] = {}
    unknown = []
    for label in present.unique():
        plain = label.lower()
        if label in given:
            mapping[label] = given[label]
        elif plain in names or plain in words:
            mapping[label] = words.get(plain, plain)
        elif cells.is_blank(label):
            mapping[label] = None
        else:
            unknown.append(label)
    if unknown:
        counts = present.value_counts()
        first = {label: f", first in {place(present.index[present == label][0])}" for label in unknown} if place else {}
        listed = schema.first(
            (f"'{label}' ({counts[label]:,} times{first.get(label, '')})" for label in sorted(unknown)), 12
        )
        close = schema.did_you_mean(min(unknown).lower(), [*names, *words])
        hint = ", as emotions: {W: angry} (--emotions W=angry)" if column == schema.EMOTION else ""
        raise ValueError(
            f"{before}{len(unknown)} labels of {column} are not known: {listed}"
            f"{close if close.startswith('; did') else ''}; known: {', '.join(names)}. "
            f"Say what each is called here{hint}, or leave it empty to count it as missing"
        )
    return cells.translated(labels, mapping.__getitem__)


def _texts(given: Mapping[Any, str | None], column: str, before: str) -> dict[str, str | None]:
    """`given` with clean text as its keys. Raises ValueError for yes and no, which YAML reads as True and False."""
    for label in given:
        if isinstance(label, bool) or label is None:
            raise ValueError(
                f"{before}a label of {column} is {label}, not text; write it in quotes, as 'yes', 'no', 'on' or 'null'"
            )
    return {cells.clean(str(label)): name for label, name in given.items()}


def unused(given: Mapping[str, str | None] | None, labels: pd.Series, column: str, where: Path) -> Finding:
    """The finding of the labels in `given` that no cell of `labels` has. Raises ValueError as `translate` does."""
    there = set(cells.as_text(labels).dropna().astype("str"))
    idle = [label for label in _texts(given or {}, column, f"{where}: ") if label not in there]
    return Finding.of(f"label of {column} that is named and never there", idle, "ignored; is it spelt as in the table?")


def tidy(table: pd.DataFrame, spared: Iterable[str] = ()) -> tuple[pd.DataFrame, list[Finding]]:
    """`table` with clean text in its cells, missing where they say so (cells.BLANKS), and findings of these.

    `spared` are labels of emotion that stand for themselves. The names of files stay as they are, and so do the words
    of transcripts: nan, none and unknown are said by people.
    """
    table = table.copy(deep=False)
    written = []
    kept = {cells.clean(str(label)) for label in spared}
    groups = schema.group_columns(table)
    for column in [*table.columns.intersection(TEXTS), *groups]:
        table[column] = cells.as_text(table[column])
    for column in [*table.columns.intersection(MAY_BE_BLANK), *groups]:
        if pd.api.types.is_numeric_dtype(table[column].dtype):
            continue
        blank = cells.are_blank(table[column])
        if column == schema.EMOTION:
            blank &= ~table[column].isin(list(kept))
        if blank.any():
            said = blank & (table[column] != "")
            written += [f"{name} ({column})" for name in table.loc[said, "utterance"]]
            table[column] = table[column].mask(blank)
    words = table["transcript"] if "transcript" in table else pd.Series("", table.index)
    return table, [
        Finding.of("cells that say nan, NA or none", written, "taken as missing"),
        Finding.of(
            "transcript that says nan, NA or none",
            table["utterance"][cells.are_blank(words) & (words != "")],
            "kept as what was said; empty the cell where nothing is known",
        ),
    ]


def doubts(utterances: pd.DataFrame) -> list[Finding]:
    """Oddities of the speakers: names that may be one person's, and speakers of more than one partition."""
    known = utterances.dropna(subset="speaker")
    voices = known["speaker"].map({name: cells.voice(name) for name in known["speaker"].unique()})
    homes = known["partition"].groupby(voices).nunique()
    torn = known["speaker"][voices.isin(homes.index[homes > 1])].unique()
    return [
        Finding.of(
            "speakers that may be one person",
            cells.doubted(known["speaker"].value_counts().sort_index().to_dict()),
            "kept apart",
        ),
        Finding.of(
            "speaker in more than one partition",
            torn,
            "refused by runs; columns: {partition: null} drops them",
        ),
    ]
