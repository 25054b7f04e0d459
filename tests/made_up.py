"""A study that was not run: run folders whose predictions are made up, with a known skill for each model.

Text predicts valence, audio predicts arousal and dominance, fusion models predict both, so a test knows what the
results must be.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from sercore import files, schema
from sercore.corpora.transcripts import Condition
from sercore.study import config

SKILL = {  # correlation of a model's predictions with (arousal, valence, dominance)
    "bert": (0.2, 0.8, 0.2),
    "cnn14": (0.85, 0.2, 0.8),
    "sfcnn14": (0.85, 0.78, 0.8),
    "mfcnn14": (0.9, 0.88, 0.85),
}
SCALES = {"iemocap": (1, 5), "msp-podcast": (1, 7)}
FOLDS = {"Ses01F": "Ses01M", "Ses03M": "Ses03F"}  # left-out speaker -> development speaker
CENTRES = {"angry": (1.2, -1.2), "happy": (0.8, 1.3), "neutral": (0.0, 0.0), "sad": (-1.3, -1.1)}  # arousal, valence
COMMON = "the keys are on the table"  # what every third utterance of MSP-Podcast says
MISLED = 12  # utterances of a speaker whose words mislead
DONE = pd.DataFrame({"a": [1]})  # the result of a run that trains nothing
DIMENSIONS = list(schema.DIMENSIONS)
PARAMETERS = """\
study: made-up
corpora:
  iemocap: {{root: nowhere/iemocap}}
  msp-podcast: {{root: nowhere/msp-podcast}}
outputs: {outputs}
sections:
  categories: &section
    notebook: notebooks/1_categories.ipynb
    blocks:
      - grid: {{model: [bert, cnn14, sfcnn14, mfcnn14], corpus: [msp-podcast, iemocap], seed: {seeds}}}
        fixed: &small
          folds: [Ses01F, Ses03M]
          features: {{mels: 32}}
          text: {{}}
          network: {{width: 8}}
          training: {{epochs: 3}}
  dimensions:
    notebook: notebooks/2_dimensions.ipynb
    blocks:
      - grid:
          model: [cnn14, sfcnn14, mfcnn14]
          corpus: [msp-podcast, iemocap]
          target: [arousal, valence, dominance]
          seed: {seeds}
        fixed: *small
  multitask:
    notebook: notebooks/3_multitask.ipynb
    blocks:
      - grid: {{model: [bert, cnn14, sfcnn14, mfcnn14], corpus: [msp-podcast], seed: {seeds}}}
        fixed: *small
