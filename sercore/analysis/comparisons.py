"""Statistics that the paper does not have, shown beside its own: other speakers, corrected tests, effect sizes, groups.

The paper tests whether other seeds would change a result. Here also: whether other speakers would (resampled and
paired), which tests are significant after correction, how large a difference is, and how it depends on style, gender
and speaker.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from sercore.analysis import captions, preregistration, residuals, statistics
from sercore.analysis.nothing import NothingToShow, or_nothing, present
from sercore.analysis.results import Results, classes, main_metric, of_best, reported, scores
from sercore.analysis.tables import Table, cell_text, incomplete, number_text, sorted_rows
from sercore.registry import CORPORA, METRICS, MODELS, SECTIONS
from sercore.schema import EMOTION, GROUP, group_columns

Pairs = tuple[tuple[str, str], ...]
DRAWS = 10_000  # resamples of speakers and seeds, and swaps of two models
SEED = 0  # of the resampling
FEWEST_SPEAKERS = 5  # with fewer, resampling says nothing about other speakers, and nothing is given
FEW_SPEAKERS = f"{{}}: t-interval over seeds alone, with fewer than {FEWEST_SPEAKERS} test speakers."
MULTISTAGE = (("mfcnn14", "sfcnn14"),)
GROUPS = ("style", "gender")
MOST_COMPARED = 6  # values of a group that are compared pair by pair
NOT_RESAMPLED = statistics.Interval(np.nan, np.nan, np.nan, np.nan, 0, 0)
NOT_FITTED = statistics.Mixed(np.nan, np.nan, np.nan, np.nan, "")
MIXED = (
    "difference of the share of right answers (not UAR) or of the squared error (here less is better; none across "
    "corpora, whose scales differ), with effects of speaker, speaker and model, and training, fitted to the mean "
    "of each speaker and seed. Every speaker weighs the same. It takes these effects as normal, which with few seeds "
    "cannot be checked."
)
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
    "speakers_needed",
    "both_low",
    "both_high",
    "mixed",
    "mixed_low",
    "mixed_high",
    "mixed_p",
    "mixed_note",
]


def differences(results: Results, pairs: Pairs | None = None, draws: int = DRAWS, seed: int = SEED) -> pd.DataFrame:
    """Pairs of models compared over seeds, speakers and both, on every test set and target and by every main metric.

    In-domain the folds are pooled, across corpora the folds' scores are averaged.

    Args:
        results: of one section.
        pairs: (model, against); None: those of the preregistration. Those without results are left out.
        draws: resamples of speakers and of seeds, and swaps of two models.
        seed: of the resampling.

    Returns:
        One row a pair and test. Columns: train_corpus, test_corpus, target, metric, model, against, difference (of the
        mean scores; UAR in %). Over seeds: seeds, low and high (t-interval at .95), p, p_holm, hedges_g, seeds_needed
        (per model, to find a difference as large as the preregistered margin of the metric; NaN where it has none).
        Over speakers, the models taken as given: speakers, speakers_low and speakers_high (clustered bootstrap),
        p_speakers (`statistics.swap_test`), p_speakers_holm, speakers_needed (of the same kind, likewise). Over both:
        both_low and both_high (`statistics.crossed_difference`), and mixed, mixed_low, mixed_high, mixed_p and
        mixed_note (`statistics.mixed_model`, right answers in % or squared error; across corpora, whose scales differ,
        none of ratings). Holm's correction is over the whole table. All about speakers is NaN with fewer than
        FEWEST_SPEAKERS, and for a metric without a form in sums.
    """
    plan = preregistration.read()
    pairs = plan.compared_pairs() if pairs is None else pairs
    generator = np.random.default_rng(seed)
    rows = []
    for key, runs, table in _tests(results.predictions):
        scored = results.scores[_is(results.scores, [*KEYS, "partition"], [*key, "test"])]
        by_model = {
            model: part.set_index("seed")["score"] for model, part in _preferred(scored).groupby("model", observed=True)
        }
        parts = {model: table[table["model"] == model] for model in by_model}
        labels, metric = classes(results.predictions), METRICS[key[-1]]
        if metric.resampled:
            sums = {name: statistics.sums(part, metric.name, runs=runs, labels=labels) for name, part in parts.items()}
        for model, other in [pair for pair in pairs if set(pair) <= set(by_model)]:
            ours, theirs = by_model[model], by_model[other]
            margin = plan.margins.get(metric.name, np.nan)  # an own metric has none
            seeds, seeds_needed = _over_seeds(model, other, ours, theirs, margin)
            people, both, p_speakers, mixed = NOT_RESAMPLED, NOT_RESAMPLED, np.nan, NOT_FITTED
            if metric.resampled:
                a, b = sums[model], sums[other]
                people = statistics.difference_of_sums(a, b, generator, draws, 1 - statistics.ALPHA)
                if people.clusters < FEWEST_SPEAKERS:
                    people = NOT_RESAMPLED._replace(clusters=people.clusters)
                else:
                    together = _of_one_training(model, other)
                    p_speakers = statistics.swap_test(a, b, generator, draws)
                    both = statistics.crossed_difference(a, b, generator, draws, 1 - statistics.ALPHA, together)
                    if metric.categorical or key[0] == key[1]:
                        mixed = statistics.mixed_model(a, b, together)
            needed = statistics.sample_needed(
                margin / metric.scale, people.error, people.clusters, plan.power, plan.alpha
            )
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
                    "seeds_needed": seeds_needed,
                    "speakers": people.clusters,
                    "speakers_low": metric.scale * people.low,
                    "speakers_high": metric.scale * people.high,
                    "p_speakers": p_speakers,
                    "speakers_needed": np.maximum(needed, 2),
                    "both_low": metric.scale * both.low,
                    "both_high": metric.scale * both.high,
                    "mixed": metric.scale * mixed.difference,
                    "mixed_low": metric.scale * mixed.low,
                    "mixed_high": metric.scale * mixed.high,
                    "mixed_p": mixed.p,
                    "mixed_note": mixed.note,
                }
            )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(p_holm=statistics.holm(table["p"]), p_speakers_holm=statistics.holm(table["p_speakers"]))


@or_nothing
def difference_table(
    results: Results, name: str, pairs: Pairs | None = None, draws: int = DRAWS, seed: int = SEED
) -> Table:
    """`differences` as a table."""
    numbers = differences(results, pairs, draws, seed)
    if numbers.empty:
        there = ", ".join(MODELS.label(model) for model in sorted(results.predictions["model"].unique()))
        raise NothingToShow(f"no two of the models that are compared were run, only {there}")
    rows = [
        (
            _corpora(row.train_corpus, row.test_corpus),
            _of(row.target, row.metric),
            f"{MODELS.label(row.model)} − {MODELS.label(row.against)}",
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
            interval(row.both_low, row.both_high, row.metric),
            _mixed(row.mixed, row.mixed_low, row.mixed_high, row.mixed_note, row.metric),
        )
        for row in numbers.itertuples()
    ]
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
        ("over both", "95 %"),
        ("over both", "mixed model"),
    ]
    frame = pd.DataFrame(rows, columns=range(3 + len(columns))).set_index([0, 1, 2])
    frame = frame.rename_axis(["corpora", "of", "models"])
    frame.columns = pd.MultiIndex.from_tuples(columns)
    below = (
        "These statistics are not in the paper; its own are the markers of the table above.",
        "Over seeds: t-interval and test of the means over seeds, of late fusion and its halves in pairs; g: Hedges' "
        "effect size in standard deviations over seeds; needed: seeds per model for 4 of 5 studies to find a "
        f"difference as large as the margin ({preregistration.FILE}), whatever difference was seen here.",
        f"Over speakers, the trained models taken as given: interval by resampling the test speakers {draws} times, "
        f"p by swapping the two models' predictions speaker by speaker, {draws} times, on the score of all utterances; "
        "needed: likewise, speakers of this kind. With few speakers the intervals are too narrow: at .95 they held .83 "
        f"to .92 of 10; with fewer than {FEWEST_SPEAKERS} nothing is given.",
        f"Over both, other trainings judged by other people: interval by resampling seeds and speakers {draws} times. "
        f"Mixed model: {MIXED}",
        *_mixed_notes(numbers),
        f"Holm: corrected for the {len(numbers)} tests of this table. In-domain the folds are pooled.",
        *captions.caveats(results),
        *captions.missing(results),
    )
    return Table(name, f"Differences between models{incomplete(results)}", frame, numbers, below)


def group_gaps(predictions: pd.DataFrame, draws: int = DRAWS, seed: int = SEED) -> pd.DataFrame:
    """How much higher a model scores on one group of utterances than on another, by style, gender and own groups.

    A group of the corpus's own with more than MOST_COMPARED values, as of age in years, has no pairs.

    Args:
        predictions: a predictions table of one section; its test utterances are used.
        draws: resamples of the speakers.
        seed: of the resampling.

    Returns:
        One row a test, model and pair of groups. Columns: KEYS, group, model, value and other (of the group), score and
        other_score, gap (printed units), low and high (95 % over speakers, the models taken as given; NaN with fewer
        than FEWEST_SPEAKERS), speakers.
    """
    generator, rows, labels = np.random.default_rng(seed), [], classes(predictions)
    for key, runs, table in _tests(predictions):
        metric = METRICS[key[-1]]
        for group in _groups(table) if metric.resampled else ():
            values = sorted(table[group].dropna().unique())
            for model in sorted(table["model"].unique() if len(values) > 1 else (), key=MODELS.position):
                own = table[table["model"] == model]
                sums = {v: statistics.sums(own[own[group] == v], metric.name, runs=runs, labels=labels) for v in values}
                of_all = {value: of.resampled(np.ones((1, len(of.clusters))))[0] for value, of in sums.items()}
                for value, other in combinations(values, 2) if len(values) <= MOST_COMPARED else ():
                    gap = statistics.gap_of_sums(sums[value], sums[other], generator, draws, 1 - statistics.ALPHA)
                    ends = (gap.low, gap.high) if gap.clusters >= FEWEST_SPEAKERS else (np.nan, np.nan)
                    printed = [metric.scale * number for number in (of_all[value], of_all[other], gap.score, *ends)]
                    rows.append(
                        (*key, group, model, _value(group, value), _value(group, other), *printed, gap.clusters)
                    )
    columns = ["group", "model", "value", "other", "score", "other_score", "gap", "low", "high", "speakers"]
    return pd.DataFrame(rows, columns=[*KEYS, *columns])


def _groups(predictions: pd.DataFrame) -> list[str]:
    """The columns whose values group utterances: GROUPS, and the corpora's own."""
    return [*GROUPS, *group_columns(predictions)]


