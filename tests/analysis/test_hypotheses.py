"""Hypotheses on where language should enter get the verdict that was put into the predictions."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from sercore import files, schema
from sercore.analysis import hypotheses
from sercore.analysis.nothing import NothingToShow
from sercore.analysis.statistics import Interval
from sercore.analysis.where import CORE, STAGES
from sercore.corpora.transcripts import Condition
from sercore.study import config

SPEAKERS, EACH, SEEDS = 10, 24, (0, 1, 2)
COUNT = SPEAKERS * EACH
COMMON = np.arange(COUNT) % 3 == 0
MISLED = (np.arange(COUNT) % 3 == 1) & (np.arange(COUNT) % 5 < 3)


def skill(stages, dropped, target, misled):
    """Share of right answers, or r, where words tell, where they tell nothing, and where they mislead."""
    if target == "arousal":
        return 0.8 - 0.1 * len({1, 2, 3} & set(stages)), 0.8, 0.8
    if not stages:
        return 0.5, 0.55, 0.5
    told = (0.95, 0.55 if dropped else 0.4, 0.1 if len(stages) > 1 else 0.5)
    return (0.1, 0.1, told[2]) if misled else told


def predictions(run, misled=False):
    """Test predictions of a run: of four emotions, or of ratings."""
    change = run.parameters["changes"][run.parameters["change"]]["network"]
    stages, dropped = tuple(change["stages"]), "text_dropout" in change
    chance = np.random.default_rng(run.parameters["seed"])  # the same for all sets: it is their differences that count
    parts = []
    for target in [schema.EMOTION] if run.section == "categories" else schema.DIMENSIONS:
        tell, nothing, mislead = skill(stages, dropped, target, misled)
        known = np.where(MISLED & misled, mislead, np.where(COMMON, nothing, tell))
        if target == schema.EMOTION:
            truth = np.arange(COUNT) // 3 % 4
            guessed = np.where(chance.random(COUNT) < known, truth, (truth + 1) % 4)
            truth, guessed = (np.array(schema.CLASSES)[of] for of in (truth, guessed))
        else:
            truth = np.random.default_rng(1).standard_normal(COUNT)
            guessed = known * truth + np.sqrt(1 - known**2) * chance.standard_normal(COUNT)
        parts.append(pd.DataFrame({"truth": truth, "prediction": guessed, "target": target}))
        parts[-1]["utterance"] = [f"u{i:03d}" for i in range(COUNT)]
        parts[-1]["speaker"] = [f"s{i // EACH}" for i in range(COUNT)]
    return pd.concat(parts, ignore_index=True).assign(
        gender="female",
        style="podcast",
        section=run.section,
        model="mfcnn14",
        train_corpus="mine",
        test_corpus="mine",
        seed=run.parameters["seed"],
        fold="official",
        partition="test",
        simulated=True,
    )


def write(folder, *, emotions, sections=("multitask", "categories")):
    """A study of the core sets, and of all stages with text dropout; with emotions in the corpus or without."""
    folder.mkdir()
    changes = {"".join(map(str, stages)) or "none": {"network": {"stages": list(stages)}} for stages in CORE}
    changes["dropped"] = {"network": {"stages": list(STAGES), "text_dropout": 0.4}}
    grid = {"change": list(changes), "model": ["mfcnn14"], "corpus": ["mine"], "seed": list(SEEDS)}
    rows = pd.DataFrame({"utterance": [f"u{i:03d}" for i in range(COUNT)]})
    rows["transcript"] = ["the keys are on the table" if of else f"sentence {i}" for i, of in enumerate(COMMON)]
    rows["speaker"], rows["file"] = [f"s{i // EACH}" for i in range(COUNT)], "one.wav"
    if emotions:
        rows["emotion"] = [schema.CLASSES[i // 3 % 4] for i in range(COUNT)]
    rows["valence"] = np.random.default_rng(1).standard_normal(COUNT).clip(-2, 2) + 3
    rows["file"] = [f"{name}.wav" for name in rows["utterance"]]
    for name in rows["file"]:
        soundfile.write(folder / name, np.zeros(160), 16_000)
    rows.to_csv(folder / "utterances.csv", index=False)
    content = {
        "study": "where",
        "corpora": {"mine": {"reader": "table", "root": str(folder / "utterances.csv")}},
        "outputs": str(folder / "outputs"),
        "sections": {
            section: {
                "notebook": "notebooks/6_conditioning.ipynb",
                "blocks": [{"grid": grid, "fixed": {"task": section, "changes": changes}}],
            }
            for section in sections
        },
    }
    (folder / "where.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    made = config.load(folder / "where.yaml")
    for run in made.runs:
        run.folder.mkdir(parents=True)
        predictions(run).to_parquet(run.folder / files.PREDICTIONS, index=False)
        if run.parameters["change"] != "none":
            odd = predictions(run, misled=True)
            odd = odd[odd["utterance"].isin([f"u{i:03d}" for i in np.flatnonzero(MISLED)])]
            odd.assign(**Condition(opposed=True)._asdict()).to_parquet(run.folder / files.TRANSCRIPT_SHIFT, index=False)
    return made


@pytest.mark.parametrize("emotions", [True, False])
def test_what_was_put_in_is_found(tmp_path, emotions):
    sections = ("multitask", "categories") if emotions else ("multitask",)
    study = write(tmp_path / "study", emotions=emotions, sections=sections)
    table = hypotheses.judge(study, "mine", draws=300)
    found = table.numbers.drop_duplicates("hypothesis").set_index("hypothesis")["verdict"]
    assert found.to_dict() == {"H1": "holds", "H2": "holds", "H3": "holds", "H4": "holds"}
    numbers = table.numbers.set_index("contrast")
    assert numbers.loc["what stages 1 to 3 take away", "value"] == pytest.approx(0.3 * 2 / 3, abs=0.08)
    assert (numbers["seeds"] == 3).all()
    assert (numbers["speakers"] == SPEAKERS).all()
    text = table.markdown()
    assert "UAR of emotion" in text if emotions else "UAR" not in text.partition("Not in the paper")[0]
    assert "Written down on 2026-" in text
    assert "Simulated" in text
    with pytest.raises(NothingToShow, match="no runs of multitask or categories on 'yours'"):
        hypotheses.judge(study, "yours")
    for run in study.runs:
        if run.parameters["change"] in ("dropped", "1", "12"):
            (run.folder / files.PREDICTIONS).unlink()
    table = hypotheses.judge(study, "mine", incomplete="show", draws=50)
    assert table.numbers.drop_duplicates("hypothesis").set_index("hypothesis")["verdict"].to_dict() == {
        "H1": "holds",
        "H2": "holds",
        "H3": "cannot tell",
        "H4": "holds",
    }
    assert "not run" in table.markdown()
    for run in study.runs:
        if run.parameters["change"] not in ("none", "6", "123456"):
            (run.folder / files.PREDICTIONS).unlink(missing_ok=True)
    table = hypotheses.judge(study, "mine", incomplete="show", draws=50)
    assert set(table.numbers.set_index("hypothesis").loc[["H2"], "verdict"]) == {"cannot tell"}, (
        "stages are not told apart"
    )


def spread(low, high):
    return Interval((low + high) / 2, low, high, 0.1, 10, 0)


@pytest.mark.parametrize(
    ("relation", "wide", "narrow", "verdict"),
    [
        (hypotheses.LEVEL, (-1.5, 1.5), (-0.9, 0.9), "holds"),
        (hypotheses.LEVEL, (1.1, 3.0), (1.2, 2.8), "does not hold"),
        (hypotheses.LEVEL, (-3.0, -1.1), (-2.9, -1.2), "does not hold"),
        (hypotheses.LEVEL, (-0.5, 3.0), (-0.4, 2.8), "cannot tell"),
        (hypotheses.ABOVE, (0.1, 3.0), (0.2, 2.8), "holds"),
        (hypotheses.ABOVE, (-2.0, 0.8), (-1.8, 0.7), "does not hold"),
        (hypotheses.ABOVE, (-1.0, 3.0), (-0.8, 2.8), "cannot tell"),
        (hypotheses.NOT_BELOW, (-1.2, 3.0), (-0.9, 2.8), "holds"),
        (hypotheses.NOT_BELOW, (-4.0, -1.1), (-3.8, -1.2), "does not hold"),
        (hypotheses.NOT_BELOW, (-2.0, 3.0), (-1.8, 2.8), "cannot tell"),
        ("", (0.0, 1.0), (0.0, 1.0), ""),
    ],
)
def test_the_rules(relation, wide, narrow, verdict):
    assert hypotheses.decide(relation, spread(*wide), spread(*narrow), 1.0) == verdict
