"""Statistics that the paper lacks, beside its own and never in their place: other people, and many tests at once.

The paper asks whether other seeds would change the answer. Here also: whether other speakers would (resampled and
paired), what is left of the tests after correction, how large a difference is, and where it comes from (style, gender).
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from sercore import schema
from sercore.analysis import captions, residuals, statistics
from sercore.analysis.results import PERCENT, Results, classes, of_best, scores
from sercore.analysis.tables import Table, cell_text, incomplete, number_text, sorted_rows
from sercore.schema import EMOTION, MODEL_LABELS, MODELS

Pairs = tuple[tuple[str, str], ...]
PAIRS: Pairs = (
    ("bert", "cnn14"),
    ("lf", "cnn14"),
    ("sfcnn14", "cnn14"),
    ("mfcnn14", "cnn14"),
    ("sfcnn14", "bert"),
    ("mfcnn14", "bert"),
    ("sfcnn14", "lf"),
    ("mfcnn14", "lf"),
    ("mfcnn14", "sfcnn14"),
    ("wav2vec2", "cnn14"),
    ("hubert", "cnn14"),
    ("wavlm", "cnn14"),
)
"""(model, against): the paper's pairs, fusions and late fusion, multistage and single-stage, encoders and CNN14."""
DRAWS = 1000  # resamples of the speakers
SEED = 0  # of the resampling
FEWEST_SPEAKERS = 5  # with fewer, resampling says nothing about other speakers, and nothing is given
MULTISTAGE = (("mfcnn14", "sfcnn14"),)
GROUPS = ("style", "gender")
KEYS = ["train_corpus", "test_corpus", "target", "metric"]
COLUMNS = [
    *KEYS,
    "model",
    "against",
    "difference",
    "seeds",
    "low",
    "high",
    "p",
    "hedges_g",
    "seeds_needed",
    "speakers",
    "speakers_low",
    "speakers_high",
    "p_speakers",
    "p_wilcoxon",
    "speakers_needed",
]


