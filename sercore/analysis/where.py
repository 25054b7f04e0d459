"""Where should language enter? What each stage of CNN14 gains from the text, from runs with different sets of stages.

The value of a stage is its Shapley value: what it adds to the score, the mean over all orders in which the stages may
be conditioned one after the other (Shapley 1953). All 64 sets give it exactly; fewer give the weighted least-squares
estimate of Lundberg and Lee (NeurIPS 2017, theorem 2), which is exact where the sets' scores add up.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sercore import settings
from sercore.analysis import captions, results, statistics, words
from sercore.analysis.comparisons import interval, signed
from sercore.analysis.figures import drawing
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.results import Results
from sercore.analysis.tables import Table
from sercore.analysis.words import ByWords
from sercore.registry import METRICS, MODELS
from sercore.study import config

STAGES = (1, 2, 3, 4, 5, 6)
CORE = ((), *((stage,) for stage in STAGES), *(STAGES[:k] for k in range(2, 7)), *(STAGES[k:] for k in range(1, 5)))
"""The sets of parameters/where.yaml: none, each stage alone, the first k, and all from the k-th on."""
OF_TEXT = ("network.mechanism", "network.text_dropout", "network.projection", "training.text_learning_rate")
DRAWS = 2000
SEED = 0
TRAINED = [name for name, spec in MODELS.items() if spec.trained]  # late fusion is none of the runs
Stages = tuple[int, ...]


class Kind(NamedTuple):
    """What tells runs apart beside their stages; of a run without a stage what the text does has no influence."""

    shuffled: bool = False
    text_dropout: float = 0.0
    mechanism: str = "shift"
    encoder: str = ""
    data_share: float = 1.0


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
    encoder: str | None = None,
    data_share: float = 1.0,
    alone: bool = False,
) -> Where:
    """The runs of CNN14 in `section` by their stages, of one kind: no others are in a score.

    Args:
        study: A study, or its parameters file.
        section: Name of a section.
        incomplete: As results.read takes it.
        shuffled: Whether the transcripts are those of other utterances: the control.
        text_dropout: Of the runs; the set without any stage has none.
        mechanism: Of the runs.
        encoder: Of the text; None where the runs have one alone.
        data_share: Of the training utterances.
        alone: Whether runs without any stage will do where there are no others.

    Raises:
        FileNotFoundError: Runs are missing, as results.read raises it.
        NothingToShow: There are no such runs.
        ValueError: They differ in more than their stages.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    asked = Kind(shuffled, text_dropout, mechanism, encoder or "", data_share)
    members: dict[Stages, list[config.Run]] = {}
    runs = list(kinds(study, section, incomplete))
    own = Kind(shuffled=shuffled, data_share=data_share)  # without any stage
    if not any(kind == own for stages, kind, _ in runs if not stages):
        own = Kind(data_share=data_share)  # which is the same: no text is read
    for stages, kind, run in runs:
        wanted = asked if stages else own
        if wanted == (kind._replace(encoder="") if encoder is None else kind):
            members.setdefault(stages, []).append(run)
    if not (members if alone else any(members)):  # the set without any stage is everybody's
        of = f"encoder {encoder}, " if encoder else ""
        raise NothingToShow(
            f"no complete run of section '{section}' of {study.path} with shuffled {shuffled}, text_dropout "
            f"{text_dropout:g}, {of}data_share {data_share:g} and mechanism {mechanism}"
        )
    refuse_mixtures([run for runs in members.values() for run in runs], f"section '{section}' of {study.path}")
    order = sorted(members, key=lambda stages: (len(stages), stages))
    found = {stages: results.read(study, section, incomplete, members[stages]) for stages in order}
    return Where(study, found, {stages: members[stages] for stages in order})


def kinds(study: config.Study, section: str, incomplete: str = "refuse") -> Iterator[tuple[Stages, Kind, config.Run]]:
    """Stages and kind of every run of CNN14 in `section`; where missing runs are not refused, of the complete ones."""
    for run in study.section(section):
        model = str(run.parameters["model"])
        if MODELS[model].features != "log_mel" or (not run.complete and incomplete != "refuse"):
            continue
        network, text = (settings.of_run(run.parameters, name) for name in ("network", "text"))
        share = settings.of_run(run.parameters, "training").data_share
        stages = settings.stages_of(model, network)
        kind = Kind(text.shuffled, network.text_dropout, network.mechanism, text.encoder, share)
        yield stages, kind if stages else Kind(shuffled=text.shuffled, data_share=share), run


