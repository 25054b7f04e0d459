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
    """A study of emotions and of ratings; `own` is what IEMOCAP is called instead, as a corpus of one's own."""
    path = made_up.write_study(folder, seeds=2, sections=("categories", "multitask"), utterances=EACH)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    del content["sections"]["dimensions"]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    before = config.load(path)
    names = {name: own if own and name == "iemocap" else name for name in made_up.SCALES}
    content["corpora"] = {}
    for name, scale in made_up.SCALES.items():
        _write_corpus(folder / name, name)
        if name in simulated:
            files.write_text(folder / name / corpora.SIMULATED, "made up")
        root = str(folder / name / "table.csv")
        content["corpora"][names[name]] = {"reader": "table", "root": root, "scale": list(scale)}
    for section in content["sections"].values():
        grid = section["blocks"][0]["grid"]
        grid["corpus"] = [names[name] for name in grid["corpus"]]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    study = config.load(path)
    counts = {"utterances": 120, "with_target": 100}
    held = {names[name]: counts | {"simulated": name in simulated, "scale": made_up.SCALES[name]} for name in names}
    for old, run in zip(before.runs, study.runs, strict=True):
        if own:
            old.folder.rename(run.folder)
            table = files.read_table(run.folder / files.PREDICTIONS).replace(
                {"train_corpus": names, "test_corpus": names}
            )
            files.write_table(run.folder / files.PREDICTIONS, table)
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