def _value(group: str, value: object) -> str:
    """`value` as a table prints it: of an own group with its name, `age 30`."""
    return f"{group.removeprefix(GROUP)} {value}" if group.startswith(GROUP) else str(value)


@or_nothing
def group_table(results: Results, name: str) -> Table:
    """Scores of improvised and scripted speech apart, of women and men, and of own groups, and how much they differ.

    Mean (sd) over seeds, the counts, and `group_gaps` with their intervals over speakers.
    """
    test = results.predictions[results.predictions["partition"] == "test"]
    parts = []
    for group in _groups(test):
        known = _preferred(scores(test, by=[group])).rename(columns={group: "value"})
        known["value"] = known["value"].map(lambda value, group=group: _value(group, value)).astype("str")
        split = known.groupby("test_corpus", observed=True)["value"].transform("nunique") > 1
        compared = known["metric"].map(lambda metric: METRICS[metric].compared).astype(bool)
        parts.append(known[split & compared].assign(group=group))
    together = pd.concat(parts, ignore_index=True)
    if together.empty:
        raise NothingToShow("the test utterances are of one style or none, and of one gender or none")
    keys = [*KEYS, "group", "value", "model"]
    numbers = together.groupby(keys, observed=True, sort=False)["score"].agg(["mean", lambda s: s.std(ddof=0), "size"])
    numbers.columns = ["mean", "sd", "seeds"]
    counts = together.groupby(keys, observed=True, sort=False)["utterances"].max()
    numbers = numbers.assign(utterances=counts).reset_index()
    rows = [
        (
            MODELS.label(row.model),
            _corpora(row.train_corpus, row.test_corpus),
            _of(row.target, row.metric),
            row.value,
            cell_text(row.mean, row.sd, "", row.metric),
        )
        for row in numbers.itertuples()
    ]
    table = pd.DataFrame(rows, columns=["model", "corpora", "of", "group", "text"])
    frame = table.pivot(index=["corpora", "of", "model"], columns="group", values="text").fillna("")
    frame = frame[table["group"].drop_duplicates()]
    frame.columns = pd.MultiIndex.from_product([["scores of"], frame.columns])
    gaps = group_gaps(results.predictions)
    names = [
        (_corpora(row.train_corpus, row.test_corpus), _of(row.target, row.metric), MODELS.label(row.model))
        for row in gaps.itertuples()
    ]
    for (value, other), part in gaps.assign(row=names).groupby(["value", "other"], sort=False):
        texts = [
            f"{signed(row.gap, row.metric)} ({interval(row.low, row.high, row.metric)})" for row in part.itertuples()
        ]
        column = pd.Series(texts, pd.MultiIndex.from_tuples(part["row"]))
        frame["difference, 95 %", f"{value} − {other}"] = column.reindex(frame.index, fill_value="")
    numbers = pd.concat([numbers, gaps], ignore_index=True)
    below = (
        "Mean (sd, ddof 0) over seeds, each group scored apart; nan: a class has no utterance there. In-domain the "
        "folds are pooled. A corpus with one style, or whose speakers' gender is unknown, has no such columns.",
        "Difference: of the mean scores of the two groups, with an interval by resampling the test speakers "
        f"{DRAWS} times, the trained models taken as given; not known with fewer than {FEWEST_SPEAKERS}. Groups may "
        "differ in what they say and how often, not only in how well they are understood. Ours, not the paper's.",
        *captions.caveats(results),
        *captions.missing(results),
    )
    return Table(name, f"Scores by style and gender{incomplete(results)}", sorted_rows(frame), numbers, below)


