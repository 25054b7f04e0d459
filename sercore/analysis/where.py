"""Where should language enter? What each stage of CNN14 gains from the text, from runs with different sets of stages.

The value of a stage is its Shapley value: what it adds to the score, the mean over all orders in which the stages may
be conditioned one after the other (Shapley 1953). All 64 sets give it exactly; fewer give the weighted least-squares
estimate of Lundberg and Lee (NeurIPS 2017, theorem 2), which is exact where the sets' scores add up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sercore import corpora, files, settings
from sercore.analysis import captions, results, statistics
from sercore.analysis.comparisons import interval, signed
from sercore.analysis.figures import drawing
from sercore.analysis.nothing import NothingToShow
from sercore.analysis.results import Results
from sercore.analysis.tables import Table
from sercore.corpora import wording
from sercore.registry import METRICS, MODELS
from sercore.settings import NetworkSettings, TextSettings
from sercore.study import config

STAGES = (1, 2, 3, 4, 5, 6)
CORE = ((), *((stage,) for stage in STAGES), *(STAGES[:k] for k in range(2, 7)), *(STAGES[k:] for k in range(1, 5)))
"""The sets of parameters/where.yaml: none, each stage alone, the first k, and all from the k-th on."""
DRAWS = 2000
SEED = 0
TRAINED = [name for name, spec in MODELS.items() if spec.trained]  # late fusion is none of the runs
Stages = tuple[int, ...]


@dataclass(frozen=True)
class Where:
    """The runs of one section by the stages that they condition, all else equal."""

    study: config.Study
    by_stages: dict[Stages, Results]
    runs: dict[Stages, list[config.Run]]

    @property
    def any(self) -> Results:
        """The runs of one set, for what is the same in all of them."""
        return next(iter(self.by_stages.values()))


def read(
    study: config.Study | str,
    section: str,
    incomplete: str = "refuse",
    *,
    shuffled: bool = False,
    text_dropout: float = 0.0,
    mechanism: str = "shift",
) -> Where:
    """The runs of `section` by their stages.

    Args:
        study: A study, or its parameters file.
        section: Name of a section.
        incomplete: As results.read takes it.
        shuffled: Whether the transcripts are those of other utterances: the control.
        text_dropout: Of the runs; the set without any stage has none.
        mechanism: Of the runs.

    Raises:
        FileNotFoundError: Runs are missing, as results.read raises it.
        NothingToShow: There are no such runs.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    members: dict[Stages, list[config.Run]] = {}
    for run in study.section(section):
        if not run.complete and incomplete != "refuse":
            continue
        change = (run.parameters.get("changes") or {}).get(run.parameters.get("change"), {})
        network = settings.build(NetworkSettings, {**run.parameters.get("network", {}), **change.get("network", {})})
        text = settings.build(TextSettings, {**run.parameters.get("text", {}), **change.get("text", {})})
        stages = settings.stages_of(str(run.parameters["model"]), network)
        told = (text.shuffled, network.text_dropout, network.mechanism)
        if told != (shuffled, text_dropout if stages else 0.0, mechanism if stages else "shift"):
            continue
        members.setdefault(stages, []).append(run)
    if not any(members):  # the set without any stage is everybody's
        raise NothingToShow(
            f"no complete run of section '{section}' of {study.path} with shuffled {shuffled}, text_dropout "
            f"{text_dropout:g} and mechanism {mechanism}"
        )
    order = sorted(members, key=lambda stages: (len(stages), stages))
    found = {stages: results.read(study, section, incomplete, members[stages]) for stages in order}
    return Where(study, found, {stages: members[stages] for stages in order})


