"""A study of transcript conditions that nobody ran: one sound for all utterances, and runs of a known accuracy.

UAR of CNN14: 50 %. MFCNN14: 90 with the reference, 70 recognised, 65 half corrupted, 60 shuffled, 50 empty.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml

from sercore import files
from sercore.analysis import transcript_quality
from sercore.corpora.transcripts import Condition
from sercore.schema import CLASSES
from sercore.study import config

TEST = 80  # test utterances, 20 of each class
GOLD, SHUFFLED, HALF = Condition("gold"), Condition("gold", shuffled=True), Condition("gold", 0.5)
ASR, EMPTY = Condition("asr"), Condition("empty")
SKILL = {  # UAR of each model by condition
    "cnn14": {None: 0.5},
    "mfcnn14": {GOLD: 0.9, ASR: 0.7, HALF: 0.65, SHUFFLED: 0.6, EMPTY: 0.5},
    "bert": {GOLD: 0.8, SHUFFLED: 0.25},
}
SHIFTED = {ASR: 0.65, HALF: 0.5, SHUFFLED: 0.4}  # of MFCNN14, trained with reference transcripts
SECTIONS = {
    "categories": {
        "notebook": "notebooks/5_transcripts.ipynb",
        "blocks": [
            {"grid": {"model": ["cnn14"], "corpus": ["own"], "seed": [0, 1]}},
            {
                "grid": {
                    "model": ["mfcnn14"],
                    "transcripts": ["gold", "asr", "empty"],
                    "corpus": ["own"],
                    "seed": [0, 1],
                }
            },
            {
                "grid": {"model": ["mfcnn14"], "corpus": ["own"], "seed": [0, 1]},
                "fixed": {"text": {"transcripts": "gold", "corruption": 0.5}},
            },
            {
                "grid": {
                    "model": ["mfcnn14", "bert"],
                    "transcripts": ["gold"],
                    "shuffled": [True],
                    "corpus": ["own"],
                    "seed": [0, 1],
                }
            },
            {"grid": {"model": ["bert"], "transcripts": ["gold"], "corpus": ["own"], "seed": [0, 1]}},
        ],
    }
}


def write_corpus(folder: Path, test: int = TEST) -> dict:
    """A table of utterances that all sound alike, four of other partitions for each four of the test; its options."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    soundfile.write(folder / "noise.wav", noise, 16_000)
    rows = [
        {
            "utterance": f"{partition}{row:03d}",
            "file": "noise.wav",
            "speaker": f"{partition}{row % 4}",
            "partition": partition,
            "emotion": CLASSES[row % 4],
            "transcript": "",
        }
        for partition, count in (("train", test), ("development", test // 2), ("test", test))
        for row in range(count)
    ]
    table = pd.DataFrame(rows)
    table.to_csv(folder / "utterances.csv", index=False)
    reference = [f"this is {row.emotion} number {row.utterance}" for row in table.itertuples()]
    recognised = [
        f"this was {row.emotion} number {row.utterance}" for row in table.itertuples()
    ]  # one word of five is wrong
    for name, texts in (("gold", reference), ("asr", recognised)):
        table[["utterance"]].assign(transcript=texts).to_csv(folder / f"{name}.csv", index=False)
    others = {name: str(folder / f"{name}.csv") for name in ("gold", "asr")}
    return {"root": str(folder), "reader": "table", "name": "own", "other_transcripts": others}


def write_study(folder: Path) -> Path:
    """A parameters file in `folder`, all of its runs complete."""
    content = {
        "study": "words",
        "corpora": {"own": write_corpus(folder / "corpus")},
        "outputs": str(folder / "outputs"),
        "sections": SECTIONS,
    }
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    for run in config.load(path).runs:
        write_run(run)
    return path


def write_run(run: config.Run) -> None:
    """The folder of a complete run; MFCNN14 with reference transcripts is tested with other transcripts as well."""
    model, condition = run.parameters["model"], transcript_quality.of_run(run)
    run.folder.mkdir(parents=True)
    predict(run, SKILL[model][condition]).to_parquet(run.folder / files.PREDICTIONS, index=False)
    if model == "mfcnn14" and condition == GOLD:
        parts = [
            predict(run, skill).query("partition == 'test'").assign(**tested._asdict())
            for tested, skill in SHIFTED.items()
        ]
        pd.concat(parts).to_parquet(run.folder / files.TRANSCRIPT_SHIFT, index=False)


def predict(run: config.Run, skill: float) -> pd.DataFrame:
    """The predictions table of one run: a share `skill` of each class is right, the rest goes to the next one."""
    parts = []
    for partition, count in (("development", TEST // 2), ("test", TEST)):
        codes = np.arange(count) % 4
        wrong = np.arange(count) // 4 >= round(skill * count / 4)
        predicted = np.where(wrong, (codes + 1) % 4, codes)
        probabilities = np.full((count, 4), 0.1)
        probabilities[range(count), predicted] = 0.7
        part = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in CLASSES])
        parts.append(
            part.assign(
                utterance=[f"{partition}{row:03d}" for row in range(count)],
                partition=partition,
                fold="official",
                speaker=[f"{partition}{row % 4}" for row in range(count)],
                gender="female",
                style="podcast",
                section=run.section,
                model=run.parameters["model"],
                train_corpus="own",
                test_corpus="own",
                seed=run.parameters["seed"],
                simulated=True,
                target="emotion",
                truth=[CLASSES[code] for code in codes],
                prediction=[CLASSES[code] for code in predicted],
            )
        )
    return pd.concat(parts, ignore_index=True)