@or_nothing
def speaker_table(results: Results, name: str) -> Table:
    """How far speakers differ: median, lowest and highest, and sd with its interval; every speaker in the numbers."""
    parts = []
    for key, runs, table in _tests(results.predictions):
        metric = METRICS[key[-1]]
        if metric.resampled:
            of_speakers = statistics.speaker_scores(table, metric.name, runs, classes(results.predictions))
            score = metric.scale * of_speakers["score"]
            parts.append(of_speakers.assign(score=score, **dict(zip(KEYS, key, strict=True))))
    numbers = pd.concat(parts, ignore_index=True)
    if numbers.empty:
        raise NothingToShow("no speaker of the test utterances is known")
    rows = []
    for key, group in numbers.groupby([*KEYS, "model"], observed=True, sort=False):
        train, test, target, metric, model = key
        low, middle, high = (number_text(group["score"].quantile(q), metric) for q in (0, 0.5, 1))
        names = (_corpora(train, test), _of(target, metric), MODELS.label(model))
        spread = speaker_spread(group["score"])
        ends = [number_text(end, metric) for end in (spread.low, spread.high)]
        sd = f"{number_text(spread.score, metric)} ({' to '.join(ends) if np.isfinite(spread.low) else 'not known'})"
        rows.append((*names, middle, low, high, sd, str(group["score"].notna().sum())))
    frame = pd.DataFrame(rows).set_index([0, 1, 2]).rename_axis(["corpora", "of", "model"])
    frame.columns = pd.MultiIndex.from_product(
        [["scores of speakers"], ["median", "lowest", "highest", "sd, 95 %", "speakers"]]
    )
    below = (
        "Mean over seeds of each speaker's own score (a UAR over the classes that the speaker has). sd (ddof 1): with "
        f"an interval by resampling the speakers {DRAWS} times; the fewer utterances a speaker has, the larger it is, "
        "even where the model serves all of them equally well.",
        *captions.caveats(results),
        *captions.missing(results),
    )
    return Table(name, f"Scores by speaker{incomplete(results)}", sorted_rows(frame), numbers, below)