def differences(results: Results, pairs: Pairs = PAIRS, draws: int = DRAWS, seed: int = SEED) -> pd.DataFrame:
    """Every one of `pairs` of models on every test set and target, compared over seeds and over speakers, one row each.

    Columns: train_corpus, test_corpus, target, metric, model, against, difference (of the mean scores; UAR in %); over
    seeds: seeds, low and high (t-interval at .95), p, p_holm, hedges_g, seeds_needed (per model, to find this
    difference in 4 of 5 studies); over speakers, the models taken as given: speakers, speakers_low and speakers_high
    (clustered bootstrap; NaN with fewer than FEWEST_SPEAKERS), p_speakers and p_wilcoxon (paired over the speakers' own
    scores), p_speakers_holm, speakers_needed (of the kind at hand, for the bootstrap to tell). Holm's correction is
    over the whole table.
    In-domain the folds are pooled, across corpora the folds' scores are averaged.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for key, runs, table in _tests(results):
        scored = results.scores[_is(results.scores, [*KEYS, "partition"], [*key, "test"])]
        by_model = {
            model: part["score"].to_numpy() for model, part in _preferred(scored).groupby("model", observed=True)
        }
        parts = {model: table[table["model"] == model] for model in by_model}
        labels, metric = classes(results.predictions), key[-1]
        unit = PERCENT if metric == "uar" else 1
        of_speakers = statistics.speaker_scores(table, metric, runs, labels)
        sums = {model: statistics.sums(part, metric, runs=runs, labels=labels) for model, part in parts.items()}
        for model, other in [pair for pair in pairs if set(pair) <= set(by_model)]:
            ours, theirs = by_model[model], by_model[other]
            seeds = statistics.compare_seeds(ours, theirs)
            spread = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 2) if min(len(ours), len(theirs)) > 1 else np.nan
            people = _resampled(sums[model], sums[other], generator, draws)
            needed = statistics.sample_needed(people.score, people.error, people.clusters)
            paired = statistics.compare_speakers(of_speakers, model, other)
            rows.append(
                {
                    **dict(zip(KEYS, key, strict=True)),
                    "model": model,
                    "against": other,
                    "difference": seeds.difference,
                    "seeds": len(ours),
                    "low": seeds.low,
                    "high": seeds.high,
                    "p": seeds.p,
                    "hedges_g": statistics.hedges_g(ours, theirs),
                    "seeds_needed": statistics.seeds_needed(seeds.difference, spread),
                    "speakers": people.clusters,
                    "speakers_low": unit * people.low,
                    "speakers_high": unit * people.high,
                    "p_speakers": paired.p_t,
                    "p_wilcoxon": paired.p_wilcoxon,
                    "speakers_needed": np.maximum(needed, 2),
                }
            )
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found.assign(p_holm=statistics.holm(found["p"]), p_speakers_holm=statistics.holm(found["p_speakers"]))


def difference_table(results: Results, name: str, pairs: Pairs = PAIRS, draws: int = DRAWS, seed: int = SEED) -> Table:
    """`differences` to be read."""
    numbers = differences(results, pairs, draws, seed)
    rows = []
    for row in numbers.itertuples():
        where = f"{schema.corpus_label(row.train_corpus)} → {schema.corpus_label(row.test_corpus)}"
        rows.append(
            (
                where,
                row.target if row.target != EMOTION else row.metric.upper(),
                f"{MODEL_LABELS[row.model]} − {MODEL_LABELS[row.against]}",
                signed(row.difference, row.metric),
                interval(row.low, row.high, row.metric),
                probability(row.p),
                probability(row.p_holm),
                f"{row.hedges_g:.1f}",
                whole(row.seeds_needed),
                interval(row.speakers_low, row.speakers_high, row.metric),
                probability(row.p_speakers),
                probability(row.p_speakers_holm),
                whole(row.speakers_needed),
            )
        )
    columns = [
        ("", "difference"),
        ("over seeds", "95 %"),
        ("over seeds", "p"),
        ("over seeds", "Holm"),
        ("over seeds", "g"),
        ("over seeds", "needed"),
        ("over speakers", "95 %"),
        ("over speakers", "p"),
        ("over speakers", "Holm"),
        ("over speakers", "needed"),
    ]
    frame = pd.DataFrame(rows, columns=range(3 + len(columns))).set_index([0, 1, 2])
    frame = frame.rename_axis(["corpora", "of", "models"])
    frame.columns = pd.MultiIndex.from_tuples(columns)
    below = (
        "These statistics are not in the paper; its own are the markers of the table above.",
        "Over seeds: t-interval and test of the means over seeds; g: Hedges' effect size in standard deviations over "
        "seeds; needed: seeds a model to find this difference in 4 of 5 studies.",
        f"Over speakers, the trained models taken as given: interval by resampling the test speakers {draws} times, "
        "paired t-test of the speakers' own scores (a UAR over the classes that a speaker has); needed: speakers of "
        "this kind. With few speakers the intervals are too narrow: at .95 they held .83 to .92 of 10 speakers.",
        f"Holm: corrected for the {len(numbers)} tests of this table. In-domain the folds are pooled.",
        *captions.simulated(results),
        *captions.missing(results),
    )
    return Table(name, f"Differences between models{incomplete(results)}", frame, numbers, below)


def group_table(results: Results, name: str) -> Table:
    """Scores of improvised and scripted speech apart, and of women and men; mean (sd) over seeds, and the counts."""
    test = results.predictions[results.predictions["partition"] == "test"]
    parts = []
    for group in GROUPS:
        known = _preferred(scores(test, by=[group])).rename(columns={group: "value"})
        split = known.groupby("test_corpus", observed=True)["value"].transform("nunique") > 1
        parts.append(known[split & (known["metric"] != "mse")].assign(group=group))
    together = pd.concat(parts, ignore_index=True)
    keys = [*KEYS, "group", "value", "model"]
    numbers = together.groupby(keys, observed=True, sort=False)["score"].agg(["mean", lambda s: s.std(ddof=0), "size"])
    numbers.columns = ["mean", "sd", "seeds"]
    counts = together.groupby(keys, observed=True, sort=False)["utterances"].max()
    numbers = numbers.assign(utterances=counts).reset_index()
    rows = [
        (
            MODEL_LABELS[row.model],
            f"{schema.corpus_label(row.train_corpus)} → {schema.corpus_label(row.test_corpus)}",
            row.target if row.target != EMOTION else row.metric.upper(),
            row.value,
            cell_text(row.mean, row.sd, "", row.metric),
        )
        for row in numbers.itertuples()
    ]
    table = pd.DataFrame(rows, columns=["model", "corpora", "of", "group", "text"])
    frame = table.pivot(index=["corpora", "of", "model"], columns="group", values="text").fillna("")
    frame = frame[table["group"].drop_duplicates()]
    frame.columns = pd.MultiIndex.from_product([["scores of"], frame.columns])
    below = (
        "Mean (sd, ddof 0) over seeds, each group scored apart; nan: a class has no utterance there. In-domain the "
        "folds are pooled. A corpus with one style, or whose speakers' gender is unknown, has no such columns.",
        *captions.simulated(results),
        *captions.missing(results),
    )
    return Table(name, f"Scores by style and gender{incomplete(results)}", sorted_rows(frame), numbers, below)


def speaker_table(results: Results, name: str) -> Table:
    """How far speakers differ: the median speaker's score, and the lowest and highest; every speaker in the numbers."""
    parts = []
    for key, runs, table in _tests(results):
        of_speakers = statistics.speaker_scores(table, key[-1], runs, classes(results.predictions))
        unit = PERCENT if key[-1] == "uar" else 1
        parts.append(of_speakers.assign(score=unit * of_speakers["score"], **dict(zip(KEYS, key, strict=True))))
    numbers = pd.concat(parts, ignore_index=True)
    rows = []
    for key, group in numbers.groupby([*KEYS, "model"], observed=True, sort=False):
        train, test, target, metric, model = key
        low, middle, high = (number_text(group["score"].quantile(q), metric) for q in (0, 0.5, 1))
        where = f"{schema.corpus_label(train)} → {schema.corpus_label(test)}"
        of = target if target != EMOTION else metric.upper()
        rows.append((where, of, MODEL_LABELS[model], middle, low, high, str(group["score"].notna().sum())))
    frame = pd.DataFrame(rows).set_index([0, 1, 2]).rename_axis(["corpora", "of", "model"])
    frame.columns = pd.MultiIndex.from_product([["scores of speakers"], ["median", "lowest", "highest", "speakers"]])
    below = (
        "Mean over seeds of each speaker's own score (a UAR over the classes that the speaker has).",
        *captions.simulated(results),
        *captions.missing(results),
    )
    return Table(name, f"Scores by speaker{incomplete(results)}", sorted_rows(frame), numbers, below)