def refuse_mixtures(runs: Iterable[config.Run], source: str, apart: Sequence[str] = ("network.stages",)) -> None:
    """Raise ValueError where `runs` of one corpus, which are of `source`, differ in settings other than `apart`.

    Settings of the text count for those alone that have a stage which it conditions.
    """
    known: dict[tuple[str, str], tuple[Any, str]] = {}
    for run in runs:
        corpus, network = str(run.parameters["corpus"]), settings.of_run(run.parameters, "network")
        reads = settings.stages_of(str(run.parameters["model"]), network) != ()
        values: dict[str, Any] = {"folds": list(run.parameters.get("folds") or ())}
        for kind in settings.SETTINGS:
            values |= {f"{kind}.{name}": value for name, value in asdict(settings.of_run(run.parameters, kind)).items()}
        for name in values:
            if name in apart or (not reads and (name.startswith("text.") or name in OF_TEXT)):
                continue
            other, of = known.setdefault((corpus, name), (values[name], run.name))
            if other != values[name]:
                raise ValueError(
                    f"{source}: {name} is {other} in {of} and {values[name]} in {run.name}, so their scores cannot be "
                    "compared as scores of sets of stages; name the kind of runs, or give others a section of their own"
                )


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
    by_stages = sums(where, corpus, target, metric)
    anyone = next(iter(by_stages.values()))
    sizes = (len(anyone.clusters), len(anyone.seeds))
    generator = np.random.default_rng(SEED)
    scale = METRICS[metric].scale
    estimate = (
        scale
        * shapley({stages: of.crossed(*(np.ones((1, size)) for size in sizes)) for stages, of in by_stages.items()})[0]
    )
    rows = pd.DataFrame({"stage": STAGES, "value": estimate})
    if min(sizes) < 2:
        return rows.assign(low=np.nan, high=np.nan)
    weights = [
        generator.multinomial(size, np.full(size, 1 / size), size=draws).astype("float64") * 1.0 for size in sizes
    ]
    drawn = scale * shapley({stages: of.crossed(*weights) for stages, of in by_stages.items()})
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
    for stages, of in sums(where, corpus, target, metric).items():
        found = statistics.crossed_interval(of, np.random.default_rng(SEED), draws)
        rows.append(
            {"stages": stages, "score": scale * found.score, "low": scale * found.low, "high": scale * found.high}
        )
    return pd.DataFrame(rows)


def sums(where: Where, corpus: str, target: str, metric: str) -> dict[Stages, statistics.Sums]:
    """The sums of each set's test predictions of `corpus`, on the same speakers and of the seeds that all sets have."""
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


@or_nothing
def by_words(where: Where, corpus: str, draws: int = DRAWS) -> ByWords:
    """The test predictions of each set of stages where words tell, tell nothing and mislead, in-domain on `corpus`.

    For words.table and words.plot. The runs without a stage are misled by nothing: they predict what they always do.
    """
    labels = {in_words(stages): in_words(stages) for stages in where.by_stages}
    rows = words.in_domain(labelled(where, corpus))
    return ByWords(replace(where.any, predictions=rows), rows, labels, "stages with text", draws)


def labelled(where: Where, corpus: str) -> pd.DataFrame:
    """The rows of words.label for the in-domain test utterances of `corpus`; `name` is the set of stages, in words."""
    own = pd.concat(
        [
            in_domain(part.predictions[part.predictions["model"].isin(TRAINED)], corpus).assign(name=in_words(stages))
            for stages, part in where.by_stages.items()
        ],
        ignore_index=True,
    )
    odd = pd.concat([words.misled(runs).assign(name=in_words(stages)) for stages, runs in where.runs.items()])
    odd = in_domain(odd, corpus) if len(odd) else odd
    return words.label(own, odd, own["name"] == in_words(()), where.any.telling)


def in_words(stages: Stages) -> str:
    """A set of stages as tables and axes name it: `none`, `6`, `1 to 4`."""
    if len(stages) > 2 and stages[-1] - stages[0] == len(stages) - 1:
        return f"{stages[0]} to {stages[-1]}"
    return ", ".join(map(str, stages)) or "none"


def in_domain(predictions: pd.DataFrame, corpus: str) -> pd.DataFrame:
    """The rows of test utterances of `corpus`, of models that were trained on it."""
    own = (predictions["train_corpus"] == corpus) & (predictions["test_corpus"] == corpus)
    return predictions[own & (predictions["partition"] == "test")]


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
