"""Studies of sets of stages whose runs are made up: complete, with predictions of a known correlation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml

from sercore import files, settings
from sercore.corpora.transcripts import Condition
from sercore.study import config

SPEAKERS, EACH = 8, 20
COMMON = "the keys are on the table"


def study(folder: Path, name: str, changes: dict, skill: Callable[[dict], float], seeds=(0, 1, 2)) -> config.Study:
    """A study of valence with these `changes`, each with every seed; `skill` of a change is its correlation.

    Where the words tell nothing the correlation is .4, where they mislead .1.
    """
    grid = {"change": list(changes), "model": ["mfcnn14"], "corpus": ["mine"], "seed": list(seeds)}
    block = {"grid": grid, "fixed": {"task": "multitask", "changes": changes}}
    content = {
        "study": name,
        "corpora": {"mine": {"reader": "table", "root": str(_corpus(folder))}},
        "outputs": str(folder / "outputs"),
        "sections": {"multitask": {"notebook": "notebooks/6_conditioning.ipynb", "blocks": [block]}},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    made = config.load(folder / f"{name}.yaml")
    for run in made.runs:
        change = changes[run.parameters["change"]]
        files.write_table(run.folder / files.PREDICTIONS, _predictions(run, skill(change)))
        network = settings.of_run(run.parameters, "network")
        if network.mechanism == "gate":
            openings = {str(stage): 0.2 + run.parameters["seed"] / 10 for stage in network.stages}
            files.write_record(run.folder / files.PROVENANCE, {"folds": {"official": {"openings": openings}}})
        if network.stages:
            misled = _predictions(run, 0.1).query("utterance < 'u080'").assign(**Condition(opposed=True)._asdict())
            files.write_table(run.folder / files.TRANSCRIPT_SHIFT, misled)
    return made


def _corpus(folder: Path) -> Path:
    rows = pd.DataFrame({"utterance": [f"u{number:03d}" for number in range(SPEAKERS * EACH)]})
    rows["transcript"] = [COMMON if i % 3 == 0 else f"sentence number {i}" for i in range(len(rows))]
    rows["emotion"] = [("angry", "happy", "sad")[i // 3 % 3] for i in range(len(rows))]
    rows["speaker"], rows["file"] = "s1", "one.wav"
    soundfile.write(folder / "one.wav", np.zeros(160), 16_000)
    rows.to_csv(folder / "utterances.csv", index=False)
    return folder / "utterances.csv"


def _predictions(run: config.Run, skill: float) -> pd.DataFrame:
    count, seed = SPEAKERS * EACH, run.parameters["seed"]
    truth = np.random.default_rng(1).standard_normal(count)
    noise = np.random.default_rng([2, seed]).standard_normal(count)  # the same in all sets: differences are sharp
    known = np.where(np.arange(count) % 3 == 0, 0.4, skill)
    number = np.arange(count)
    return pd.DataFrame(
        {
            "section": "multitask",
            "model": "mfcnn14",
            "train_corpus": "mine",
            "test_corpus": "mine",
            "seed": seed,
            "fold": "official",
            "partition": "test",
            "simulated": True,
            "utterance": [f"u{i:03d}" for i in number],
            "speaker": [f"s{i}" for i in number // EACH],
            "gender": "female",
            "style": "podcast",
            "target": "valence",
            "truth": 4 + truth,
            "prediction": 4 + known * truth + np.sqrt(1 - known**2) * noise,
        }
    )