def slope_table(results: Results, name: str) -> Table:
    """Behind figure 3: slope of prediction - truth on truth of each best model, and tests of its spread.

    The slope has its interval at .95 and, beside it, what a model as well correlated would have were it right on
    average wherever it says x; Breusch-Pagan and White test the spread around the line.
    """
    test = of_best(results.predictions[results.predictions["partition"] == "test"], results.best)
    inside = test[test["train_corpus"].astype(object) == test["test_corpus"].astype(object)]
    numbers = residuals.fit_lines(residuals.residual_table(inside))
    rows = [
        (
            f"{schema.corpus_label(row.train_corpus)} → {schema.corpus_label(row.test_corpus)}",
            row.target,
            MODEL_LABELS[row.model],
            signed(row.slope, "ccc"),
            interval(row.slope_low, row.slope_high, "ccc"),
            signed(row.ideal_slope, "ccc"),
            signed(row.intercept, "mse"),
            probability(row.breusch_pagan_p),
            probability(row.white_p),
        )
        for row in numbers.itertuples()
    ]
    frame = pd.DataFrame(rows).set_index([0, 1, 2]).rename_axis(["corpora", "of", "model"])
    columns = [
        ("slope", "here"),
        ("slope", "95 %"),
        ("slope", "if well calibrated"),
        ("residual", "at truth 0"),
        ("spread, p", "Breusch-Pagan"),
        ("spread, p", "White"),
    ]
    frame.columns = pd.MultiIndex.from_tuples(columns)
    below = (
        "A residual is prediction - truth. Slope 0: no regression towards the mean; -1: always the same answer. "
        "If well calibrated: the slope of a model as well correlated with the truth that is right on average wherever "
        "it says x. The tests take utterances as independent, which those of one speaker are not.",
        captions.best(results),
        *captions.simulated(results),
        *captions.missing(results),
    )
    return Table(name, f"Residuals against truth{incomplete(results)}", sorted_rows(frame), numbers, below)


