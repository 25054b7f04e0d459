"""Does the time grow as the corpus does, and does memory stay? Each stage of the work from 1 to 16 times as much.

    python -m tests.benchmarks.growth                        every stage, 7 minutes
    python -m tests.benchmarks.growth --stages report        one of them

`corpus` reads a table of utterances and their recordings ten times; `features` fills the cache with log-mels;
`training` is an epoch of CNN14 (width 8) with an evaluation, features in the cache. `results`, `report` and `browser`
are of a finished study of 150 runs of five seeds with made-up predictions, of which MSP-Podcast's test set has 12,902
utterances, as the paper's, at 16 times as much: read every section, write the page of all tables and figures, list all
errors of the confusion browser. Each is a process of its own: seconds of the processor, and the most memory that it
held. What an empty process takes, with its imports, is measured as well and subtracted from seconds and memory alike.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

FACTORS = (1, 4, 16)
UTTERANCES = 500  # of the corpus, once
EACH = 100  # of each of MSP-Podcast's eight speakers in the test set, once: 12,800 at 16 times
READS = 10  # of the table: the seconds of one are lost among those of the imports
STEEP = 1.25  # exponent of growth above which something grows faster than the corpus
VOICES = 10
IMPORTED = "sercore.analysis.report", "sercore.training.experiment", "sercore.widgets.confusions"


def corpus_stage(folder: Path) -> None:
    """Read the table, READS times."""
    from sercore import corpora

    for _ in range(READS):
        corpora.read("table", folder / "corpus")


def training_stage(folder: Path, epochs: int = 1) -> None:
    """Fill the cache and train `epochs`; none of them leaves the filled cache."""
    from sercore.training import experiment

    run = experiment.define(
        "categories",
        model="cnn14",
        corpus="mine",
        seed=0,
        folds=[],
        features={"mels": 32, "hop": 320},
        text={},
        network={"width": 8},
        training={"epochs": 1, "batch": 16, "mel_statistics": False},
        corpora={"mine": {"reader": "table", "root": str(folder / "corpus")}},
        folder=str(folder / "run"),
        cache=str(folder / "cache"),
    )
    data = experiment.load(run)
    if epochs:
        experiment.train(run, data)


def features_stage(folder: Path) -> None:
    """Fill the cache."""
    training_stage(folder, epochs=0)


def results_stage(folder: Path) -> None:
    """Read every section."""
    from sercore.analysis import results
    from sercore.study import config

    study = config.load(folder / "parameters.yaml")
    for section in ("categories", "dimensions", "multitask"):
        results.read(study, section)


def report_stage(folder: Path) -> None:
    """Write the page."""
    from sercore import __main__ as cli

    cli.main(["report", str(folder / "parameters.yaml")])


def browser_stage(folder: Path) -> None:
    """List all errors."""
    from sercore.analysis import results
    from sercore.study import config
    from sercore.widgets import confusions

    known = results.read(config.load(folder / "parameters.yaml"), "categories")
    rows = known.predictions.drop_duplicates(["test_corpus", "utterance"]).rename(columns={"test_corpus": "corpus"})
    rows = rows[["corpus", "utterance", "speaker", "gender", "style"]].assign(transcript="so it is", seconds=1.0)
    browser = confusions.browse(known.predictions, rows, known.best, Path, folder)
    browser.one.grid.choose(confusions.errors(browser.state.labels))


STAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda _: None,
    "corpus": corpus_stage,
    "features": features_stage,
    "training": training_stage,
    "results": results_stage,
    "report": report_stage,
    "browser": browser_stage,
}


def write_corpus(folder: Path, factor: int) -> None:
    """A corpus of factor x UTTERANCES recordings of .7 s: links to ten of each emotion, so that little is written."""
    place = folder / "corpus"
    place.mkdir(parents=True)
    random = np.random.default_rng(0)
    for voice in range(VOICES):
        soundfile.write(folder / f"{voice}.wav", 0.1 * random.standard_normal(11_200), 16_000, subtype="PCM_16")
    number = np.arange(factor * UTTERANCES)
    names = [f"u{one:06d}" for one in number]
    for one, name in zip(number, names, strict=True):
        os.link(folder / f"{one % VOICES}.wav", place / f"{name}.wav")
    emotions = np.array(["angry", "happy", "neutral", "sad"])[number % 4]
    rows = {"utterance": names, "file": [f"{name}.wav" for name in names], "emotion": emotions}
    rows |= {
        "speaker": [f"s{one % 5}" for one in number // 4],
        "transcript": [f"this is sentence {one}" for one in number],
    }
    rows["partition"] = np.array(["train", "train", "train", "development", "test"])[number // 4 % 5]
    pd.DataFrame(rows).to_csv(place / "utterances.csv", index=False)


def write_study(folder: Path, factor: int) -> None:
    """The study of made-up predictions."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from made_up import write_study as write

    write(folder, seeds=5, utterances=factor * EACH)


