"""What the corpora of a study contain, before anything is trained: classes, ratings, durations, shared transcripts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from sercore import registry
from sercore.analysis.figures import drawing
from sercore.analysis.results import read_corpus
from sercore.analysis.tables import Table
from sercore.corpora import Corpus, splits
from sercore.schema import CLASSES, DIMENSIONS, FOUR_CLASSES, GENDERS, PARTITIONS, map_emotions
from sercore.study import config

SHADES = {"train": "#BBBBBB", "development": "#56B4E9", "test": "#0072B2", "no partition": "#009E73"}
GENDER_COLOURS = {"female": "#D55E00", "male": "#0072B2", "unknown": "#BBBBBB"}
NO_PARTITION = "no partition"


def read(study: config.Study) -> list[Corpus]:
    """The corpora of `study`, in the paper's order."""
    return [read_corpus(study, name) for name in sorted(study.corpora, key=registry.CORPORA.position)]


def counts(corpora: Sequence[Corpus]) -> pd.DataFrame:
    """Utterances, speakers, hours and class counts of each corpus and partition, one row each.

    Columns: corpus, partition, utterances, speakers (known), female, male, hours, and the four classes (section 4.2).
    """
    rows = []
    for corpus in corpora:
        table = _with_classes(corpus)
        for partition, part in table.groupby("partition", sort=False):
            speakers = part.drop_duplicates("speaker").dropna(subset="speaker")
            genders = {gender: int((speakers["gender"] == gender).sum()) for gender in GENDERS}
            classes = {name: int((part["class"] == name).sum()) for name in CLASSES}
            hours = part["seconds"].sum() / 3600
            rows.append(
                {
                    "corpus": corpus.name,
                    "partition": partition,
                    "utterances": len(part),
                    "speakers": len(speakers),
                    **genders,
                    "hours": hours,
                    **classes,
                }
            )
    order = {name: place for place, name in enumerate([*PARTITIONS, NO_PARTITION])}
    table = pd.DataFrame(rows)
    table = table.assign(place=table["partition"].map(order), of=table["corpus"].map(registry.CORPORA.position))
    return table.sort_values(["of", "place"], ignore_index=True).drop(columns=["of", "place"])


def overlaps(corpora: Sequence[Corpus]) -> pd.DataFrame:
    """Speakers, dialogs and transcripts that partitions of a fold have in common, and the share of turns with these.

    Columns: corpus, fold, those of splits.overlap. The folds are the official split, else those that are made for it.
    """
    parts = []
    for corpus in corpora:
        official = corpus.utterances["partition"].notna().any()
        if official:
            folds = [splits.official(splits.with_development(corpus.utterances), allow_speaker_leakage=True)]
        else:
            folds = splits.default_splits(corpus.utterances)
        for split in folds:
            shared = splits.overlap(split, corpus.utterances)
            shared.insert(0, "fold", split.name)
            shared.insert(0, "corpus", corpus.name)
            parts.append(shared)
    return pd.concat(parts, ignore_index=True)


def table(corpora: Sequence[Corpus]) -> Table:
    """The counts of the corpora as a table, and below it how many test transcripts the training set has too."""
    numbers = counts(corpora)
    shown = numbers.assign(
        hours=numbers["hours"].map("{:.2f}".format), corpus=numbers["corpus"].map(registry.CORPORA.label)
    )
    frame = shown.astype(str).set_index(["corpus", "partition"])
    classes = [("classes" if name in CLASSES else "counts", name) for name in frame.columns]
    frame.columns = pd.MultiIndex.from_tuples(classes)
    shared = overlaps(corpora)
    shared = shared[(shared["partition"] == "test") & (shared["seen_in"] == "train")]
    shares = []
    for name, folds in shared.groupby("corpus", sort=False):
        low, high = folds["share"].min(), folds["share"].max()
        shares.append(
            f"{registry.CORPORA.label(name)}: {low:.0%} to {high:.0%} of the test turns of a fold have a transcript "
            f"that the training set has too, ignoring case and punctuation ({len(folds)} folds)."
        )
    defects = tuple(
        f"{registry.CORPORA.label(corpus.name)}: {finding.count} x {finding.kind}: {finding.meaning}"
        for corpus in corpora
        for finding in corpus.findings
    )
    simulated = [registry.CORPORA.label(corpus.name) for corpus in corpora if corpus.simulated]
    made = (f"Simulated: the speech of {' and '.join(simulated)} is synthesised.",) if simulated else ()
    title = "The corpora of the study" + (", simulated speech" if simulated else "")
    return Table("corpora", title, frame, numbers, (*made, *shares, *defects))