def speaker_spread(scores: pd.Series, draws: int = DRAWS, seed: int = SEED) -> statistics.Interval:
    """Standard deviation (ddof 1) of the speakers' own scores, and its interval at .95 under resampling of them.

    NaN scores are left out; with fewer than FEWEST_SPEAKERS the ends are NaN.
    """
    known = scores.dropna().to_numpy()
    if len(known) < FEWEST_SPEAKERS:
        return NOT_RESAMPLED._replace(
            score=float(np.std(known, ddof=1)) if len(known) > 1 else np.nan, clusters=len(known)
        )

    def sd(weights: np.ndarray) -> np.ndarray:
        mean = (weights @ known / len(known))[:, None]
        return np.sqrt((weights * (known - mean) ** 2).sum(axis=1) / (len(known) - 1))

    return statistics.resample(sd, [len(known)], np.random.default_rng(seed), draws, 1 - statistics.ALPHA)


@or_nothing
def slope_table(results: Results, name: str) -> Table:
    """The numbers of figure 3: the slope of prediction - truth on truth of each best model, and tests of its spread.

    The slope has its interval at .95 and, beside it, the slope of a well calibrated model with the same correlation;
    Breusch-Pagan and White test the spread around the line.
    """
    test = of_best(results.predictions[results.predictions["partition"] == "test"], results.best)
    inside = test[test["train_corpus"].astype(object) == test["test_corpus"].astype(object)]
    numbers = residuals.fit_lines(residuals.residual_table(inside))
    rows = [
        (
            _corpora(row.train_corpus, row.test_corpus),
            row.target,
            MODELS.label(row.model),
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
        "A residual is prediction - truth. Slope 0: no regression towards the mean; -1: always the same prediction. "
        "If well calibrated: the slope of a model with the same correlation whose predictions are right on average, "
        "whatever their value. The tests take utterances as independent, which those of one speaker are not.",
        captions.best(results),
        *captions.caveats(results),
        *captions.missing(results),
    )
    return Table(name, f"Residuals against truth{incomplete(results)}", sorted_rows(frame), numbers, below)


def interval(low: float, high: float, metric: str) -> str:
    """An interval in the metric's decimals."""
    return f"{signed(low, metric)} to {signed(high, metric)}" if np.isfinite([low, high]).all() else "not known"


def with_interval(value: float, low: float, high: float, metric: str) -> str:
    """A score and its interval in brackets, without these where it is not known."""
    ends = f" [{number_text(low, metric)}, {number_text(high, metric)}]" if np.isfinite([low, high]).all() else ""
    return number_text(value, metric) + ends


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


@or_nothing
def interval_table(*sections: Results, draws: int = DRAWS, seed: int = SEED) -> Table:
    """The main score in-domain of every model, folds pooled: its mean over seeds, and an interval at .95.

    The interval is over seeds and speakers together (`statistics.crossed_interval`); where fewer than FEWEST_SPEAKERS
    are tested, or the metric has no form in sums, it is a t-interval over seeds alone. Columns of the numbers: section,
    train_corpus, target, metric, model, seeds, speakers, over (seeds and speakers, or seeds), mean, low, high, in the
    units that are printed.
    """
    generator, rows, sections = np.random.default_rng(seed), [], tuple(present(sections))
    for results in sections:
        labels = classes(results.predictions)
        for key, runs, table in _tests(results.predictions):
            train, test, target, name = key
            if train != test or name != main_metric(target, in_domain=True):
                continue
            of_test = _preferred(results.scores[_is(results.scores, [*KEYS, "partition"], [*key, "test"])])
            for model, scored in of_test.groupby("model", observed=True, sort=False):
                own = table[table["model"] == model]
                found = mean_and_interval(scored["score"].to_numpy(), own, name, runs, labels, generator, draws)
                names = {"section": results.section, "train_corpus": train, "target": target, "metric": name}
                rows.append({**names, "model": model, **found})
    numbers = pd.DataFrame(rows)
    cells = [
        (
            CORPORA.label(row.train_corpus),
            SECTIONS[row.section].paper,
            row.target if row.target != EMOTION else METRICS.label(row.metric),
            ("", MODELS.label(row.model)),
            with_interval(row.mean, row.low, row.high, row.metric),
        )
        for row in numbers.itertuples()
    ]
    frame = pd.DataFrame(cells).pivot(index=[0, 1, 2], columns=3, values=4).fillna("")
    frame = frame[list(dict.fromkeys(cell[3] for cell in cells))].rename_axis(index=["in-domain", "section", "of"])
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    alone = numbers.loc[numbers["over"] == "seeds", "train_corpus"].unique()
    below = (
        "Mean [interval at .95 over seeds and speakers, which are resampled together]; UAR in %, else CCC.",
        *(FEW_SPEAKERS.format(CORPORA.label(corpus)) for corpus in alone),
        *captions.caveats(sections[0]),
    )
    return Table("intervals", "In-domain scores with intervals", frame, numbers, below)


def mean_and_interval(
    scores: np.ndarray,
    predictions: pd.DataFrame,
    metric: str,
    runs: Sequence[str],
    labels: Sequence[str],
    generator: np.random.Generator,
    draws: int,
) -> dict[str, Any]:
    """The mean of `scores`, one a seed in the printed unit, and its interval at .95, as `interval_table` has it.

    `predictions` are those behind the scores, of one model and test; the other arguments as statistics.sums and
    crossed_interval take them. Keys: seeds, speakers, over, mean, low, high.
    """
    spec, speakers, over = METRICS[metric], predictions["speaker"].nunique(), "seeds"
    low, high = statistics.mean_interval(scores.tolist())
    if spec.resampled and speakers >= FEWEST_SPEAKERS:
        sums = statistics.sums(predictions, metric, runs=runs, labels=labels)
        both = statistics.crossed_interval(sums, generator, draws, 1 - statistics.ALPHA)
        low, high, over = spec.scale * both.low, spec.scale * both.high, "seeds and speakers"
    return {
        "seeds": len(scores),
        "speakers": speakers,
        "over": over,
        "mean": float(scores.mean()),
        "low": low,
        "high": high,
    }


def _tests(predictions: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], pd.DataFrame]]:
    """(train_corpus, test_corpus, target, metric), the columns of one run, and the predictions, of each test."""
    test = predictions[predictions["partition"] == "test"]
    corpora = test[["train_corpus", "test_corpus"]].drop_duplicates().astype(object)
    pairs = sorted(corpora.itertuples(index=False), key=lambda p: (CORPORA.position(p[0]), p[0] != p[1], *p))
    for (train, other), target in product(pairs, test["target"].unique()):
        rows = test[_is(test, KEYS[:3], [train, other, target])]
        for metric in reported(target, train == other) if len(rows) else ():
            if METRICS[metric].compared:
                yield (train, other, target, metric), (("seed",) if train == other else ("seed", "fold")), rows


