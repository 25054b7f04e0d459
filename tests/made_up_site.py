"""A made-up study that can be made a site: complete runs with provenance, corpora with a short tone an utterance."""

from pathlib import Path

import made_up
import numpy as np
import soundfile
import yaml

from sercore import corpora, files
from sercore.features import cache
from sercore.settings import FeatureSettings
from sercore.study import config

EACH = 14  # utterances of a speaker
FEATURES = {"mels": 32}
TROUBLE = '</script><b onmouseover="x">& “quoted”\u2028</b>'  # the transcript of the first utterance


def write(folder: Path, *, simulated: tuple[str, ...] = tuple(made_up.SCALES), own: str | None = None) -> config.Study:
    """A study of emotions and of ratings. Corpora that are not `simulated` are licensed, but for the one called `own`."""
    path = made_up.write_study(folder, seeds=2, sections=("categories", "multitask"), utterances=EACH)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    del content["sections"]["dimensions"]
    for name, scale in made_up.SCALES.items():
        home = folder / name
        _write_corpus(home, name)
        if name in simulated:
            files.write_text(home / corpora.SIMULATED, "made up")
        content["corpora"][name] = {"reader": "table", "root": str(home / "table.csv"), "scale": list(scale)}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    study = config.load(path)
    for run in study.runs:
        counts = {"utterances": 120, "with_target": 100}
        held = {name: counts | {"simulated": name in simulated, "scale": scale} for name, scale in made_up.SCALES.items()}
        files.write_record(run.folder / files.PROVENANCE, {"corpora": held, "parameters": run.parameters})
        files.write_yaml(run.folder / files.PARAMETERS, run.parameters)
    files.write_text(study.folder / "report.html", "<h1>the report</h1>")  # a new one takes minutes
    return study


def write_cache(study: config.Study, name: str) -> None:
    """The log-mel frames of the corpus `name`, as a run of a CNN14 would have computed them."""
    options = dict(study.corpora[name])
    corpus = corpora.read(name, options.pop("root"), **options)
    cache.log_mels(corpus, FeatureSettings(**FEATURES), study.outputs / "cache")


def _write_corpus(home: Path, name: str) -> None:
    rows = made_up.made_up_corpus(name, EACH)
    kept = ["utterance", "speaker", "gender", "style", "partition", "emotion", *made_up.DIMENSIONS]
    rows = rows[kept].assign(file=[f"{number}.wav" for number in range(len(rows))])
    rows["transcript"] = [TROUBLE, *(f"sentence number {number}" for number in range(1, len(rows)))]
    home.mkdir()
    rows.to_csv(home / "table.csv", index=False)
    times = np.arange(4_800) / 16_000
    for number, file in enumerate(rows["file"]):
        soundfile.write(home / file, 0.3 * np.sin(2 * np.pi * (200 + 40 * number) * times), 16_000)
