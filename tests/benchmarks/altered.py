"""How much of its score a finished study loses on recordings of another level and through other microphones.

The networks of every fold of every complete run, of one network a speaker, answer that fold's test recordings again: as
they are; each at a gain of its own, drawn from +-12 dB; and at that gain through each of three microphones. The
microphones are filters: the band of a telephone, 300 to 3,400 Hz; one that dulls, 6 dB an octave above 1 kHz; one that
thins, 6 dB an octave below 500 Hz. Nothing is trained again, and the text is the same.

    python -m tests.benchmarks.altered outputs/emodb-where/emodb-where.yaml outputs/emodb-recipe/emodb-recipe.yaml
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from scipy import signal

from sercore import corpora, files, schema
from sercore.analysis import statistics
from sercore.corpora import sound
from sercore.inference import artifact, predictor
from sercore.study import config

from .real_speech import DRAWS, interval

GAIN = 12.0  # largest [dB]
LOUDEST = 0.99 * sound.LOUDEST  # sample after it
TINY = 1e-6  # sample: a silent recording stays one
FILTERS: dict[str, dict[str, Any]] = {  # as scipy.signal.butter takes them, beside the sample rate
    "telephone": {"N": 4, "Wn": (300, 3400), "btype": "bandpass"},
    "dull": {"N": 1, "Wn": 1000, "btype": "lowpass"},
    "thin": {"N": 1, "Wn": 500, "btype": "highpass"},
}
AS_IT_IS, ANY_GAIN = "as they are", "any gain"
ALTERED = (AS_IT_IS, ANY_GAIN, *(f"{ANY_GAIN}, {name}" for name in FILTERS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Alter the recordings of each study's corpus, let its runs answer, print a table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.altered", description=__doc__)
    parser.add_argument("studies", nargs="+", help="parameters files of studies of one corpus without partitions")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        rows = pd.concat([answers(config.load(path), Path(place)) for path in args.studies], ignore_index=True)
    if rows.empty:
        print(f"no complete run in {', '.join(args.studies)}")
        return 1
    print(table(rows))
    return 0


def answers(plan: config.Study, place: Path) -> pd.DataFrame:
    """The predictions of every complete run of `plan` on its test recordings, altered in every way of ALTERED.

    Args:
        plan: a study of categories whose runs have a fold for each speaker.
        place: a folder for the altered recordings, which a second study of the same corpus finds there.

    Returns:
        Columns settings (of the run), altered, seed, speaker, utterance, truth, prediction.
    """
    parts = []
    for run in plan.runs:
        if not run.complete:
            continue
        name = run.parameters["corpus"]
        options = dict(plan.corpora[name])
        corpus = corpora.read(name, options.pop("root"), **options)
        folders = {way: alter(corpus, way, place / name / way) for way in ALTERED}
        told = f"{plan.name}: {run.parameters.get('change', run.parameters['model'])}"
        test = files.read_table(run.folder / files.PREDICTIONS).query("partition == 'test' and test_corpus == @name")
        for fold, folder in files.fold_folders(run.folder, test["fold"].unique()).items():
            rows = test[test["fold"] == fold].merge(corpus.utterances[["utterance", "file", "transcript"]])
            network = predictor.load(folder)
            parts += [
                rows[["seed", "speaker", "utterance", "truth"]].assign(
                    settings=told, altered=way, prediction=_predicted(network, rows, root)
                )
                for way, root in folders.items()
            ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _predicted(network: predictor.Predictor, rows: pd.DataFrame, root: Path) -> list[str]:
    """The network's emotion of each of `rows`, whose recordings lie below `root`."""
    trained: artifact.Trained = network.trained
    more: dict[str, Any] = {"texts": rows["transcript"].tolist()} if trained.uses_text else {}
    if trained.normalisation is not None and trained.normalisation.over == "speaker":
        more["speakers"] = rows["speaker"].tolist()
    answered = network([root / file for file in rows["file"]], **more)
    failed = answered["error"].dropna()
    if len(failed):
        raise RuntimeError(f"{len(failed)} of {len(answered)} recordings below {root} failed: {failed.iloc[0]}")
    return [str(emotion) for emotion in answered[schema.EMOTION]]


def alter(corpus: corpora.Corpus, way: str, folder: Path) -> Path:
    """Write the recordings of `corpus`, altered as `way` of ALTERED says, into `folder`; returns where they lie.

    They are written in floating point, so that no gain clips; none makes a recording louder than is read. The gain of
    an utterance is otherwise the same in every way.
    """
    if way == AS_IT_IS:
        return corpus.root
    if folder.is_dir():
        return folder
    gains = np.random.default_rng(0).uniform(-GAIN, GAIN, len(corpus.utterances))
    for file, gain in zip(corpus.utterances["file"], gains, strict=True):
        samples, rate = soundfile.read(corpus.root / file)
        kind = way.removeprefix(ANY_GAIN).removeprefix(", ")
        if kind:
            samples = signal.sosfilt(signal.butter(**FILTERS[kind], fs=rate, output="sos"), samples, axis=0)
        louder = min(10 ** (gain / 20), LOUDEST / max(np.abs(samples).max(), TINY))
        written = folder / file
        written.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(written, samples * louder, rate, format="WAV", subtype="FLOAT")
    return folder


def table(rows: pd.DataFrame) -> str:
    """UAR on the recordings as they are, and what is lost of it on those that were altered, in Markdown."""
    lines, seeds, speakers = [], sorted(rows["seed"].unique()), rows["speaker"].nunique()
    for settings, of in rows.groupby("settings", sort=False):
        labels = sorted(of["truth"].unique())
        sums = {way: statistics.sums(part, "uar", labels=labels) for way, part in of.groupby("altered", sort=False)}
        lines.append(f"| {' | '.join([str(settings), *_cells(sums)])} |")
    return "\n".join(
        [
            f"{rows['utterance'].nunique()} recordings of {speakers} speakers, each answered by networks that do not "
            f"know its speaker, seeds {schema.first(seeds)}",
            "",
            f"| UAR [%] | {AS_IT_IS} | {' | '.join(f'lost: {way}' for way in ALTERED[1:])} |",
            f"|---|{'---:|' * len(ALTERED)}",
            *lines,
            "",
            "in brackets: 95 %, speakers and, where there are several, seeds resampled; lost: points of UAR, the same "
            "recordings as they are less the altered ones",
        ]
    )


def _cells(sums: Mapping[Any, statistics.Sums]) -> list[str]:
    """The score as it is, and the losses."""
    plain, cells = sums[AS_IT_IS], []
    several = len(plain.seeds) > 1
    for way, of in sums.items():
        random = np.random.default_rng(0)
        if way == AS_IT_IS:
            sizes = [len(of.clusters), len(of.seeds)] if several else [len(of.clusters)]
            score = statistics.resample(of.crossed if several else of.resampled, sizes, random, DRAWS, 0.95)
        elif several:
            score = statistics.crossed_difference(plain, of, random, DRAWS, paired=True)
        else:
            score = statistics.difference_of_sums(plain, of, random, DRAWS)
        cells.append(interval(score, 100, ".1f" if way == AS_IT_IS else "+.1f"))
    return cells


if __name__ == "__main__":
    raise SystemExit(main())