def interval(low: float, high: float, metric: str) -> str:
    """An interval in the metric's decimals."""
    return f"{signed(low, metric)} to {signed(high, metric)}" if np.isfinite([low, high]).all() else "not known"


def signed(value: float, metric: str) -> str:
    """A difference in the metric's decimals, always with its sign."""
    text = number_text(value, metric)
    return text if text.startswith("−") else f"+{text}"


def probability(p: float) -> str:
    """A p-value in three decimals."""
    return "not known" if np.isnan(p) else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def whole(number: float) -> str:
    """A count that may be infinite or not known."""
    return "not known" if np.isnan(number) else "∞" if np.isinf(number) else f"{number:,.0f}"


def _tests(results: Results) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], pd.DataFrame]]:
    """(train_corpus, test_corpus, target, metric), what counts as one run, and the predictions, of each test."""
    test = results.predictions[results.predictions["partition"] == "test"]
    corpora = test[["train_corpus", "test_corpus"]].drop_duplicates().astype(object)
    pairs = sorted(corpora.itertuples(index=False), key=lambda p: (schema.corpus_position(p[0]), p[0] != p[1], *p))
    for (train, other), target in product(pairs, test["target"].unique()):
        rows = test[_is(test, KEYS[:3], [train, other, target])]
        metric = "uar" if target == EMOTION else "ccc" if train == other else "pcc"
        if len(rows):
            yield (train, other, target, metric), (("seed",) if train == other else ("seed", "fold")), rows


def _preferred(scored: pd.DataFrame) -> pd.DataFrame:
    """One pooling a cell: the folds pooled in-domain, what there is across corpora; models in the paper's order."""
    in_domain = scored["train_corpus"] == scored["test_corpus"]
    chosen = scored[~(in_domain & (scored["pooling"] == "folds"))]
    return chosen.sort_values("model", key=lambda models: models.map(list(MODELS).index), kind="stable")


def _is(table: pd.DataFrame, columns: list[str], values: list[str]) -> pd.Series:
    return pd.Series(np.logical_and.reduce([table[c] == v for c, v in zip(columns, values, strict=True)]), table.index)


def _resampled(
    ours: statistics.Sums, theirs: statistics.Sums, generator: np.random.Generator, draws: int
) -> statistics.Interval:
    """The difference of two models on the same resamples of the same speakers."""
    alone = ours.clusters.symmetric_difference(theirs.clusters)
    if len(alone):
        raise ValueError(f"{len(alone)} speakers were predicted by only one of two models, such as {alone[0]}")
    places = ours.clusters.get_indexer(theirs.clusters)
    found = statistics.resample(
        lambda weights: ours.resampled(weights) - theirs.resampled(weights[:, places]),
        len(ours.clusters),
        generator,
        draws,
        level=1 - statistics.ALPHA,
    )
    few = len(ours.clusters) < FEWEST_SPEAKERS
    return found._replace(low=np.nan, high=np.nan, error=np.nan) if few else found
