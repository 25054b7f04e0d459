"""The study on real public speech and on sentences that people have rated, beside what simple models do there.

EMO-DB (real speech, ten actors, the same ten sentences in every emotion): section 5, leave one speaker out, beside a
logistic regression on means and deviations of mel bands. The words carry no emotion, so the text model must end at
chance, and fusion must not lose to CNN14 by using it.

EmoBank (10,062 sentences with human ratings), synthesised with prosody that follows the human ratings of
arousal and dominance: section 6.2. Its labels are the human ones as five simulated raters repeat them.

With --recipe, in place of these: what the recipe for own corpora gains on EMO-DB, over the models of --where and over
mel statistics; with --embedded, between the project's embedded corpora of simulated speech.

With --where, in place of these: what fusion costs, and where text should enter. EMO-DB with text at no stage of CNN14,
the last or all six, with and without text dropout; EmoBank, of which three turns of ten have words that tell nothing,
with text at 16 sets of stages.

Neither is part of the project: both are read where they lie. Results go below outputs/emodb and outputs/emobank, and
with --where outputs/emodb-where and outputs/emobank-where; what is complete is not run again.

    make bench-real EMODB=/data/emodb EMOBANK=/data/emobank WHERE=yes
    python -m tests.benchmarks.real_speech --emodb /data/emodb --workers 1
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sercore import files, metrics, schema
from sercore.analysis import captions, hypotheses, preregistration, results, statistics, where
from sercore.commands import cli
from sercore.corpora import synthetic
from sercore.registry import MODELS
from sercore.study import config
from sercore.training import experiment

DRAWS = 2000  # resamples of the test speakers
SHUFFLES = 500  # of the emotions, for what chance gives
PUBLISHED = 75.0  # UAR of such a baseline that comes with the recordings [%]
SIZE = 1.5  # of EmoBank's synthesised corpus: about 750 turns to train on; its short sentences last no longer
WHERE_SIZE = 1.0  # of the one for where text should enter, which is trained on 54 times
COMMON = 0.3  # of its turns, whose words tell nothing, as in parameters/where.yaml
DROPOUT = 0.4  # of text, in the parameters files
RATINGS = (1.0, 7.0)  # MSP-Podcast's scale
COLUMNS = {"V": "valence", "A": "arousal", "D": "dominance", "split": "partition"}
PARTITIONS = {"train": "train", "dev": "development", "test": "test"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was given a path, print a table of each; returns the exit status."""
    args = _parser().parse_args(arguments)
    if not args.emodb and not args.emobank and not args.embedded:
        print("nothing to do: give --emodb and --emobank, the folders where they lie, or --embedded")
        return 2
    outputs = files.resolve(args.outputs)
    status = 0
    if args.emodb:
        root = {"root": str(files.resolve(args.emodb))}
        name, table = ("emodb-where", emodb_where_table) if args.where else ("emodb", emodb_table)
        if args.recipe:
            _point(args.parameters / "emodb-where.yaml", outputs, root)
            name, table = "emodb-recipe", emodb_recipe_table
        status |= _run(_point(args.parameters / f"{name}.yaml", outputs, root, args.epochs), args, table)
    if args.emobank:
        name, table = ("emobank-where", emobank_where_table) if args.where else ("emobank", emobank_table)
        size, common = (WHERE_SIZE, COMMON) if args.where else (SIZE, 0.0)
        corpus = speak_emobank(args.emobank, outputs / name, size if args.size is None else args.size, common)
        status |= _run(_point(args.parameters / f"{name}.yaml", outputs, corpus), args, table)
    if args.embedded:
        status |= _run(args.parameters / "cross-recipe.yaml", args, embedded_table)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.real_speech", description=__doc__)
    parser.add_argument("--emodb", help="the folder of EMO-DB's utterances.csv")
    parser.add_argument("--emobank", help="emobank.csv, or the folder that holds it")
    parser.add_argument(
        "--size",
        type=float,
        help=f"of EmoBank's synthesised corpus, {SIZE:g}, or {WHERE_SIZE:g} with --where; 1: 500 turns to train on",
    )
    parser.add_argument("--epochs", type=int, help="of EMO-DB's models that use audio, in a study emodb-EPOCHS")
    parser.add_argument("--where", action="store_true", help="where text should enter, in place of these, see above")
    parser.add_argument("--recipe", action="store_true", help="of EMO-DB the recipe for own corpora, see above")
    parser.add_argument("--embedded", action="store_true", help="that recipe on the embedded corpora, see above")
    parser.add_argument("--show", action="store_true", help="run nothing; the tables of what is complete")
    parser.add_argument("--outputs", default="outputs")
    parser.add_argument(
        "--parameters", type=Path, default=files.resolve("parameters"), help="folder of their parameters files"
    )
    parser.add_argument("--workers", help="notebooks at a time (default: one a core)")
    return parser


