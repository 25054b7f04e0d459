"""The study on real public speech and on sentences that people have rated, beside what simple models do there.

EMO-DB (real speech, ten actors, the same ten sentences in every emotion): section 5, leave one speaker out, beside a
logistic regression on means and deviations of mel bands. The words carry no emotion, so the text model must end at
chance, and fusion must not lose to CNN14 by using it.

EmoBank (10,062 sentences with human ratings), synthesised with prosody that follows the human ratings of
arousal and dominance: section 6.2. Its labels are the human ones as five simulated raters repeat them.

Neither is part of the project: both are read where they lie. Results go below outputs/emodb and outputs/emobank; what
is complete is not run again.

    make bench-real EMODB=/data/emodb EMOBANK=/data/emobank
    python -m tests.benchmarks.real_speech --emodb /data/emodb --workers 1
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sercore import files, metrics, schema
from sercore.analysis import results, statistics
from sercore.commands import cli
from sercore.corpora import splits, synthetic
from sercore.registry import MODELS
from sercore.study import config
from sercore.training import experiment

DRAWS = 2000  # resamples of the test speakers
SHUFFLES = 500  # of the emotions, for what chance gives
PUBLISHED = 75.0  # UAR of such a baseline that comes with the recordings [%]
DECAY = 1.0  # L2 penalty of the baseline's weights, on standardised features, as a sum over utterances
SIZE = 1.5  # of EmoBank's synthesised corpus: about 750 turns to train on; its short sentences last no longer
RATINGS = (1.0, 7.0)  # MSP-Podcast's scale
COLUMNS = {"V": "valence", "A": "arousal", "D": "dominance", "split": "partition"}
PARTITIONS = {"train": "train", "dev": "development", "test": "test"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was given a path, print a table of each; returns the exit status."""
    args = _parser().parse_args(arguments)
    if not args.emodb and not args.emobank:
        print("nothing to do: give --emodb and --emobank, the folders where they lie")
        return 2
    outputs = files.resolve(args.outputs)
    status = 0
    if args.emodb:
        root = {"root": str(files.resolve(args.emodb))}
        path = _point(args.parameters / "emodb.yaml", outputs, root, args.epochs)
        status |= _run(path, args.workers, emodb_table)
    if args.emobank:
        corpus = speak_emobank(args.emobank, outputs / "emobank", args.size)
        status |= _run(_point(args.parameters / "emobank.yaml", outputs, corpus), args.workers, emobank_table)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.real_speech", description=__doc__)
    parser.add_argument("--emodb", help="the folder of EMO-DB's utterances.csv")
    parser.add_argument("--emobank", help="emobank.csv, or the folder that holds it")
    parser.add_argument(
        "--size", type=float, default=SIZE, help="of EmoBank's synthesised corpus; 1: 500 turns to train on"
    )
    parser.add_argument("--epochs", type=int, help="of EMO-DB's models that use audio, in a study emodb-EPOCHS")
    parser.add_argument("--outputs", default="outputs")
    parser.add_argument("--parameters", type=Path, default=files.resolve("parameters"), help="folder of the two files")
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


def _run(path: Path, workers: str | None, table: Any) -> int:
    start = time.monotonic()
    status = cli.main(["run", str(path), *(["--workers", workers] if workers else [])])
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


def mel_statistics(plan: config.Study) -> pd.DataFrame:
    """Predictions of logistic regression on mean and deviation of each mel band, leave one speaker out.

    What CNN14's development speaker is for, it does not need: it trains on the nine others.
    """
    (run,) = [run for run in plan.runs if run.name.startswith("model=cnn14") and run.name.endswith("seed=0")]
    defined = experiment.define(
        run.section,
        **{"allow_speaker_leakage": False, "text": {}, **run.parameters},
        corpora=plan.corpora,
        cache=str(plan.outputs / "cache"),
        folder=str(plan.folder / "baseline"),
    )
    source = experiment.load(defined)[defined.corpus]
    rows = source.rows.set_index("utterance")
    frames = {
        name: source.frames.rows(place)
        for name, place in zip(rows.index, source.frames.positions(rows.index), strict=True)
    }
    features = {
        name: np.concatenate([f.mean(0, dtype="float64"), f.std(0, dtype="float64")]) for name, f in frames.items()
    }
    parts = []
    for split in splits.leave_one_speaker_out(source.rows):
        train, test = [*split.train, *split.development], list(split.test)
        fitted = _logistic(
            np.stack([features[name] for name in train]),
            rows.loc[train, "emotion"],
            np.stack([features[name] for name in test]),
            list(defined.classes),
        )
        parts.append(
            pd.DataFrame(
                {
                    "utterance": test,
                    "speaker": split.name,
                    "seed": 0,
                    "prediction": fitted,
                    "truth": rows.loc[test, "emotion"].tolist(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _logistic(train: np.ndarray, labels: pd.Series, test: np.ndarray, classes: list[str]) -> list[str]:
    """The classes of `test` (utterances, features) by multinomial logistic regression fitted on `train`."""
    mean, spread = train.mean(0), train.std(0) + 1e-9
    x, y = (torch.tensor((part - mean) / spread) for part in (train, test))
    truth = torch.tensor(metrics.class_codes(labels, classes, "truth"))
    weights = torch.zeros(x.shape[1], len(classes), dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(len(classes), dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        error = torch.nn.functional.cross_entropy(x @ weights + bias, truth, reduction="sum")
        total = error + DECAY / 2 * weights.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    return [classes[code] for code in (y @ weights + bias).argmax(1).tolist()]


def speak_emobank(source: str | Path, folder: Path, size: float) -> dict[str, str]:
    """Synthesise EmoBank's sentences into `folder`; returns how the corpus is read: its root and its transcripts."""
    path = files.resolve(source)
    path = path / "emobank.csv" if path.is_dir() else path
    table = pd.read_csv(path, keep_default_na=False).rename(columns=COLUMNS)
    table["partition"] = table["partition"].map(PARTITIONS)
    sentences, corpus, transcripts = folder / "sentences.csv", folder / "corpus", folder / "transcripts.csv"
    files.write_table(sentences, table[["text", *schema.DIMENSIONS, "partition"]])
    start = time.monotonic()
    if synthetic.speak("msp-podcast", corpus, sentences=sentences, size=size):
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
