"""Shapley values of stages: exact where they are known, estimated from fewer sets, with intervals that hold them."""

import contextlib
import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from sercore import files, schema
from sercore.analysis import where, words
from sercore.analysis.where import CORE, STAGES
from sercore.corpora import wording
from sercore.corpora.transcripts import Condition
from sercore.study import config

SETS = [stages for k in range(7) for stages in itertools.combinations(STAGES, k)]


def by_orders(value):
    """The definition: the mean over all orders of what a stage adds when its turn comes."""
    total = np.zeros(6)
    for order in itertools.permutations(STAGES):
        for place, stage in enumerate(order):
            before, after = tuple(sorted(order[:place])), tuple(sorted(order[: place + 1]))
            total[stage - 1] += value[after] - value[before]
    return total / math.factorial(6)


def test_all_sets_give_the_shapley_values_of_the_definition():
    chance = np.random.default_rng(0)
    value = {stages: chance.normal() for stages in SETS}
    found = where.shapley({stages: np.array(score) for stages, score in value.items()})
    np.testing.assert_allclose(found, by_orders(value), atol=1e-10)
    assert found.sum() == pytest.approx(value[STAGES] - value[()])


def test_the_core_sets_give_them_where_scores_add_up():
    parts = np.array([0.3, -0.2, 0.0, 0.05, 0.5, 1.0])
    value = {stages: np.array([7 + sum(parts[stage - 1] for stage in stages)] * 3) for stages in CORE}
    assert len(CORE) == 16
    np.testing.assert_allclose(where.shapley(value), [parts] * 3, atol=1e-10)


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(ValueError, match="need the runs without any stage and those with all"):
        where.shapley({(): np.array(0.0), (6,): np.array(1.0)})
    with pytest.raises(ValueError, match="1 sets between none and all do not tell the six stages apart"):
        where.shapley({(): np.array(0.0), (6,): np.array(1.0), STAGES: np.array(2.0)})


GAINS = np.array([0.0, -0.04, -0.02, 0.0, 0.08, 0.2])  # of valence's r; arousal loses half of it
SPEAKERS, EACH, SEEDS = 8, 30, (0, 1, 2)
COMMON = "the keys are on the table"


def skill(stages, target):
    gain = sum(GAINS[stage - 1] for stage in stages)
    return 0.4 + gain if target == "valence" else 0.8 - gain / 2