def shapley(values: Mapping[Stages, np.ndarray]) -> np.ndarray:
    """The Shapley value of each stage: of scores (...) by set of stages -> (..., 6).

    They add up to the score with all stages less that with none. Raises ValueError where one of these two is not there,
    or the sets do not tell the stages apart.
    """
    if () not in values or STAGES not in values:
        raise ValueError("Shapley values need the runs without any stage and those with all of them")
    none, everything = np.asarray(values[()], dtype="float64"), np.asarray(values[STAGES], dtype="float64")
    inner = [stages for stages in values if 0 < len(stages) < len(STAGES)]
    design = np.array([[stage in stages for stage in STAGES] for stages in inner], dtype="float64").reshape(-1, 6)
    size = design.sum(axis=1)
    count = np.array([math.comb(len(STAGES), int(k)) for k in size])
    weights = (len(STAGES) - 1) / (count * size * (len(STAGES) - size)) if len(inner) else np.empty(0)
    # the last stage's value follows from the sum, so the others are estimated from differences to it
    reduced = design[:, :-1] - design[:, -1:]
    if np.linalg.matrix_rank(reduced) < len(STAGES) - 1:
        raise ValueError(f"{len(inner)} sets between none and all do not tell the six stages apart; run more of them")
    gain = np.stack([np.asarray(values[stages], dtype="float64") - none for stages in inner], axis=-1)
    left = gain - design[:, -1] * (everything - none)[..., None]
    root = np.sqrt(weights)
    solution = np.linalg.pinv(reduced * root[:, None]) @ np.moveaxis(left * root, -1, 0).reshape(len(inner), -1)
    first = np.moveaxis(solution.reshape(len(STAGES) - 1, *none.shape), 0, -1)
    last = (everything - none) - first.sum(axis=-1)
    return np.concatenate([first, last[..., None]], axis=-1)


def importance(where: Where, corpus: str, target: str, metric: str, draws: int = DRAWS) -> pd.DataFrame:
    """The Shapley value of each stage on the test utterances of `corpus`, in-domain.

    Returns:
        One row a stage: stage, value, low, high: an interval of .95 that holds for all six together (the largest
        studentised deviation over stages, max-T), where seeds, paired over the sets, and speakers are resampled
        (statistics.crossed_difference); NaN with one seed or one speaker. In the metric's printed unit.
    """
    sums = _sums(where, corpus, target, metric)
    anyone = next(iter(sums.values()))
    sizes = (len(anyone.clusters), len(anyone.seeds))
    generator = np.random.default_rng(SEED)
    scale = METRICS[metric].scale
    estimate = (
        scale
        * shapley({stages: _crossed(of, *(np.ones((1, size)) for size in sizes)) for stages, of in sums.items()})[0]
    )
    rows = pd.DataFrame({"stage": STAGES, "value": estimate})
    if min(sizes) < 2:
        return rows.assign(low=np.nan, high=np.nan)
    weights = [
        generator.multinomial(size, np.full(size, 1 / size), size=draws).astype("float64") * 1.0 for size in sizes
    ]
    drawn = scale * shapley({stages: _crossed(of, *weights) for stages, of in sums.items()})
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    error = drawn.std(axis=0, ddof=1)
    widen = math.sqrt(max(size / (size - 1) for size in sizes))  # resamples of few units vary too little
    largest = np.abs((drawn - drawn.mean(axis=0)) / np.where(error > 0, error, np.inf)).max(axis=1)
    reach = float(np.quantile(largest, 1 - statistics.ALPHA)) * widen * error
    return rows.assign(low=estimate - reach, high=estimate + reach)


def scores(where: Where, corpus: str, target: str, metric: str, draws: int = DRAWS) -> pd.DataFrame:
    """The mean score over seeds of each set of stages, with its interval over seeds and speakers, in the printed unit.

    Columns: stages, score, low, high.
    """
    scale = METRICS[metric].scale
    rows = []
    for stages, of in _sums(where, corpus, target, metric).items():
        found = statistics.crossed_interval(of, np.random.default_rng(SEED), draws)
        rows.append(
            {"stages": stages, "score": scale * found.score, "low": scale * found.low, "high": scale * found.high}
        )
    return pd.DataFrame(rows)


