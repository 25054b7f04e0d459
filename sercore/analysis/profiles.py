"""All tasks of a study at once: interquartile mean, probability of improvement and performance profiles.

Agarwal et al. (2021, "Deep reinforcement learning at the edge of the statistical precipice") show with them what a
table of means hides where seeds are few; none of it is in the paper. A task is a section, a pair of corpora and a
target, its score the main metric, scaled so that 0 is chance and 1 is perfect: a UAR less 1 / classes, over 1 - 1 /
classes; CCC and PCC as they are. Intervals are of other seeds, the speakers taken as given: seeds are resampled within
each training task, whose runs are tested on several test sets and targets, so that the scores of one run stay together
(the original draws each task on its own), and for all models alike, since late fusion is made of the runs of others.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from sercore.analysis import captions, statistics
from sercore.analysis.comparisons import SEED
from sercore.analysis.figures import drawing, in_order
from sercore.analysis.nothing import or_nothing, present
from sercore.analysis.results import Results, classes, main_metric
from sercore.analysis.tables import Table, incomplete
from sercore.registry import METRICS, MODELS, SECTIONS

DRAWS = 2000
TASK = ["section", "train_corpus", "test_corpus", "target"]
TRAINING = ["section", "train_corpus", "trained_for"]  # what a run is of, but for model and seed
SHOWN = (0.0, 0.25, 0.5, 0.75)  # thresholds of a profile that the table has
THRESHOLDS = np.linspace(-0.25, 1, 126)


def task_scores(sections: Sequence[Results]) -> pd.DataFrame:
    """The score of every model on every task, 0 for chance and 1 for perfect: a row a task and seed, a column a model.

    Index: TASK, trained_for (the target of a run that has one of its own) and seed. NaN where a model has no such run.
    """
    parts = []
    for results in sections:
        scored = results.scores[(results.scores["partition"] == "test")]
        in_domain = scored["train_corpus"].astype(object) == scored["test_corpus"].astype(object)
        main = [main_metric(t, inside) for t, inside in zip(scored["target"], in_domain, strict=True)]
        scored = scored[(scored["metric"] == main) & ~(in_domain & (scored["pooling"] == "folds"))]
        categorical = scored["metric"].map(lambda name: METRICS[name].categorical)
        chance = categorical / max(len(classes(results.predictions)), 1)
        share = scored["score"] / scored["metric"].map(lambda name: METRICS[name].scale)
        alone = results.section in SECTIONS and SECTIONS[results.section].single_task
        trained_for = scored["target"].astype(str) if alone else ""
        parts.append(scored.assign(score=(share - chance) / (1 - chance), trained_for=trained_for))
    together = pd.concat(parts, ignore_index=True).astype(dict.fromkeys([*TASK, "model"], "str"))
    wide = together.pivot(index=[*TASK, "trained_for", "seed"], columns="model", values="score")
    return wide[in_order(together["model"])]


def shared(scores: pd.DataFrame) -> pd.DataFrame:
    """The tasks and seeds of `task_scores` that all of its models have, so that they are judged by the same.

    A seed without a score on one of the tasks of its training is left out.
    """
    known = scores.dropna()
    tasks = known.iloc[:, 0].groupby([*TRAINING, "seed"]).transform("size")
    return known[tasks == tasks.groupby(TRAINING).transform("max")]


def draw(scores: pd.DataFrame, generator: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Rows of `shared` scores (draws, rows), the seeds of each training resampled, the same for all of its tasks."""
    parts = []
    for _, training in pd.Series(np.arange(len(scores)), scores.index).groupby(TRAINING, sort=False):
        places = training.unstack("seed").to_numpy()  # (tasks, seeds)
        drawn = generator.integers(places.shape[1], size=(draws, places.shape[1]))
        parts.append(places[:, drawn].swapaxes(0, 1).reshape(draws, -1))
    return np.concatenate(parts, axis=1)


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Mean of the middle half of the scores (..., rows, models) -> (..., models)."""
    return stats.trim_mean(scores, 0.25, axis=-2)


def profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of the scores (..., rows, models) above each threshold -> (..., thresholds, models)."""
    return np.stack([(scores > threshold).mean(axis=-2) for threshold in thresholds], axis=-2)


def improvement(
    scores: pd.DataFrame, model: str, other: str, generator: np.random.Generator, draws: int = DRAWS
) -> tuple[float, float, float, int]:
    """Chance that a run of `model` scores above one of `other` on the same task, mean over the tasks that both have.

    Ties count half. Returns it, the ends of its interval at .95, and the number of tasks; NaN without a common task.
    """
    both = shared(scores[[model, other]])
    if both.empty:
        return np.nan, np.nan, np.nan, 0
    chances, of_draws = [], []
    for _, training in both.groupby(TRAINING, sort=False):
        ours, theirs = (training[name].unstack("seed").to_numpy() for name in (model, other))  # (tasks, seeds)
        wins = np.heaviside(ours[:, :, None] - theirs[:, None, :], 0.5)
        drawn = generator.integers(ours.shape[1], size=(draws, ours.shape[1]))
        chances.append(wins.mean(axis=(1, 2)))
        of_draws.append(wins[:, drawn[:, :, None], drawn[:, None, :]].mean(axis=(2, 3)))
    found = np.concatenate(chances)
    low, high = np.quantile(np.concatenate(of_draws).mean(axis=0), _ends())
    return float(found.mean()), float(low), float(high), len(found)