def _point(path: Path, outputs: Path, options: dict[str, Any], epochs: int | None = None) -> Path:
    """The parameters file `path` with the corpus where it lies, written into the study's folder.

    With `epochs` the first block trains so many, and the study's name ends in that number.
    """
    content = files.read_yaml(path)
    if epochs is not None:
        content["study"] += f"-{epochs}"
        ((_, section),) = content["sections"].items()
        section["blocks"][0]["fixed"]["training"]["epochs"] = epochs
    (name,) = content["corpora"]
    content["corpora"][name] |= options
    written = outputs / content["study"] / path.name
    files.write_yaml(written, {**content, "outputs": str(outputs)})
    return written


def _run(path: Path, args: argparse.Namespace, table: Callable[[Path], str]) -> int:
    start, status = time.monotonic(), 0
    if not args.show:
        status = cli.main(["run", str(path), *(["--workers", args.workers] if args.workers else [])])
    if status == 0:
        print(f"\n{table(path)}\n\n{time.monotonic() - start:.0f} s; parameters in {path}")
    return status


def emodb_table(path: Path) -> str:
    """UAR of every model with its interval over speakers, and its difference from CNN14, in Markdown."""
    plan = config.load(path)
    predictions = results.read(plan, "categories").predictions
    test = predictions[predictions["partition"] == "test"]
    labels = list(schema.CLASSES)
    rows: dict[str, pd.DataFrame] = dict(list(test.groupby("model", observed=True)))
    rows["mel statistics"] = mel_statistics(plan)
    acoustic, lines, verdicts = rows["cnn14"], [], []
    for name in ("mel statistics", *(model for model in MODELS if model in rows)):
        score = statistics.bootstrap_interval(rows[name], "uar", np.random.default_rng(0), draws=DRAWS, labels=labels)
        apart = statistics.bootstrap_difference(
            rows[name], acoustic, "uar", np.random.default_rng(0), draws=DRAWS, labels=labels
        )
        against = "" if name == "cnn14" else interval(apart, 100, "+.1f")
        lines.append(f"| {MODELS.label(name)} | {interval(score, 100, '.1f')} | {against} |")
        if name == "bert":
            low, high = by_chance(rows[name], labels)
            near = "is" if 100 * score.score <= high else "IS NOT"
            verdicts.append(
                f"- the text model {near} at chance: {100 * score.score:.1f}, where emotions shuffled within each "
                f"speaker give {low:.1f} to {high:.1f}"
            )
        elif name.endswith("fcnn14"):
            lost = "LOSES" if apart.high < 0 else "does not lose"
            verdicts.append(f"- {MODELS.label(name)} {lost} to CNN14: {interval(apart, 100, '+.1f')}")
    utterances, seeds = acoustic["utterance"].nunique(), schema.first(sorted(acoustic["seed"].unique()))
    return "\n".join(
        [
            f"EMO-DB, {utterances} utterances of {acoustic['speaker'].nunique()} actors, "
            f"leave one speaker out, seeds {seeds}",
            "",
            "| | UAR [%] | − CNN14 |",
            "|---|---:|---:|",
            *lines,
            "",
            "in brackets: 95 %, speakers resampled; chance is 25; the baseline trains on nine speakers, the rest "
            "on eight",
            f"(the notes that come with the recordings give {PUBLISHED:g} for a logistic regression on mel statistics)",
            *verdicts,
        ]
    )