def _sums(where: Where, corpus: str, target: str, metric: str) -> dict[Stages, statistics.Sums]:
    """Sums of each set's predictions, on the same speakers and of the seeds that all sets have."""
    found: dict[Stages, statistics.Sums] = {}
    for stages, part in where.by_stages.items():
        rows = in_domain(part.predictions, corpus)
        rows = rows[(rows["target"] == target) & rows["model"].isin(TRAINED)]
        if rows.empty:  # this set was not run on this corpus
            continue
        labels = results.classes(rows) if METRICS[metric].categorical else ()
        found[stages] = statistics.sums(rows, metric, labels=labels)
    if not found:
        raise NothingToShow(f"no predictions of {target} on '{corpus}' with any set of stages")
    first = next(iter(found.values()))
    seeds = first.seeds
    for of in found.values():
        seeds = seeds.intersection(of.seeds)
    if not len(seeds):
        raise ValueError("no seed has been run with every set of stages")
    return {
        stages: of.at(first.clusters, of.runs[of.runs.get_level_values("seed").isin(seeds)])
        for stages, of in found.items()
    }


def _crossed(of: statistics.Sums, speakers: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return of.crossed(speakers, seeds)


def words(where: Where, corpus: str) -> pd.Series:
    """Utterance of `corpus` -> whether its words can tell, see corpora.wording.telling."""
    options = dict(where.study.corpora[corpus])
    rows = corpora.read(corpus, options.pop("root"), **options).utterances
    return wording.telling(rows).set_axis(rows["utterance"])


def by_words(where: Where, corpus: str, target: str, metric: str) -> pd.DataFrame:
    """The scores of each set of stages where words tell, tell nothing and mislead, on the test utterances of `corpus`.

    Returns:
        One row a set, seed and kind of words: stages, seed, words (a name of wording.LABELS), score in the printed
        unit (NaN without a class), utterances. Where words mislead, an utterance is told those of another one, of the
        opposite valence (corpora.transcripts.oppose).
    """
    kinds = words(where, corpus)
    rows = []
    for stages, part in where.by_stages.items():
        test = in_domain(part.predictions, corpus)
        groups = {kind: test[test["utterance"].map(kinds) == kind] for kind in (wording.TELL, wording.NOTHING)}
        groups[wording.MISLEAD] = misled(where, stages, corpus)
        for kind, group in groups.items():
            group = group[group["target"] == target] if len(group) else group
            if group.empty:
                continue
            labels = results.classes(group) if METRICS[metric].categorical else ()
            for seed, one in group.groupby("seed", observed=True):
                value = statistics.sums(one, metric, runs=(), labels=labels)
                score = METRICS[metric].scale * float(value.resampled(np.ones((1, len(value.clusters))))[0])
                rows.append({"stages": stages, "seed": seed, "words": kind, "score": score, "utterances": len(one)})
    return pd.DataFrame(rows, columns=["stages", "seed", "words", "score", "utterances"])


def words_table(scored: pd.DataFrame) -> pd.DataFrame:
    """What `by_words` gives, the mean over seeds: a row each set of stages, a column each kind of words."""
    means = scored.groupby(["stages", "words"])["score"].mean().unstack()
    names = [", ".join(map(str, stages)) or "none" for stages in means.index]
    return (
        means.set_axis(pd.Index(names, name="stages"))
        .reindex(columns=list(wording.LABELS))
        .rename(columns=wording.LABELS)
    )


def misled(where: Where, stages: Stages, corpus: str) -> pd.DataFrame:
    """Predictions of the runs with `stages` that are told misleading words; those without a stage are told nothing."""
    tables = {
        name: [
            files.read_table(run.folder / files.TRANSCRIPT_SHIFT)
            for run in runs
            if run.parameters["corpus"] == corpus and (run.folder / files.TRANSCRIPT_SHIFT).exists()
        ]
        for name, runs in where.runs.items()
    }
    told = {name: pd.concat(parts).query("opposed") for name, parts in tables.items() if parts}
    if stages or not told:
        return told.get(stages, pd.DataFrame())
    plain = where.by_stages[stages].predictions
    return in_domain(plain[plain["utterance"].isin(next(iter(told.values()))["utterance"])], corpus)


def in_domain(predictions: pd.DataFrame, corpus: str) -> pd.DataFrame:
    """The rows of test utterances of `corpus`, of models that were trained on it."""
    own = (predictions["train_corpus"] == corpus) & (predictions["test_corpus"] == corpus)
    return predictions[own & (predictions["partition"] == "test")]


def told_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """The scores of one run where a stage is told something else: of what training.stages.evaluate returns.

    One row an intervention, a column each target and metric, and how much of the stage the text explains; empty for a
    model without text.
    """
    if predictions.empty:
        return pd.DataFrame()
    found = results.scores(predictions, by=["stage", "told"])
    found = found[found["pooling"] != "folds"]
    table = found.pivot_table(index=["stage", "told"], columns=["target", "metric"], values="score", sort=False)
    table[("text", "explained")] = predictions.groupby(["stage", "told"])["explained"].mean()
    return table


def table(where: Where, corpus: str, asked: Sequence[tuple[str, str]], draws: int = DRAWS) -> Table:
    """The Shapley values of the six stages, a column each of `asked`, which are (target, metric)."""
    parts = {pair: importance(where, corpus, *pair, draws) for pair in asked}
    frame = pd.DataFrame(
        {
            (target, METRICS[metric].label): [
                f"{signed(row.value, metric)} ({interval(row.low, row.high, metric)})" for row in part.itertuples()
            ]
            for (target, metric), part in parts.items()
        },
        index=pd.Index([str(stage) for stage in STAGES], name="stage"),
    )
    numbers = pd.concat([part.assign(target=target, metric=metric) for (target, metric), part in parts.items()])
    sets = len(where.by_stages)
    how = "exact, from all 64 sets" if sets == 2 ** len(STAGES) else f"estimated from {sets} sets"
    below = (
        f"Not in the paper. Shapley values of the stages, {how}, on {corpus}, in-domain: what each adds, the mean over "
        "all orders; they add up to what all stages gain. Intervals of .95 over seeds and speakers hold for the six "
        "stages of a column together.",
        *captions.caveats(where.any),
    )
    return Table(
        "where", f"What each stage gains from the text, {corpus}", frame, numbers.reset_index(drop=True), below
    )


def plot(where: Where, corpus: str, asked: Sequence[tuple[str, str]], draws: int = DRAWS) -> Figure:
    """A panel of scores for each (target, metric) of `asked` above the sets as dots, and Shapley values beside it."""
    sets = list(where.by_stages)
    with drawing(2, len(asked) + 1, (7.0, 3.0), where.any.simulated) as (figure, axes):
        figure.suptitle(f"Where the text enters, {corpus}")
        for (target, metric), (left, right) in zip(asked, axes[:-1], strict=True):
            found = scores(where, corpus, target, metric, draws)
            low, high = found["score"] - found["low"], found["high"] - found["score"]
            left.errorbar(range(len(sets)), found["score"], np.array([low, high]), fmt="o", color="black", capsize=3)
            left.axhline(found["score"].iloc[0], color="#999999", linewidth=1)
            left.set_xticks([])
            left.set_ylabel(METRICS[metric].axis)
            left.set_title(target)
            values = importance(where, corpus, target, metric, draws)
            reach = np.array([values["value"] - values["low"], values["high"] - values["value"]])
            right.bar(values["stage"], values["value"], color=MODELS["mfcnn14"].colour, yerr=reach, capsize=3)
            right.axhline(0, color="black", linewidth=1)
            right.set_xticks(STAGES)
            right.set_ylabel(f"Shapley value ({METRICS[metric].label})")
            right.set_xlabel("stage")
        dots, empty = axes[-1]
        for place, stages in enumerate(sets):
            dots.plot([place] * len(STAGES), STAGES, "o", color="#DDDDDD", markersize=6)
            dots.plot([place] * len(stages), stages, "o", color="black", markersize=6)
        dots.set_xticks([])
        dots.set_yticks(STAGES)
        dots.set_ylabel("stages with text")
        dots.set_xlabel("a column is a set of stages")
        empty.set_axis_off()
    return figure