"""


def write_study(
    folder: Path,
    seeds: int = 3,
    sections: tuple[str, ...] = ("categories", "dimensions", "multitask"),
    utterances: int = 40,
) -> Path:
    """A parameters file in `folder`, every run of `sections` complete; `utterances` per speaker."""
    path = folder / "parameters.yaml"
    path.write_text(PARAMETERS.format(outputs=folder / "outputs", seeds=list(range(seeds))), encoding="utf-8")
    corpora = {name: made_up_corpus(name, utterances) for name in SCALES}
    for run in config.load(path).runs:
        if run.section in sections:
            write_run(run, corpora)
    return path


def write_words(path: Path, utterances: int = 40, misled: bool = True) -> None:
    """Give the study of `write_study` corpora: MSP-Podcast with sentences that tell nothing, IEMOCAP with none.

    With `misled`, its runs that take text were also tested with misleading words on the first MISLED utterances of two
    speakers, and fell for all of them.
    """
    content = path.read_text(encoding="utf-8")
    soundfile.write(path.parent / "any.wav", np.zeros(160), 16_000)
    for name, scale in SCALES.items():
        rows = made_up_corpus(name, utterances)
        rows = rows[["utterance", "speaker", "partition", "emotion", *DIMENSIONS]].assign(file="any.wav")
        rows["transcript"] = [f"sentence number {number}" for number in range(len(rows))]
        if name == "msp-podcast":
            rows.loc[rows.index % 3 == 0, "transcript"] = COMMON
        rows.to_csv(path.parent / f"{name}.csv", index=False)
        corpus = f"reader: table, root: {path.parent / name}.csv, scale: [{scale[0]}, {scale[1]}]"
        content = content.replace(f"root: nowhere/{name}", corpus)
    path.write_text(content, encoding="utf-8")
    for run in config.load(path).runs if misled else ():
        corpus, model = (run.parameters[key] for key in ("corpus", "model"))
        if run.complete and corpus == "msp-podcast" and model != "cnn14":
            table = files.read_table(run.folder / files.PREDICTIONS)
            own = table[(table["partition"] == "test") & (table["test_corpus"] == corpus)]
            number = own["utterance"].str[-5:].astype(int) % utterances
            odd = own[(number < MISLED) & own["speaker"].isin(["4", "5"])].assign(**Condition(opposed=True)._asdict())
            files.write_table(run.folder / files.TRANSCRIPT_SHIFT, _reversed(odd, SCALES[corpus]))


def _reversed(rows: pd.DataFrame, scale: tuple[int, int]) -> pd.DataFrame:
    """Predictions of the opposite: of angry for happy and of neutral for sad, or on the other end of the scale."""
    if (rows["target"] != "emotion").all():
        return rows.assign(prediction=sum(scale) - rows["prediction"])
    swapped = {"angry": "happy", "happy": "angry", "neutral": "sad", "sad": "neutral"}
    chances = {f"p_{name}": rows[f"p_{other}"] for name, other in swapped.items()}
    return rows.assign(prediction=rows["prediction"].map(swapped), **chances)


def write_run(run: config.Run, corpora: dict[str, pd.DataFrame]) -> None:
    """The folder of a complete run."""
    run.folder.mkdir(parents=True)
    folds = ["official"] if run.parameters["corpus"] == "msp-podcast" else list(FOLDS)
    epochs = [
        {
            "fold": fold,
            "epoch": epoch,
            "loss": 1 / epoch,
            "development": 0.3 + 0.1 * epoch,
            "learning_rate": 0.01,
            "seconds": 1.0,
            "best": epoch == 3,
        }
        for fold in folds
        for epoch in (1, 2, 3)
    ]
    pd.DataFrame(epochs).to_csv(run.folder / files.HISTORY, index=False)
    files.write_table(run.folder / files.PREDICTIONS, predict(run, corpora))


def made_up_corpus(name: str, utterances: int) -> pd.DataFrame:
    """Latent arousal, valence and dominance (mean 0, sd 1), their ratings, and a class, of `utterances` a speaker."""
    rng = np.random.default_rng(len(name))
    speakers = [f"Ses0{s}{g}" for s in (1, 3) for g in "FM"] if name == "iemocap" else [str(n) for n in range(12)]
    rows = len(speakers) * utterances
    latent = rng.standard_normal((rows, 3))
    low, high = SCALES[name]
    table = pd.DataFrame(latent, columns=[f"latent_{dimension}" for dimension in DIMENSIONS])
    table[DIMENSIONS] = np.clip((low + high) / 2 + latent * (high - low) / 6, low, high)
    table["speaker"] = np.repeat(speakers, utterances)
    table["gender"] = np.where(table["speaker"].str.endswith(("F", "0", "2", "4", "6", "8")), "female", "male")
    styles = ["improvised", "scripted"] if name == "iemocap" else ["podcast", "podcast"]
    table["style"] = np.resize(styles, rows)
    official = {"msp-podcast": np.where(np.repeat(np.arange(len(speakers)) < 4, utterances), "development", "test")}
    table["partition"] = official.get(name)
    table["utterance"] = [f"{name}-{row:05d}" for row in range(rows)]
    table["emotion"] = [nearest(point) for point in latent[:, :2]]
    return table


def nearest(point: np.ndarray) -> str:
    return min(CENTRES, key=lambda name: np.sum((point - CENTRES[name]) ** 2))


def predict(run: config.Run, corpora: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The predictions table of one run."""
    model, corpus, seed = (run.parameters[key] for key in ("model", "corpus", "seed"))
    rng = np.random.default_rng([seed, list(SKILL).index(model), len(run.name)])
    home = corpora[corpus]
    (other,) = (name for name in corpora if name != corpus)
    away = corpora[other]
    parts = []
    for fold in ["official"] if corpus == "msp-podcast" else FOLDS:
        official = fold == "official"
        partitions = {
            "development": home[home["partition"] == "development"]
            if official
            else home[home["speaker"] == FOLDS[fold]],
            "test": home[home["partition"] == "test"] if official else home[home["speaker"] == fold],
        }
        test_sets = [(corpus, partition, rows, 0.0) for partition, rows in partitions.items()]
        test_sets.append(
            (other, "test", away if away["partition"].isna().all() else away[away["partition"] == "test"], 0.3)
        )
        for test_corpus, partition, rows, loss in test_sets:
            part = answer(run, rows, rng, np.array(SKILL[model]) * (1 - loss), SCALES[corpus])
            keys = {
                "section": run.section,
                "model": model,
                "train_corpus": corpus,
                "test_corpus": test_corpus,
                "fold": fold,
                "seed": seed,
                "partition": partition,
                "simulated": True,
            }
            parts.append(part.assign(**keys))
    return pd.concat(parts, ignore_index=True)


def answer(
    run: config.Run, rows: pd.DataFrame, rng: np.random.Generator, skill: np.ndarray, scale: tuple[int, int]
) -> pd.DataFrame:
    """The predictions of a model of `skill` for `rows`, on the scale of its training corpus."""
    skill = np.clip(skill + rng.normal(0, 0.01, 3), 0, 1)
    latent = rows[[f"latent_{dimension}" for dimension in DIMENSIONS]].to_numpy()
    predicted = skill * (
        skill * latent + np.sqrt(1 - skill**2) * rng.standard_normal(latent.shape)
    )  # shrunk to the mean
    who = rows[["utterance", "speaker", "gender", "style"]].reset_index(drop=True)
    if run.section == "categories":
        centres = np.array(list(CENTRES.values()))
        closeness = np.exp(-np.sum((predicted[:, None, :2] - centres) ** 2, axis=2))
        probabilities = pd.DataFrame(
            closeness / closeness.sum(1, keepdims=True), columns=[f"p_{name}" for name in CENTRES]
        )
        prediction = np.array(list(CENTRES))[closeness.argmax(1)]
        truth = rows["emotion"].to_numpy()
        return pd.concat([who.assign(target="emotion", truth=truth, prediction=prediction), probabilities], axis=1)
    targets = [run.parameters["target"]] if "target" in run.parameters else DIMENSIONS
    low, high = scale
    ratings = (low + high) / 2 + predicted * (high - low) / 6
    return pd.concat(
        [who.assign(target=t, truth=rows[t].to_numpy(), prediction=ratings[:, DIMENSIONS.index(t)]) for t in targets],
        ignore_index=True,
    )