def _preferred(scored: pd.DataFrame) -> pd.DataFrame:
    """One pooling a cell: the folds pooled in-domain, what there is across corpora; models in the paper's order."""
    in_domain = scored["train_corpus"] == scored["test_corpus"]
    chosen = scored[~(in_domain & (scored["pooling"] == "folds"))]
    return chosen.sort_values("model", key=lambda models: models.map(MODELS.position), kind="stable")


def _is(table: pd.DataFrame, columns: list[str], values: list[str]) -> pd.Series:
    return pd.Series(np.logical_and.reduce([table[c] == v for c, v in zip(columns, values, strict=True)]), table.index)


def _over_seeds(
    model: str, other: str, ours: pd.Series, theirs: pd.Series, margin: float
) -> tuple[statistics.Comparison, float]:
    """The test of two models' scores by seed, and the seeds that would find a difference of `margin`.

    Late fusion and its halves are of the same trained models, and so are compared in pairs.
    """
    plan = preregistration.read()
    if _of_one_training(model, other):
        ours, theirs = ours.align(theirs, join="inner")
        spread = float((ours - theirs).std(ddof=1))
        paired = statistics.compare_pairs(ours.to_numpy(), theirs.to_numpy())
        return paired, statistics.speakers_needed(margin, spread, plan.power, plan.alpha)
    spread = float(np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 2))
    test = statistics.compare_seeds(ours.to_numpy(), theirs.to_numpy())
    return test, statistics.seeds_needed(margin, spread, plan.power, plan.alpha)


