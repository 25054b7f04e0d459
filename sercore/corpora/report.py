"""What a corpus on disk turned out to hold, as plain text that fits a screen."""

from collections.abc import Iterable

import pandas as pd

from sercore.corpora.corpus import Corpus, Finding
from sercore.corpora.counts import class_counts, compare
from sercore.schema import CORPUS_LABELS, DIMENSIONS, GENDERS, PARTITIONS, STYLES

WIDTH = 118  # characters of a line
DIFFERENCES = 6  # most disagreeing counts that are listed


def describe(corpus: Corpus) -> str:
    """Turns, speakers, partitions, classes, durations, ratings, transcripts and defects of `corpus`, and which
    published counts agree; a line is at most WIDTH characters."""  # fmt: skip
    lines = [
        f"{CORPUS_LABELS.get(corpus.name, corpus.name)} in {corpus.root}",
        *_summary(corpus),
        "",
        *_emotions(corpus.utterances),
        "",
        *_ratings(corpus),
        "",
        *_defects(corpus.findings),
        "",
        *_published(corpus),
    ]
    return "\n".join(line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in lines)


def _summary(corpus: Corpus) -> list[str]:
    table, seconds = corpus.utterances, corpus.utterances["seconds"]
    speech = "real"
    if corpus.simulated:
        speech = "SIMULATED: synthesised, with planted ratings; results on it say nothing about people"
    genders = table.drop_duplicates("speaker").dropna(subset="speaker")["gender"].value_counts()
    turns = table["gender"].value_counts()
    by_gender = ", ".join(f"{genders.get(name, 0)} {name} ({turns.get(name, 0):,} turns)" for name in GENDERS)
    unknown = int(table["speaker"].isna().sum())
    partitions = table["partition"].value_counts()
    parts = ", ".join(f"{name} {partitions[name]:,}" for name in PARTITIONS if name in partitions) or "none"
    left = int(table["partition"].isna().sum())
    told, classes = table["transcript"], class_counts(corpus)
    empty = int((told == "").sum())
    four = ", ".join(f"{name} {count:,}" for name, count in classes.items())
    return [
        f"speech       {speech}",
        f"turns        {len(table):,}, {seconds.sum() / 3600:.2f} h; "
        f"shortest {seconds.min():.2f} s, mean {seconds.mean():.2f} s, longest {seconds.max():.2f} s",
        f"speakers     {table['speaker'].nunique():,}: {by_gender}; {unknown:,} turns of unknown speakers",
        f"partitions   {parts}" + (f"; {left:,} turns in none" if left and len(partitions) else ""),
        f"transcripts  {told.notna().sum() - empty:,} with words ({told[told != ''].nunique():,} different), "
        f"{empty:,} empty, {told.isna().sum():,} missing",
        f"classes      {four}: {sum(classes.values()):,} of {len(table):,} turns",
    ]


def _emotions(table: pd.DataFrame) -> list[str]:
    """Counts of every emotion, by partition where the corpus has them, else by style where it is known."""
    column, known = ("partition", PARTITIONS) if table["partition"].notna().any() else ("style", STYLES)
    counts = pd.crosstab(table["emotion"].fillna("no agreement"), table[column].fillna("none"))
    columns = [name for name in (*known, "none") if name in counts]
    names = sorted(counts.index, key=lambda name: (name == "no agreement", name))
    if columns == ["none"]:
        columns = []
    return [
        f"{'emotion':<14}" + "".join(f"{name:>13}" for name in columns) + f"{'all':>13}",
        *(
            f"{name:<14}" + "".join(f"{counts.at[name, c]:>13,}" for c in columns) + f"{counts.loc[name].sum():>13,}"
            for name in names
        ),
    ]


def _ratings(corpus: Corpus) -> list[str]:
    low, high = corpus.scale
    lines = [f"{f'rating, {low:g} to {high:g}':<14}{'mean':>10}{'sd':>10}{'lowest':>10}{'highest':>10}{'missing':>10}"]
    for name in DIMENSIONS:
        rating = corpus.utterances[name]
        if rating.notna().any():
            numbers = (rating.mean(), rating.std(), rating.min(), rating.max())
            lines.append(f"{name:<14}" + "".join(f"{n:>10.3f}" for n in numbers) + f"{rating.isna().sum():>10,}")
    return lines if len(lines) > 1 else ["no ratings of arousal, valence and dominance"]


def _defects(findings: Iterable[Finding]) -> list[str]:
    lines = [f"{f.count:>7,}  " + "; ".join([f"{f.kind}: {f.meaning}", *f.examples[:1]]) for f in findings]
    return ["defects and oddities met, and what was done", *lines] if lines else ["no defects met"]


def _published(corpus: Corpus) -> list[str]:
    if corpus.simulated:
        return ["published counts do not apply: the speech is simulated"]
    release, counts = compare(corpus)
    if not counts:
        return ["no published counts are known for this corpus"]
    agree = [count for count in counts if count.agrees]
    lines = [f"published counts ({release}): {len(agree)} of {len(counts)} agree"]
    if 0 < len(agree) <= DIFFERENCES:
        lines += [f"  agrees   {c.what} {c.found:,.12g}{_source(c.from_memory)}" for c in agree]
    differ = [count for count in counts if not count.agrees]
    lines += [
        f"  differs  {c.what}: found {c.found:,.12g}, published {c.published:,.12g}{_source(c.from_memory)}"
        for c in differ[:DIFFERENCES]
    ]
    if len(differ) > DIFFERENCES:
        lines.append(f"  and {len(differ) - DIFFERENCES} more differ")
    return lines


def _source(from_memory: bool) -> str:
    return " (from memory, no public source)" if from_memory else ""