def emodb_where_table(path: Path) -> str:
    """UAR with text at no stage, the last and all six, without and with text dropout, and what text costs, in Markdown.

    Of what is complete, and of the seeds that all of these have.
    """
    plan = config.load(path)
    found, dropped = {}, any(run.complete and run.parameters["change"].endswith("-dropped") for run in plan.runs)
    for dropout in (0.0, DROPOUT) if dropped else (0.0,):
        runs = where.read(plan, "categories", "show", text_dropout=dropout)
        for stages, of in where.sums(runs, "emodb", schema.EMOTION, "uar").items():
            found[stages, dropout if stages else 0.0] = of
    seeds = sorted(set.intersection(*(set(of.seeds) for of in found.values())))
    found = {key: _of_seeds(of, seeds) for key, of in found.items()}
    none, verdicts = found[(), 0.0], []
    lines = [_row("mel statistics, logistic", statistics.sums(mel_statistics(plan), "uar"))]
    for (stages, dropout), of in found.items():
        name = f"text at {', '.join(map(str, stages)) or 'no stage: CNN14'}"
        name += f"; {dropout:.0%} left out" if dropout else ""
        others = {"CNN14": none} if stages else {}
        others |= {"the same without dropout": found[stages, 0.0]} if dropout and (stages, 0.0) in found else {}
        lines.append(_row(name, of, *others.values()))
        verdicts += [f"- {name}: {_verdict(of, other)} {called}" for called, other in others.items()]
    count = int(none.values[:, 0, : len(schema.CLASSES)].sum())
    return "\n".join(
        [
            f"EMO-DB, {count} utterances of {len(none.clusters)} actors, leave one speaker out, "
            f"seeds {schema.first(seeds)}",
            "",
            "| | UAR [%] | − CNN14 | − without dropout |",
            "|---|---:|---:|---:|",
            *lines,
            "",
            f"in brackets: 95 %, speakers{' and seeds' if len(seeds) > 1 else ''} resampled, a seed of all models at "
            "once; of mel statistics, speakers alone; chance is 25",
            *verdicts,
        ]
    )


def emodb_recipe_table(path: Path) -> str:
    """UAR of CNN14 with text at no stage, the last and all six, with the recipe and without, and mel statistics.

    In Markdown, of what is complete; those without the recipe are runs of emodb-where.yaml beside it.
    """
    plan = config.load(path)
    without = config.load(plan.outputs / "emodb-where" / "emodb-where.yaml")
    runs = [where.read(study, "categories", "show", alone=True) for study in (plan, without)]
    of = [where.sums(part, "emodb", schema.EMOTION, "uar") for part in runs]
    seeds = sorted(set.intersection(*(set(one.seeds) for part in of for one in part.values())))
    with_recipe, as_today = ({key: _of_seeds(one, seeds) for key, one in part.items()} for part in of)
    baselines = {
        "mel statistics, as recorded": mel_statistics(without),
        "mel statistics, as the recipe normalises": mel_statistics(plan, regression=0.0),
        "the recipe's regression alone": mel_statistics(plan),
    }
    sums = {name: _every_seed(predictions, seeds) for name, predictions in baselines.items()}
    recorded = next(iter(sums.values()))
    lines, verdicts = [], []
    for stages, one in with_recipe.items():
        name = f"text at {', '.join(map(str, stages))}" if stages else "CNN14"
        other = as_today[stages]
        lines.append(_row(f"{name}, recipe", one, other, *sums.values()))
        lines.append(_row(f"{name}, without", other, None, *sums.values()))
        verdicts.append(f"- {name}: with the recipe {_verdict(one, other)} without")
    of_baseline = [_row(name, one, *(None for _ in range(1 + len(sums)))) for name, one in sums.items()]
    count = int(recorded.values[:, 0, : len(schema.CLASSES)].sum())
    return "\n".join(
        [
            f"EMO-DB, {count} utterances of {len(recorded.clusters)} actors, leave one speaker out, "
            f"seeds {schema.first(seeds)}",
            "",
            f"| | UAR [%] | − without the recipe | {' | '.join(f'− {name}' for name in sums)} |",
            f"|---|---:|---:|{'---:|' * len(sums)}",
            *of_baseline,
            *lines,
            "",
            f"in brackets: 95 %, speakers{' and seeds' if len(seeds) > 1 else ''} resampled, a seed of all models at "
            "once; chance is 25; mel statistics train on nine speakers, the models on eight",
            *verdicts,
            *captions.recipes(runs[0].any),
        ]
    )


def _of_seeds(of: statistics.Sums, seeds: Sequence[int]) -> statistics.Sums:
    """Those of the runs of these `seeds` alone."""
    return of.at(runs=of.runs[of.runs.get_level_values("seed").isin(seeds)])


def _every_seed(predictions: pd.DataFrame, seeds: Sequence[int]) -> statistics.Sums:
    """The sums of a baseline's `predictions`, which know no chance, as those of every seed."""
    return statistics.sums(pd.concat([predictions.assign(seed=seed) for seed in seeds]), "uar")


