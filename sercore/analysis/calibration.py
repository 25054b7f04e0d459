"""Are the predictions to be taken at their word? The parts of a CCC, and reliability of ratings and of probabilities.

None of this is in the paper. A CCC falls where predictions are wrongly ordered (r), spread too far or too little
(ratio) or off on average (shift); only the first is about what a model can tell apart. A rating is reliable where
utterances that are predicted as 4 are rated 4 on average, and a probability where of those predicted with .8 four in
five are right.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sercore import metrics
from sercore.analysis import captions, figures, statistics
from sercore.analysis.comparisons import FEWEST_SPEAKERS, signed
from sercore.analysis.confidence import (
    BINS,
    FEWEST,
    TEMPERATURES,
    area,
    at_end,
    calibration_error,
    chance_error,
    confidence_bins,
    error_at,
    fit_temperature,
    rejection_curve,
    tempered,
)
from sercore.analysis.nothing import Nothing, or_nothing
from sercore.analysis.results import MODEL_KEYS, PERCENT, SCORE_KEYS, Results, classes, of_best, samples
from sercore.analysis.tables import HERE, POOLING_LABELS, Table, incomplete, number_text, sorted_rows
from sercore.registry import CORPORA, MODELS
from sercore.schema import DIMENSIONS, EMOTION, first, probability_columns

RATING_BINS = 8  # with the same number of utterances each
DRAWS = 1000  # resamples of the speakers
PARTS = ("ccc", "bias_correction", "r", "ratio", "shift")
PART_LABELS = {"ccc": "CCC", "bias_correction": "C_b", "r": "r", "ratio": "ratio of sds", "shift": "shift"}
GREY = "#444444"
PANEL = (3.8, 4.0)  # [inches]
POINT = 70  # area of the largest point [square points]
THIN: dict[str, Any] = {"linewidth": 1.0, "alpha": 0.5}
THICK: dict[str, Any] = {"linewidth": 2.5}
CHANCE: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "linestyle": ":"}
TEMPERED: dict[str, Any] = {"color": "black", "linewidth": 1.2, "marker": "o", "markersize": 4, "fillstyle": "none"}


def parts(predictions: pd.DataFrame) -> pd.DataFrame:
    """Every CCC of test utterances in-domain, and what it is made of (`metrics.concordance_parts`).

    Returns:
        One row a model, corpus, seed, dimension and pooling of the folds. Columns: SCORE_KEYS, pooling, ccc,
        bias_correction, r, ratio and shift; each is the mean over folds where `pooling` is `folds`, see results.scores.
    """
    rows = []
    for key, group in _tested(predictions[predictions["target"].isin(DIMENSIONS)], in_domain=True):
        for pooling, tables in samples(group).items():
            pairs = [(table["truth"], table["prediction"]) for table in tables]
            of_tables = [metrics.concordance_parts(*pair)._asdict() for pair in pairs]
            score = pd.DataFrame(of_tables).assign(ccc=[metrics.concordance_correlation(*pair) for pair in pairs])
            rows.append({**key, "pooling": pooling, **score.mean(skipna=False)})
    return pd.DataFrame(rows, columns=[*SCORE_KEYS, "pooling", *PARTS])


@or_nothing
def parts_table(results: Results, name: str, best: bool = False) -> Table:
    """`parts` as a table, mean (sd, ddof 0) over seeds; with `best`, of the models that are so on validation."""
    numbers = parts(of_best(results.predictions, results.best) if best else results.predictions)
    groups = numbers.groupby(["train_corpus", "target", "model", "pooling"], observed=True, sort=False)
    rows = []
    for (corpus, target, model, pooling), group in groups:
        names = (CORPORA.label(corpus), target, MODELS.label(model), POOLING_LABELS[pooling] or HERE)
        cells = [_mean(group[part], "ccc") for part in PARTS[:3]]
        rows.append((*names, *cells, _mean(group["ratio"], "mse"), _mean(group["shift"], "mse", signed)))
    columns = [("", PART_LABELS[part]) for part in PARTS]
    frame = _frame(rows, ["trained on", "of", "model", ""], columns)
    below = (
        "Not in the paper. CCC = r · C_b with C_b = 2 / (v + 1/v + u²) (Lin 1989): r is Pearson's correlation, v the "
        "ratio of the standard deviations, prediction / truth, and u the shift, (mean of the predictions − mean of the "
        "truth) / root of the product of the standard deviations. C_b is 1 at v = 1 and u = 0.",
        "The equation holds for every seed; of means over seeds, and of folds, only nearly.",
        captions.best(results) if best else _over_seeds(numbers),
        *captions.caveats(results),
        *captions.missing(results),
    )
    return Table(name, f"What the CCCs are made of{incomplete(results)}", frame, numbers, below)


def temperatures(predictions: pd.DataFrame) -> pd.DataFrame:
    """The temperature of each run: on the development utterances of its own corpus, all folds together.

    Returns:
        Columns: section, model, train_corpus, target, seed, temperature.
    """
    development = _in_domain(predictions[predictions["partition"] == "development"])
    labels, columns = classes(predictions), probability_columns(predictions)
    rows = []
    for key, run in development.groupby(MODEL_KEYS, observed=True, sort=False):
        codes = metrics.class_codes(run["truth"], labels, "truth")
        fitted = fit_temperature(run[columns].to_numpy("float64"), codes)
        rows.append({**dict(zip(MODEL_KEYS, key, strict=True)), "temperature": fitted})
    return pd.DataFrame(rows, columns=[*MODEL_KEYS, "temperature"])


def with_temperature(predictions: pd.DataFrame) -> pd.DataFrame:
    """Test predictions of classes with the columns correct, confidence, temperature and tempered (that confidence)."""
    rows = predictions[(predictions["partition"] == "test") & (predictions["target"] == EMOTION)]
    fitted = temperatures(predictions).set_index(MODEL_KEYS)["temperature"]
    temperature = fitted.reindex(pd.MultiIndex.from_frame(rows[MODEL_KEYS].astype(object))).to_numpy()
    without = rows.loc[np.isnan(temperature), "model"].unique()
    if len(without):
        raise ValueError(f"no development predictions of {first(without)}, on which the temperature is fitted")
    probabilities = rows[probability_columns(rows)].to_numpy("float64")
    return rows.assign(
        correct=(rows["truth"].astype(object) == rows["prediction"].astype(object)).astype("float64"),
        confidence=probabilities.max(axis=1),
        temperature=temperature,
        tempered=tempered(probabilities, temperature[:, None]).max(axis=1),
    )


def class_calibration(predictions: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Confidence against accuracy of every run and test set, as trained and at the temperature of development.

    In-domain the folds are pooled, across corpora the numbers of the folds are averaged. `seed` is that of `chance`.

    Returns:
        Columns: SCORE_KEYS, temperature, accuracy; of the probabilities as trained confidence (mean), ece and chance
        (`chance_error`), and of those at the temperature tempered_confidence, tempered_ece and tempered_chance.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for key, group in _tested(with_temperature(predictions)):
        scores = []
        for table in next(iter(samples(group).values())):
            score = {"accuracy": table["correct"].mean()}
            for name, before in {"confidence": "", "tempered": "tempered_"}.items():
                confidence = table[name].to_numpy()
                score[f"{before}confidence"] = confidence.mean()
                score[f"{before}ece"] = float(calibration_error(confidence, table["correct"].to_numpy()))
                score[f"{before}chance"] = chance_error(confidence, generator)
            scores.append(score)
        rows.append({**key, "temperature": group["temperature"].iloc[0], **pd.DataFrame(scores).mean()})
    return pd.DataFrame(rows)


@or_nothing
def calibration_table(results: Results, seed: int = 0) -> Table:
    """`class_calibration` as a table, in %, mean (sd, ddof 0) over seeds."""
    numbers = class_calibration(results.predictions, seed)
    columns = [
        ("", "accuracy"),
        ("as trained", "confidence"),
        ("as trained", "ECE"),
        ("as trained", "by chance"),
        ("at T", "T"),
        ("at T", "confidence"),
        ("at T", "ECE"),
        ("at T", "by chance"),
    ]
    shown = ["accuracy", "confidence", "ece", "chance"]
    shown += ["temperature", "tempered_confidence", "tempered_ece", "tempered_chance"]
    rows = []
    for (train, test, model), group in numbers.groupby(
        ["train_corpus", "test_corpus", "model"], observed=True, sort=False
    ):
        cells = [_mean(group[c], "mse") if c == "temperature" else _mean(PERCENT * group[c], "uar") for c in shown]
        rows.append((f"{CORPORA.label(train)} → {CORPORA.label(test)}", MODELS.label(model), *cells))
    of_runs = numbers.drop_duplicates(["model", "train_corpus", "seed"])["temperature"]
    stuck = sum(at_end(temperature) != 0 for temperature in of_runs)
    below = (
        "Not in the paper. Confidence: the probability of the class that is predicted, which should be as high as the "
        f"accuracy. ECE: the mean distance of the two over {BINS} bins of equal width (Guo et al. 2017), weighted by "
        "the bins' utterances, in points. By chance: the ECE that probabilities which are right show on average in as "
        "few utterances; only what is above it is miscalibration.",
        "T: the temperature, one a run, that makes the development utterances of its own corpus most likely; "
        "probabilities to the power of 1 / T. Above 1 a model was too sure. It changes no predicted class."
        + (
            f" {stuck} of {len(of_runs)} lie at an end of the range {TEMPERATURES[0]} to {TEMPERATURES[1]:.0f}."
            * bool(stuck)
        ),
        "Training counts every class the same however rare it is, so the probabilities are those of a corpus in which "
        "all are as frequent; a part of the ECE is that, and no temperature mends it.",
        _over_seeds(numbers) + " In-domain the folds are pooled, across corpora their numbers averaged.",
        *captions.caveats(results),
        *captions.missing(results),
    )
    frame = _frame(rows, ["corpora", "model"], columns)
    return Table("calibration", f"Confidence and accuracy (%){incomplete(results)}", frame, numbers, below)


def mean_errors(table: Table | Nothing) -> str:
    """The mean ECE in a table of `calibration_table`, before and after the temperature, as a sentence."""
    if isinstance(table, Nothing):
        return str(table)
    means = table.numbers.groupby("model", observed=True)[["ece", "tempered_ece"]].mean().mean()
    return (
        f"mean ECE of all models and corpora: {means['ece']:.1%}, at the temperature of development "
        f"{means['tempered_ece']:.1%}"
    )


def reliability(
    expected: np.ndarray,
    observed: np.ndarray,
    bins: np.ndarray,
    speakers: Sequence[str] | pd.Series,
    generator: np.random.Generator,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Mean of what was observed against that of what was predicted, in each bin that holds utterances.

    Args:
        expected: prediction of each utterance: a rating, or the confidence.
        observed: its truth: a rating, or whether the prediction is right (0, 1).
        bins: its bin.
        speakers: who talks; they are resampled, whole, for the interval, the models and bins taken as given.
        generator: draws the resamples.
        draws: how many resamples.

    Returns:
        One row a bin. Columns: bin, expected, observed, low, high (at .95; NaN with fewer than FEWEST_SPEAKERS in all),
        utterances.
    """
    codes, names = pd.factorize(np.asarray(bins), sort=True)
    clusters, known = pd.factorize(np.asarray(speakers, dtype=object))
    shape = (len(known), len(names))
    place = clusters * len(names) + codes
    sums = [np.bincount(place, of, minlength=np.prod(shape)).reshape(shape) for of in (None, expected, observed)]
    count, of_expected, of_observed = (table.astype("float64") for table in sums)
    rows = []
    for number, name in enumerate(names):

        def _observed(weights: np.ndarray, number: int = number) -> np.ndarray:
            size = weights @ count[:, number]
            return np.divide(weights @ of_observed[:, number], size, out=np.full(size.shape, np.nan), where=size > 0)

        interval = statistics.resample(_observed, (len(known),), generator, draws, 1 - statistics.ALPHA)
        few = len(known) < FEWEST_SPEAKERS
        size = count[:, number].sum()
        rows.append(
            {
                "bin": name,
                "expected": of_expected[:, number].sum() / size,
                "observed": interval.score,
                "low": np.nan if few else interval.low,
                "high": np.nan if few else interval.high,
                "utterances": int(size),
            }
        )
    return pd.DataFrame(rows)