def _of_one_training(model: str, other: str) -> bool:
    """Whether a seed of both is one training, as of late fusion and its halves."""
    return bool(set(MODELS[model].consists_of) & set(MODELS[other].consists_of))


def _mixed(difference: float, low: float, high: float, note: str, metric: str) -> str:
    """The difference by a mixed model, with its interval, or why there is none."""
    ends = f"{signed(difference, metric)} ({interval(low, high, metric)})"
    return note or ("" if np.isnan(difference) else ends)


def _mixed_notes(numbers: pd.DataFrame) -> tuple[str, ...]:
    """How many of the mixed models have no result, by reason."""
    failed = numbers.loc[numbers["mixed_note"].astype(bool), "mixed_note"].value_counts()
    return tuple(f"Mixed models without a result: {count} ({note})." for note, count in failed.items())


def _corpora(train: str, test: str) -> str:
    return f"{CORPORA.label(train)} → {CORPORA.label(test)}"


def _of(target: str, metric: str) -> str:
    """What a score is of: the metric of emotions, the dimension, and its metric where that is not the main one."""
    if target == EMOTION:
        return METRICS.label(metric)
    main = {main_metric(target, in_domain) for in_domain in (True, False)}
    return target if metric in main else f"{target}, {METRICS.label(metric)}"