def embedded_table(path: Path) -> str:
    """UAR of CNN14 on its own embedded corpus and on the other one, with the recipe and without, in Markdown."""
    plan = config.load(path)
    of = {change: part.predictions for change, part in results.by_change(plan, "categories", "show").items()}
    pairs = [(train, other) for train in plan.corpora for other in plan.corpora]
    lines, reached = [], {}
    for train, other in pairs:
        runs = ("seed",) if train == other else ("seed", "fold")
        sums = []
        for change in ("recipe", "without"):
            rows = of[change][of[change]["partition"] == "test"]
            rows = rows[(rows["train_corpus"] == train) & (rows["test_corpus"] == other)]
            sums.append(statistics.sums(rows, "uar", runs=runs))
        scores = [statistics.crossed_interval(one, np.random.default_rng(0), DRAWS) for one in sums]
        cells = [*(interval(one, 100, ".1f") for one in scores), interval(_apart(*sums, 0.95), 100, "+.1f")]
        lines.append(f"| {train} → {other} | {' | '.join(cells)} |")
        reached[train, other] = np.array([100 * one.score for one in scores])
    lost = {pair: reached[pair[0], pair[0]] - score for pair, score in reached.items() if pair[0] != pair[1]}
    return "\n".join(
        [
            "Embedded corpora, SIMULATED speech; CNN14 trained on one, tested on both",
            "",
            "| UAR [%] | recipe | without | difference |",
            "|---|---:|---:|---:|",
            *lines,
            "",
            "in brackets: 95 %, speakers and seeds resampled, a seed of both at once; chance is 25",
            *(
                f"- {train} → {other} loses {recipe:.1f} points with the recipe, {without:.1f} without"
                for (train, other), (recipe, without) in lost.items()
            ),
            *captions.recipes(results.by_change(plan, "categories", "show")["recipe"]),
        ]
    )


def _row(name: str, of: statistics.Sums, *others: statistics.Sums | None) -> str:
    """A line of the table: the UAR of one model, and its differences from others; of None an empty cell."""
    generator = np.random.default_rng(0)
    if len(of.seeds) > 1:
        score = statistics.crossed_interval(of, generator, DRAWS)
    else:
        score = statistics.resample(of.resampled, [len(of.clusters)], generator, DRAWS, 0.95)
    cells = ["" if other is None else interval(_apart(of, other, 0.95), 100, "+.1f") for other in others]
    return f"| {' | '.join([name, interval(score, 100, '.1f'), *cells, *[''] * (2 - len(cells))])} |"


def _verdict(of: statistics.Sums, other: statistics.Sums) -> str:
    """What the difference of two models' UAR means against the margin, in words that the other's name follows."""
    margin = preregistration.read().where.margins["uar"]
    low, high = (100 * end for end in _apart(of, other, 0.95)[1:3])
    if all(abs(100 * end) < margin for end in _apart(of, other, 0.9)[1:3]):
        return f"within {margin:g} points of"
    if high < 0 or low > 0:
        beyond = f"by more than {margin:g} points " if high < -margin or low > margin else ""
        return f"{beyond}{'worse' if high < 0 else 'better'} than"
    return f"not decided: {-low:.1f} points worse to {high:.1f} better than"


def _apart(of: statistics.Sums, other: statistics.Sums, level: float) -> statistics.Interval:
    """UAR of one model - UAR of another; with one seed, only speakers are resampled."""
    generator = np.random.default_rng(0)
    if len(of.seeds) > 1:
        return statistics.crossed_difference(of, other, generator, DRAWS, level, paired=True)
    return statistics.difference_of_sums(of, other, generator, DRAWS, level)


def by_chance(predictions: pd.DataFrame, labels: list[str]) -> tuple[float, float]:
    """Lowest and highest UAR in 95 of 100 cases if the predictions knew nothing of the emotion but who talks [%].

    The sentences are not quite balanced over the emotions, nor the actors: so what chance gives is counted, by dealing
    each speaker's emotions anew to that speaker's utterances.
    """
    predicted = predictions.pivot(index=["speaker", "utterance"], columns="seed", values="prediction")
    truth = predictions.drop_duplicates("utterance").set_index(["speaker", "utterance"])["truth"].loc[predicted.index]
    truth = truth.astype(object).to_numpy()
    places = [np.flatnonzero(predicted.index.get_level_values("speaker") == name) for name in predicted.index.levels[0]]
    random, recalls = np.random.default_rng(0), []
    for _ in range(SHUFFLES):
        dealt = truth.copy()
        for place in places:
            dealt[place] = random.permutation(truth[place])
        recalls.append(
            np.mean([metrics.unweighted_average_recall(dealt, predicted[seed], labels) for seed in predicted])
        )
    low, high = 100 * np.quantile(recalls, (0.025, 0.975))
    return float(low), float(high)