def rating_bins(predictions: pd.Series, bins: int = RATING_BINS) -> pd.Series:
    """The bin of each prediction, by rank, with the same number of utterances in each; equal predictions share one.

    >>> rating_bins(pd.Series([1.0, 5.0, 2.0, 3.0]), bins=2).tolist()
    [0, 1, 0, 1]
    """
    return np.floor((predictions.rank() - 0.5) * bins / len(predictions)).astype("int64")


@or_nothing
def plot_rating_reliability(results: Results, draws: int = DRAWS, seed: int = 0) -> Figure:
    """Mean truth against mean prediction of test utterances in-domain; a row a dimension and corpus, a column a model.

    Each seed's predictions, its folds pooled, are in RATING_BINS bins with the same number of utterances. Thin: a seed;
    thick: all seeds together, with intervals at .95 over speakers where these are no fewer than FEWEST_SPEAKERS. On the
    diagonal predictions are right on average; a flatter line: they spread too far; one beside it: a shift.
    """
    generator = np.random.default_rng(seed)
    test = _in_domain(results.predictions[results.predictions["partition"] == "test"])
    models = figures.in_order(test["model"])
    rows = [
        (corpus, target, rows)
        for corpus in sorted(test["train_corpus"].unique(), key=CORPORA.position)
        for target in DIMENSIONS
        if len(rows := test[(test["train_corpus"] == corpus) & (test["target"] == target)])
    ]
    with figures.drawing(len(models), len(rows), PANEL, results.simulated) as (figure, axes):
        for row, (corpus, target, of_row) in zip(axes, rows, strict=True):
            for axis, model, runs in _panels(row, models, of_row):
                axis.set(title=MODELS.label(model), xlabel=f"predicted {target}")
                if runs.empty:
                    axis.set_axis_off()
                    continue
                runs = runs.assign(bin=runs.groupby("seed")["prediction"].transform(rating_bins))
                for _, run in runs.groupby("seed"):
                    means = run.groupby("bin")[["prediction", "truth"]].mean()
                    axis.plot(means["prediction"], means["truth"], color=MODELS.find(model).colour, **THIN)
                names = statistics.cluster_names(runs)
                together = reliability(runs["prediction"], runs["truth"], runs["bin"], names, generator, draws)
                _plot_bins(axis, together, model)
            _plot_diagonals(row)
            row[0].set_ylabel(f"rated, {CORPORA.label(corpus)}")
        handles = [
            Line2D([], [], color=GREY, **THIN, label="a seed"),
            Line2D([], [], color=GREY, **THICK, marker="o", label="all seeds; bar: 95 % over speakers"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


@or_nothing
def plot_class_reliability(results: Results, draws: int = DRAWS, seed: int = 0) -> Figure:
    """Reliability diagram: accuracy against confidence of the class that is predicted, on test utterances in-domain.

    A row a corpus, a column a model; the bins of the ECE, with all seeds and folds together, larger points holding more
    utterances. In the model's colour as trained, with intervals at .95 over speakers where these are no fewer than
    FEWEST_SPEAKERS; black and thin: at the temperature. Titles give the mean ECE of the seeds before and after it.
    """
    generator = np.random.default_rng(seed)
    test = _in_domain(with_temperature(results.predictions))
    errors = _in_domain(class_calibration(results.predictions, seed))
    models, corpora = _models_and_corpora(test)
    with figures.drawing(len(models), len(corpora), PANEL, results.simulated) as (figure, axes):
        for row, corpus in zip(axes, corpora, strict=True):
            for axis, model, runs in _panels(row, models, test[test["train_corpus"] == corpus]):
                error = errors[(errors["train_corpus"] == corpus) & (errors["model"] == model)]
                before, after = (f"{PERCENT * error[name].mean():.1f}" for name in ("ece", "tempered_ece"))
                axis.set(title=f"{MODELS.label(model)}\nECE {before} → {after} %", xlabel="confidence")
                if runs.empty:
                    axis.set_axis_off()
                    continue
                tempered_means = runs.groupby(confidence_bins(runs["tempered"]))[["tempered", "correct"]].mean()
                axis.plot(tempered_means["tempered"], tempered_means["correct"], **TEMPERED)
                names, bins = statistics.cluster_names(runs), confidence_bins(runs["confidence"])
                together = reliability(runs["confidence"], runs["correct"], bins, names, generator, draws)
                _plot_bins(axis, together, model)
            _plot_diagonals(row)
            row[0].set_ylabel(f"accuracy, {CORPORA.label(corpus)}")
        handles = [
            Line2D([], [], color=GREY, **THICK, marker="o", label="as trained; bar: 95 % over speakers"),
            Line2D([], [], **TEMPERED, label="at the temperature of development"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


@or_nothing
def plot_rejection(results: Results) -> Figure:
    """Error against coverage: what is wrong of the surest test utterances in-domain; a row a corpus, a column a model.

    The surer utterances are at the temperature, the more to the left. Thin: a seed, its folds pooled; thick: their
    mean, from FEWEST answers on. Grey: the error of all, which a confidence that says nothing would have everywhere.
    Titles give the mean area under the lines of the seeds (Geifman et al. 2019).
    """
    test = _in_domain(with_temperature(results.predictions))
    models, corpora = _models_and_corpora(test)
    with figures.drawing(len(models), len(corpora), PANEL, results.simulated) as (figure, axes):
        for row, corpus in zip(axes, corpora, strict=True):
            for axis, model, runs in _panels(row, models, test[test["train_corpus"] == corpus]):
                axis.set(title=MODELS.label(model), xlabel="answered (%)")
                if runs.empty:
                    axis.set_axis_off()
                    continue
                curves = [rejection_curve(run["tempered"], run["correct"] == 1) for _, run in runs.groupby("seed")]
                mean_area = PERCENT * np.mean([area(curve) for curve in curves])
                axis.set_title(f"{MODELS.label(model)}\narea {mean_area:.1f} %")
                _plot_rejection(axis, curves, model)
            row[0].set_ylabel(f"wrong (%), {CORPORA.label(corpus)}")
            high = max(axis.get_ylim()[1] for axis in row if axis.has_data())
            for axis in row:
                axis.set_ylim(0, high)
        handles = [
            Line2D([], [], color=GREY, **THIN, label="a seed"),
            Line2D([], [], color=GREY, **THICK, label="mean of seeds"),
            Line2D([], [], **CHANCE, label="error of all"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def _models_and_corpora(test: pd.DataFrame) -> tuple[list[str], list[str]]:
    """What a figure of panels has columns and rows of, each in the registry's order."""
    return figures.in_order(test["model"]), sorted(test["train_corpus"].unique(), key=CORPORA.position)


def _panels(
    row: Sequence[Axes], models: Sequence[str], of_corpus: pd.DataFrame
) -> Iterator[tuple[Axes, str, pd.DataFrame]]:
    """The panels of a row, each with its model and that model's predictions, of which there may be none."""
    for axis, model in zip(row, models, strict=True):
        yield axis, model, of_corpus[of_corpus["model"] == model]


def _plot_rejection(axis: Axes, curves: Sequence[pd.DataFrame], model: str) -> None:
    """The lines of `curves`, one a seed, in one panel."""
    colour, coverage = MODELS.find(model).colour, np.linspace(0, 1, 101)
    errors = []
    for curve in curves:
        total = curve["answered"].iloc[-1]
        answered = np.where(coverage * total >= min(FEWEST, total), coverage * total, np.nan)
        errors.append(PERCENT * error_at(curve, answered))
        axis.plot(PERCENT * coverage, errors[-1], color=colour, **THIN)
    mean = np.mean(errors, axis=0)
    axis.plot(PERCENT * coverage, mean, color=colour, **THICK)
    axis.axhline(mean[-1], **CHANCE)
    axis.set(xlim=(0, PERCENT))


def _plot_bins(axis: Axes, bins: pd.DataFrame, model: str) -> None:
    """The line of a table of `reliability`, its points as large as the bins' share, and intervals where it has them."""
    spec = MODELS.find(model)
    axis.plot(bins["expected"], bins["observed"], spec.dash, color=spec.colour, **THICK)
    sizes = POINT * bins["utterances"] / bins["utterances"].max()
    axis.scatter(bins["expected"], bins["observed"], s=sizes, color=spec.colour)
    axis.vlines(bins["expected"], bins["low"], bins["high"], color=spec.colour)


def _plot_diagonals(axes: np.ndarray) -> None:
    """The line on which predictions are right on average, in panels of one row: of the same reach, both ways."""
    drawn = [axis for axis in axes if axis.has_data()]
    reach = [limit for axis in drawn for limit in (*axis.get_xlim(), *axis.get_ylim())]
    for axis in drawn:
        axis.axline((0, 0), slope=1, color="black", linewidth=1, zorder=1)
        axis.set(xlim=(min(reach), max(reach)), ylim=(min(reach), max(reach)), aspect="equal")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _tested(predictions: pd.DataFrame, in_domain: bool = False) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """SCORE_KEYS and rows of every run and test corpus, models and corpora in order."""
    test = predictions[predictions["partition"] == "test"]
    test = _in_domain(test) if in_domain else test
    groups = test.groupby(list(SCORE_KEYS), observed=True, sort=False)
    for key, group in sorted(groups, key=lambda item: _place(dict(zip(SCORE_KEYS, item[0], strict=True)))):
        yield dict(zip(SCORE_KEYS, key, strict=True)), group


def _place(key: dict[str, Any]) -> tuple[Any, ...]:
    train, test = key["train_corpus"], key["test_corpus"]
    return (
        CORPORA.position(train),
        train != test,
        str(test),
        MODELS.position(key["model"]),
        key["target"],
        key["seed"],
    )


def _in_domain(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["train_corpus"].astype(object) == table["test_corpus"].astype(object)]


def _mean(values: pd.Series, metric: str, text: Callable[[float, str], str] = number_text) -> str:
    """Mean (sd, ddof 0) of one value a seed, in the metric's decimals; of a single one no sd."""
    spread = "" if len(values) == 1 else f" ({number_text(values.std(ddof=0), metric)})"
    return text(values.mean(), metric) + spread


def _frame(rows: list[tuple[str, ...]], names: list[str], columns: list[tuple[str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [row[len(names) :] for row in rows], pd.MultiIndex.from_tuples([row[: len(names)] for row in rows])
    )
    frame.columns = pd.MultiIndex.from_tuples(columns)
    return sorted_rows(frame.rename_axis(index=names))


def _over_seeds(numbers: pd.DataFrame) -> str:
    seeds = numbers["seed"].nunique()
    return f"Mean (sd, ddof 0) over {seeds} seed{'s' * (seeds > 1)}."