def measure(stage: str, folder: Path) -> tuple[float, float]:
    """Seconds of the processor and peak memory [MB] of a process that does `stage`."""
    command = [sys.executable, "-m", "tests.benchmarks.growth", "--do", stage, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            reason = said.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{reason}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _in_child(write: Callable[[Path, int], None], folder: Path, factor: int) -> None:
    """Write in a process of its own: the memory of a child counts what its parent held."""
    writer = multiprocessing.Process(target=write, args=(folder, factor))
    writer.start()
    writer.join()
    if writer.exitcode:
        raise RuntimeError(f"{write.__name__} ended with {writer.exitcode}")


def growth(stages: Sequence[str], factors: Sequence[int], place: Path) -> pd.DataFrame:
    """Seconds and memory of `stages` at each factor, less those of an empty process."""
    nothing, least = measure("empty", place)
    rows = []
    for factor in factors:
        folder = place / str(factor)
        for write, those in (
            (write_corpus, ("corpus", "features", "training")),
            (write_study, ("results", "report", "browser")),
        ):
            if not set(those) & set(stages):
                continue
            folder.mkdir(exist_ok=True)
            _in_child(write, folder, factor)
            for stage in those:
                if stage in stages:
                    taken, held = measure(stage, folder)
                    rows.append({"stage": stage, "factor": factor, "seconds": taken - nothing, "MB": held - least})
                    print(
                        f"{stage}, {factor} times: {taken - nothing:.1f} s, {held - least:.0f} MB",
                        file=sys.stderr,
                        flush=True,
                    )
        shutil.rmtree(folder)
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame) -> str:
    """In Markdown, with the exponent of growth between the last two factors, and what grows faster than the corpus."""
    factors = sorted(rows["factor"].unique())
    lines = [
        "| stage | " + " | ".join(f"{factor} x" for factor in factors) + " | exponent |",
        "|---|" + "---:|" * (len(factors) + 1),
    ]
    steep = []
    for stage, part in rows.groupby("stage", sort=False):
        part = part.set_index("factor")
        cells = [f"{part.at[factor, 'seconds']:.1f} s, {part.at[factor, 'MB']:.0f} MB" for factor in factors]
        exponent = exponents(part)
        lines.append(f"| {stage} | {' | '.join(cells)} | {exponent:.2f} |")
        if exponent > STEEP:
            steep.append(f"{stage} grows faster than the corpus: as its power of {exponent:.2f}")
    return "\n".join([*lines, "", *(steep or ["nothing grows faster than the corpus"])])


def exponents(part: pd.DataFrame) -> float:
    """By which power of the factor, the index of `part`, its seconds grow over the last two."""
    one, other = part.index.sort_values()[-2:]
    seconds = part["seconds"].clip(lower=0.05)  # below that it is noise
    return float(np.log(seconds[other] / seconds[one]) / np.log(other / one))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; with --do, be one of the processes."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    known = [stage for stage in STAGES if stage != "empty"]
    parser.add_argument("--stages", nargs="+", choices=known, default=known)
    parser.add_argument("--factors", nargs="+", type=int, default=FACTORS)
    parser.add_argument("--do", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.do:
        for name in IMPORTED:
            importlib.import_module(name)
        STAGES[args.do[0]](Path(args.do[1]))
        return
    with tempfile.TemporaryDirectory() as place:
        print(table(growth(args.stages, args.factors, Path(place))))


if __name__ == "__main__":
    main()