def predictions(run, misled=False):
    """Test predictions of a known skill; where the words tell nothing, that of no text at all."""
    change = run.parameters["changes"][run.parameters["change"]]["network"]["stages"]
    count = SPEAKERS * EACH
    truth = np.random.default_rng(1).standard_normal(count)
    common = np.arange(count) % 3 == 0
    chance = np.random.default_rng([run.parameters["seed"], len(change), sum(change)])
    noise = chance.standard_normal(count)
    parts = []
    for target in schema.DIMENSIONS:
        known = np.where(common, skill((), target), skill(tuple(change), target))
        if misled:
            known = np.full(count, 0.1)
        part = pd.DataFrame({"truth": 4 + truth, "prediction": 4 + known * truth + np.sqrt(1 - known**2) * noise})
        parts.append(part.assign(target=target, utterance=[f"u{i:03d}" for i in range(count)]))
    table = pd.concat(parts, ignore_index=True)
    table["speaker"] = [f"s{int(name[1:]) // EACH}" for name in table["utterance"]]
    return table.assign(
        gender="female",
        style="podcast",
        section="multitask",
        model="mfcnn14",
        train_corpus="mine",
        test_corpus="mine",
        seed=run.parameters["seed"],
        fold="official",
        partition="test",
        simulated=True,
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The core sets and the control, all complete; and the corpus, whose words are what matters."""
    folder = tmp_path_factory.mktemp("where")
    names = {"".join(map(str, stages)) or "none": list(stages) for stages in CORE}
    changes = {name: {"network": {"stages": stages}} for name, stages in names.items()}
    for name in ("none", "123456"):
        changes[f"{name}-shuffled"] = {**changes[name], "text": {"shuffled": True}}
    grid = {"change": list(changes), "model": ["mfcnn14"], "corpus": ["mine"], "seed": list(SEEDS)}
    block = {"grid": grid, "fixed": {"task": "multitask", "changes": changes}}
    rows = pd.DataFrame({"utterance": [f"u{i:03d}" for i in range(SPEAKERS * EACH)]})
    rows["transcript"] = [COMMON if i % 3 == 0 else f"sentence number {i}" for i in range(len(rows))]
    rows["emotion"] = [("angry", "happy", "sad")[i // 3 % 3] for i in range(len(rows))]
    rows["speaker"], rows["file"] = "s1", [f"{name}.wav" for name in rows["utterance"]]
    rows.to_csv(folder / "utterances.csv", index=False)
    for name in rows["file"]:
        soundfile.write(folder / name, np.zeros(160), 16_000)
    content = {
        "study": "where",
        "corpora": {"mine": {"reader": "table", "root": str(folder / "utterances.csv")}},
        "outputs": str(folder / "outputs"),
        "sections": {"multitask": {"notebook": "notebooks/6_conditioning.ipynb", "blocks": [block]}},
    }
    (folder / "where.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    made = config.load(folder / "where.yaml")
    for run in made.runs:
        run.folder.mkdir(parents=True)
        predictions(run).to_parquet(run.folder / files.PREDICTIONS, index=False)
        if run.parameters["change"] != "none":
            odd = predictions(run, misled=True)
            odd = odd[odd["utterance"] < "u060"].assign(**Condition(opposed=True)._asdict())
            odd.to_parquet(run.folder / files.TRANSCRIPT_SHIFT, index=False)
    return made


@pytest.fixture(scope="module")
def found(study):
    return where.read(study, "multitask")


def test_runs_are_told_apart_by_their_stages_and_the_control_is_kept_apart(study, found):
    assert sorted(found.by_stages) == sorted(CORE)
    assert next(iter(found.by_stages)) == ()
    control = where.read(study, "multitask", shuffled=True)
    assert list(control.by_stages) == [(), STAGES]
    assert all(len(runs) == len(SEEDS) for runs in (*found.runs.values(), *control.runs.values()))
    with pytest.raises(ValueError, match=r"with shuffled False, text_dropout 0\.4, data_share 1 and mechanism shift"):
        where.read(study, "multitask", text_dropout=0.4)
    assert list(where.read(study, "multitask", text_dropout=0.4, alone=True).by_stages) == [()]
    runs = tuple(run for run in study.runs if run.parameters["change"] != "none-shuffled")
    shared = where.read(dataclasses.replace(study, runs=runs), "multitask", shuffled=True)
    assert shared.runs[()] == found.runs[()], "no text is read without a stage"
    assert shared.runs[STAGES] == control.runs[STAGES]


def altered(study, **changes):
    """`study` with these changes, by name, beside those that it has; none of their runs is complete."""
    (run,) = [run for run in study.runs if run.parameters["change"] == "6" and run.parameters["seed"] == 0]
    more = [
        dataclasses.replace(
            run,
            name=name,
            folder=run.folder / name,
            parameters={**run.parameters, "change": name, "changes": {**run.parameters["changes"], name: change}},
        )
        for name, change in changes.items()
    ]
    return dataclasses.replace(study, runs=(*study.runs, *more))


def test_runs_of_another_encoder_or_share_are_not_mixed_with_the_others(study):
    last = {"network": {"stages": [6]}}
    kinds = {
        "roberta": {**last, "text": {"encoder": "roberta-base"}},
        "half": {**last, "training": {"data_share": 0.5}},
        "half-none": {"network": {"stages": []}, "training": {"data_share": 0.5}, "text": {"encoder": "roberta-base"}},
    }
    several = altered(study, **kinds)
    problem = "text.encoder is bert-base-uncased in .* and roberta-base in roberta, .*name the kind of runs"
    with pytest.raises(ValueError, match=problem):
        where.read(several, "multitask")
    for asked, runs in (({"encoder": "bert-base-uncased"}, 3 * len(CORE)), ({"encoder": "roberta-base"}, 4)):
        with pytest.raises(FileNotFoundError, match="1 of 1 runs") if runs == 4 else contextlib.nullcontext():
            assert sum(map(len, where.read(several, "multitask", **asked).runs.values())) == runs
    found = [(stages, kind.encoder) for stages, kind, _ in where.kinds(several, "multitask") if kind.data_share == 0.5]
    assert found == [((6,), "bert-base-uncased"), ((), "")], "without a stage the encoder has no influence"


def test_sets_that_differ_in_more_than_their_stages_are_refused(study):
    longer = altered(study, longer={"network": {"stages": [1, 6]}, "training": {"epochs": 9}})
    with pytest.raises(ValueError, match=r"training\.epochs is 60 in .*change=none.* and 9 in longer, so their scores"):
        where.read(longer, "multitask")
    unread = {"network": {"stages": [], "projection": "zero"}, "text": {"tokens": 9}}
    where.refuse_mixtures(altered(study, unread=unread).runs, "the study", apart=("network.stages", "text.shuffled"))


@pytest.mark.parametrize(("target", "sign"), [("valence", 1), ("arousal", -0.5)])
def test_the_values_are_about_those_that_were_put_in_and_the_intervals_hold_them(found, target, sign):
    numbers = where.importance(found, "mine", target, "pcc", draws=400)
    true = sign * GAINS * 2 / 3  # a third of the words tell nothing
    assert numbers["value"].to_numpy() == pytest.approx(true, abs=0.1)
    assert ((numbers["low"] <= true) & (true <= numbers["high"])).sum() >= 5
    everything = where.scores(found, "mine", target, "pcc", draws=200).set_index("stages")["score"]
    assert numbers["value"].sum() == pytest.approx(everything[STAGES] - everything[()])
    alone = where.importance(_with_one_seed(found), "mine", target, "pcc")
    assert alone[["low", "high"]].isna().all(axis=None)


def _with_one_seed(found):
    parts = {
        stages: dataclasses.replace(part, predictions=part.predictions[part.predictions["seed"] == 0])
        for stages, part in found.by_stages.items()
    }
    return dataclasses.replace(found, by_stages=parts)


def test_scores_are_given_where_words_tell_tell_nothing_and_mislead(found):
    by_words = where.by_words(found, "mine", draws=50)
    by_words = dataclasses.replace(by_words, rows=by_words.rows.query("target == 'valence' and seed < 2"))
    means = by_words.numbers.query("metric == 'pcc'").set_index(["name", "words"])
    everything = means.loc["1 to 6"]["mean"]
    assert everything[wording.TELL] > everything[wording.NOTHING] + 0.1
    assert everything[wording.MISLEAD] < 0.4
    assert means.loc["1 to 6"]["utterances"].to_dict() == {
        wording.TELL: 160,
        wording.NOTHING: 80,
        wording.MISLEAD: 60,
    }
    nothing = means.loc["none"]["mean"]
    assert nothing[wording.MISLEAD] > 0.2, "without a stage nothing misleads"
    assert "no such sentences" not in " ".join(words.table(by_words).notes), "other corpora are not what was asked"
    names = words.table(by_words).frame.index.get_level_values("stages with text")
    assert list(names[:9]) == ["none", "1", "2", "3", "4", "5", "6", "1, 2", "5, 6"]
    panels = [(axis.get_title(), axis.get_ylabel(), axis.get_xlabel()) for axis in words.plot(by_words).axes]
    assert panels == [("valence\nmine", metric, "stages with text") for metric in ("CCC", "PCC")]


def test_the_table_and_the_figure_say_what_they_are(found, tmp_path):
    asked = [("valence", "ccc"), ("arousal", "pcc")]
    table = where.table(found, "mine", asked, draws=50)
    assert list(table.frame.columns) == [("valence", "CCC"), ("arousal", "PCC")]
    assert "| stage | valence CCC | arousal PCC |" in table.markdown()
    assert "estimated from 16 sets" in " ".join(table.notes)
    picture = where.plot(found, "mine", asked, draws=50)
    picture.savefig(tmp_path / "where.png")
    assert [axis.get_title() for axis in picture.axes[:4:2]] == ["valence", "arousal"]