def plot_classes(corpora: Sequence[Corpus]) -> Figure:
    """Utterances of each emotion that the raters agreed on, by partition; in bold those that count as a class."""
    with drawing(len(corpora), 1, (6, 5.4), any(corpus.simulated for corpus in corpora)) as (figure, axes):
        figure.suptitle("bold: one of the four classes")
        for axis, corpus in zip(axes.flat, corpora, strict=True):
            table = _with_classes(corpus).assign(emotion=lambda rows: rows["emotion"].fillna("no agreement"))
            wide = table.groupby(["emotion", "partition"]).size().unstack(fill_value=0)
            wide = wide.reindex(columns=[name for name in SHADES if name in wide])
            wide = wide.loc[wide.sum(axis=1).sort_values().index]
            wide.plot.barh(stacked=True, color=SHADES, ax=axis, width=0.8, legend=len(wide.columns) > 1)
            axis.set(title=registry.CORPORA.label(corpus.name), xlabel="utterances", ylabel="")
            axis.grid(visible=False, axis="y")
            for label in axis.get_yticklabels():
                label.set_fontweight("bold" if label.get_text() in sum(FOUR_CLASSES.values(), ()) else "normal")
    return figure


def plot_ratings(corpora: Sequence[Corpus]) -> Figure:
    """How the mean ratings of arousal, valence and dominance are distributed, each corpus on its own scale."""
    with drawing(len(DIMENSIONS), len(corpora), (4.6, 3.6), any(corpus.simulated for corpus in corpora)) as (
        figure,
        axes,
    ):
        for row, corpus in zip(axes, corpora, strict=True):
            for axis, dimension in zip(row, DIMENSIONS, strict=True):
                values = corpus.utterances[dimension].dropna()
                sns.histplot(x=values, bins=np.linspace(*corpus.scale, 25), color="#0072B2", ax=axis, edgecolor="white")
                axis.axvline(values.mean(), color="black", linestyle="--")
                title = f"{registry.CORPORA.label(corpus.name)}, {dimension}"
                axis.set(title=title, xlabel="mean rating", ylabel="utterances" if axis is row[0] else "")
                axis.set_xlim(*corpus.scale)
        figure.suptitle("dashed: the mean")
    return figure


def plot_durations_and_speakers(corpora: Sequence[Corpus]) -> Figure:
    """How long utterances are, and how many each known speaker has, by gender."""
    with drawing(2, len(corpora), (6, 3.8), any(corpus.simulated for corpus in corpora)) as (figure, axes):
        for (left, right), corpus in zip(axes, corpora, strict=True):
            sns.histplot(x=corpus.utterances["seconds"].dropna(), bins=30, color="#0072B2", ax=left, edgecolor="white")
            left.set(title=registry.CORPORA.label(corpus.name), xlabel="duration (s)", ylabel="utterances")
            known = corpus.utterances.dropna(subset="speaker")
            speakers = known.groupby("speaker").agg(size=("utterance", "size"), gender=("gender", "first"))
            speakers = speakers.sort_values("size", ascending=False)
            genders = speakers["gender"].fillna("unknown")
            for gender, colour in GENDER_COLOURS.items():
                places = np.flatnonzero(genders == gender)
                if len(places):
                    right.bar(places, speakers["size"].iloc[places], color=colour, label=gender, width=0.8)
            right.set(
                title=f"{registry.CORPORA.label(corpus.name)}, {len(speakers)} speakers",
                xlabel="speaker",
                ylabel="utterances",
            )
            right.set_xticks([])
            right.margins(y=0.25)
            if len(speakers):
                right.legend(frameon=False, ncols=2, loc="upper right")
    return figure


def _with_classes(corpus: Corpus) -> pd.DataFrame:
    """The utterances of `corpus` with the column `class`, and a name for those of no partition."""
    table = corpus.utterances
    classes = map_emotions(table["emotion"], FOUR_CLASSES)
    partition = table["partition"].where(table["partition"].notna(), NO_PARTITION)
    return table.assign(**{"class": classes, "partition": partition})