def mel_statistics(plan: config.Study, **network: float) -> pd.DataFrame:
    """Predictions of the package's baseline, leave one speaker out, for log-mels as the study's first run has them.

    That is with other settings of its `network`, if any. What CNN14's development speaker is for, it does not need: it
    trains on the nine others.
    """
    run = plan.runs[0]  # all that take sound take the same features
    of_sound = {key: value for key, value in run.parameters.items() if key not in ("change", "changes", "text")}
    defined = experiment.define(
        run.section,
        **{
            "allow_speaker_leakage": False,
            "text": {},
            **of_sound,
            "model": "cnn14",
            "network": {**of_sound.get("network", {}), **network},
        },
        corpora=plan.corpora,
        cache=str(plan.outputs / "cache"),
        folder=str(plan.folder / "baseline"),
    )
    return experiment.mel_statistics(defined, experiment.load(defined), with_development=True).assign(seed=0)


def speak_emobank(source: str | Path, folder: Path, size: float, common: float = 0.0) -> dict[str, str]:
    """Synthesise EmoBank's sentences into `folder`; returns how the corpus is read: its root and its transcripts.

    `size` and `common` are as synthetic.speak takes them.
    """
    path = files.resolve(source)
    path = path / "emobank.csv" if path.is_dir() else path
    table = pd.read_csv(path, keep_default_na=False).rename(columns=COLUMNS)
    table["partition"] = table["partition"].map(PARTITIONS)
    sentences, corpus, transcripts = folder / "sentences.csv", folder / "corpus", folder / "transcripts.csv"
    files.write_table(sentences, table[["text", *schema.DIMENSIONS, "partition"]])
    start = time.monotonic()
    if synthetic.speak("msp-podcast", corpus, sentences=sentences, size=size, common=common):
        print(f"EmoBank: synthesised in {time.monotonic() - start:.0f} s: {corpus}")
    reference = synthetic.reference_transcripts(corpus, sentences)
    files.write_table(transcripts, pd.DataFrame({"utterance": list(reference), "transcript": list(reference.values())}))
    return {"root": str(corpus), "transcripts": str(transcripts)}


def emobank_table(path: Path) -> str:
    """CCC of every model and dimension with its interval over talkers, in Markdown."""
    predictions = results.read(path, "multitask").predictions
    test = predictions[predictions["partition"] == "test"]
    lines = []
    for name in (model for model in MODELS if model in set(test["model"])):
        of_model, cells = test[test["model"] == name], []
        for dimension in schema.DIMENSIONS:
            part = of_model[of_model["target"] == dimension]
            score = statistics.bootstrap_interval(part, "ccc", np.random.default_rng(0), draws=DRAWS)
            cells.append(interval(score, 1, ".3f"))
        lines.append(f"| {MODELS.label(name)} | {' | '.join(cells)} |")
    return "\n".join(
        [
            f"EmoBank, synthesised: SIMULATED speech, real sentences; {test['utterance'].nunique()} test turns of "
            f"{test['speaker'].nunique()} talkers, seeds {schema.first(sorted(test['seed'].unique()))}",
            "",
            f"| CCC | {' | '.join(schema.DIMENSIONS)} |",
            "|---|---:|---:|---:|",
            *lines,
            "",
            "in brackets: 95 %, talkers resampled",
            *_off_the_scale(test),
        ]
    )


def emobank_where_table(path: Path) -> str:
    """What each stage of CNN14 gains from the text, in r and CCC, and the verdicts on the hypotheses, in Markdown."""
    runs = where.read(path, "multitask", "show")
    asked = [(dimension, metric) for metric in ("pcc", "ccc") for dimension in schema.DIMENSIONS]
    verdicts = hypotheses.judge(str(path), "emobank", "show")
    return f"{where.table(runs, 'emobank', asked).markdown()}\n\n{verdicts.markdown()}"


def _off_the_scale(test: pd.DataFrame) -> list[str]:
    """Which models answer outside of the corpus's scale on average, in words."""
    means = test.groupby(["model", "target"], observed=True)["prediction"].mean()
    low, high = RATINGS
    return [
        f"- the mean of {MODELS.label(model)}'s {target} is {mean:.1f}, off the scale of {low:g} to {high:g}"
        for (model, target), mean in means.items()
        if not low <= mean <= high
    ]


def interval(scored: Any, unit: float, form: str) -> str:
    """A score and its interval, in `unit` and as `form` has it; without interval where there is but one speaker."""
    score = f"{unit * scored.score:{form}}"
    known = np.isfinite([scored.low, scored.high]).all()
    return f"{score} ({unit * scored.low:{form}} to {unit * scored.high:{form}})" if known else score


if __name__ == "__main__":
    raise SystemExit(main())