@or_nothing
def numbers(sections: Sequence[Results], draws: int = DRAWS, seed: int = SEED) -> pd.DataFrame:
    """The numbers of the figure, tidy.

    Returns:
        Columns: measure (interquartile mean, probability of improvement, share above), model, other (of an
        improvement), threshold (of a share), value, low, high (95 % over seeds), tasks.

    Raises:
        ValueError: no task and seed has a score of every model.
    """
    scores, generator = task_scores(present(sections)), np.random.default_rng(seed)
    everyone = shared(scores)
    if everyone.empty:
        raise ValueError(
            f"no task and seed has a score of all of {', '.join(scores.columns)}; give sections of the same"
        )
    drawn = everyone.to_numpy()[draw(everyone, generator, draws)]  # (draws, rows, models)
    tasks = len(everyone.index.droplevel("seed").unique())
    rows = []

    def add(measure: str, threshold: float, found: np.ndarray, of_draws: np.ndarray) -> None:
        for place, model in enumerate(scores.columns):
            low, high = np.quantile(of_draws[:, place], _ends())
            rows.append((measure, model, "", threshold, found[place], low, high, tasks))

    add("interquartile mean", np.nan, interquartile_mean(everyone.to_numpy()), interquartile_mean(drawn))
    for first, second in combinations(scores.columns, 2):
        rows.append(
            ("probability of improvement", second, first, np.nan, *improvement(scores, second, first, generator, draws))
        )
    shares, of_draws = profile(everyone.to_numpy(), THRESHOLDS), profile(drawn, THRESHOLDS)
    for place, threshold in enumerate(THRESHOLDS):
        add("share above", threshold, shares[place], of_draws[:, place])
    return pd.DataFrame(rows, columns=["measure", "model", "other", "threshold", "value", "low", "high", "tasks"])


@or_nothing
def plot(found: pd.DataFrame, simulated: bool) -> Figure:
    """Three panels of `numbers`: interquartile means, probabilities of improvement, performance profiles."""
    means, chances, shares = (
        found[found["measure"] == measure]
        for measure in ("interquartile mean", "probability of improvement", "share above")
    )
    chances = chances.dropna(subset="value")
    with drawing(3, 1, (6.4, 6.2), simulated) as (figure, axes):
        left, middle, right = axes.flat
        for axis, part in ((left, means), (middle, chances)):
            for place, row in enumerate(part.itertuples()):
                style = {"color": MODELS.find(row.model).colour, "linewidth": 4, "solid_capstyle": "butt"}
                axis.plot([row.low, row.high], [place, place], **style)
                axis.plot(row.value, place, "o", color="black", markersize=7)
            axis.set_ylim(max(len(part), 1) - 0.5, -0.5)
        left.set_yticks(range(len(means)), map(MODELS.label, means["model"]))
        left.set(title="interquartile mean", xlabel="score (0 chance, 1 perfect)")
        labels = [f"{MODELS.label(row.model)} over {MODELS.label(row.other)}" for row in chances.itertuples()]
        middle.set_yticks(range(len(chances)), labels)
        middle.axvline(0.5, color="black", linewidth=1)
        middle.set(title="probability of improvement", xlabel="of one run over another", xlim=(-0.02, 1.02))
        for model, curve in shares.groupby("model", sort=False):
            spec = MODELS.find(str(model))
            right.plot(
                curve["threshold"], curve["value"], spec.dash, color=spec.colour, linewidth=2.5, label=spec.label
            )
            right.fill_between(
                curve["threshold"], curve["low"], curve["high"], color=spec.colour, alpha=0.2, linewidth=0
            )
        right.set(title="performance profile", xlabel="score (0 chance, 1 perfect)", ylabel="share of runs above")
        right.legend(frameon=False)
    return figure


@or_nothing
def table(sections: Sequence[Results], found: pd.DataFrame, name: str = "profiles") -> Table:
    """`numbers` as a table, of the profiles a few thresholds."""
    shown = found[found["threshold"].isna() | np.isclose(found["threshold"].to_numpy()[:, None], SHOWN).any(axis=1)]
    rows = []
    for row in shown.itertuples():
        above = f"share above {row.threshold:.2f}" if row.threshold == row.threshold else row.measure
        models = MODELS.label(row.model) + (f" over {MODELS.label(row.other)}" if row.other else "")
        ends = "not known" if np.isnan(row.low) else f"{row.low:.2f} to {row.high:.2f}"
        rows.append((above, models, f"{row.value:.2f}", ends, str(row.tasks)))
    frame = pd.DataFrame(rows).set_index([0, 1]).rename_axis(["measure", "models"])
    frame.columns = pd.MultiIndex.from_product([["over all tasks"], ["here", "95 %", "tasks"]])
    notes = (
        "Not in the paper: the measures of Agarwal et al. (2021). A task is a section, a pair of corpora and a target; "
        "scores (UAR, CCC, across corpora PCC) are scaled to 0 for chance and 1 for perfect.",
        "Interquartile mean and profile: of the tasks and seeds that all models have. Probability of improvement: of "
        "the tasks that both have, a tie counts half; .5 is no difference, and it does not say how large one is.",
        f"95 %: {DRAWS} resamples of the seeds of each training task, together for all of its test sets and targets "
        "and for all models; with few seeds these intervals are too narrow. The test speakers are taken as given.",
        *dict.fromkeys(note for results in sections for note in captions.caveats(results)),
        *(note for results in sections for note in captions.missing(results)),
    )
    title = f"All tasks together{incomplete(sections[0])}"
    return Table(name, title, frame, found, notes)


def _ends() -> tuple[float, float]:
    return statistics.ALPHA / 2, 1 - statistics.ALPHA / 2
