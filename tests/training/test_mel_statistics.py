"""The regression on mel statistics beside a run: scikit-learn's own answer, of the run's split and normalisation."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression, Ridge

from sercore import files, schema
from sercore.analysis import baseline as beside
from sercore.analysis import captions, tracking
from sercore.features import audio
from sercore.settings import FeatureSettings, NormalisationSettings, Size
from sercore.study import verify
from sercore.training import baseline, experiment

LEVEL = {"angry": 0.3, "sad": 0.02}
MEL, DEVELOPMENT, TEST = schema.MEL_STATISTICS, "development", "test"
BANDS = audio.narrowband(FeatureSettings(mels=32))  # those that a regression with a share in the model reads


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Root of the table of four speakers whose loudness is their emotion, but for one utterance of each."""
    root, random, rows = tmp_path_factory.mktemp("mine"), np.random.default_rng(0), []
    for place, speaker in enumerate(("ann", "bob", "cem", "dan")):
        for emotion, level in LEVEL.items():
            for take in range(3):
                name, loud = f"{speaker}-{emotion}-{take}", level if take else 0.05
                soundfile.write(root / f"{name}.wav", random.normal(0, loud * (1 + place), 6400).clip(-1, 1), 16_000)
                rated = {"arousal": 4 * level + take / 10, "valence": place + take / 10, "dominance": take}
                rows.append({"utterance": name, "file": f"{name}.wav", "speaker": speaker, "emotion": emotion, **rated})
    pd.DataFrame(rows).to_csv(root / "utterances.csv", index=False)
    return str(root)


@pytest.fixture
def define(corpus, tmp_path):
    def _define(section="categories", **changes):
        classes = {"classes": {name: [name] for name in LEVEL}} if section == "categories" else {}
        parameters = {
            "model": "cnn14",
            "corpus": "mine",
            "seed": 0,
            "folds": ["ann", "cem"],
            "features": {"mels": 32, "hop": 160},
            "text": {},
            "network": {"width": 2},
            "training": {"epochs": 1},
            "corpora": {"mine": {"reader": "table", "root": corpus, "scale": [0, 5]}},
            "folder": str(tmp_path / "run"),
            "cache": f"{corpus}/cache",
            **classes,
            **changes,
        }
        return experiment.define(section, **parameters)

    return _define


def by_hand(source, names, minus=None, bands=None):
    """Means and deviations of mel bands, less `minus` of each utterance; of the lowest `bands`, without their level."""
    frames, found = source.frames, []
    for place in frames.positions(names):
        logmel = frames.rows(place).astype("float64") - (0 if minus is None else minus(frames.utterances[place]))
        logmel = logmel[:, :bands]
        found.append(np.concatenate([logmel.mean(0) - (0 if bands is None else logmel.mean()), logmel.std(0)]))
    return np.array(found)


def standardised(train, asked):
    return [(part - train.mean(0)) / train.std(0) for part in (train, asked)]


def test_the_baseline_is_scikit_learn_s_own_answer_on_the_run_s_training_utterances(define):
    run = define()
    data = experiment.load(run)
    source, (split, _) = data["mine"], experiment.folds(run, data)
    found = experiment.mel_statistics(run, data)
    found = found[found["fold"] == split.name].set_index(["partition", "utterance"])
    labels = source.rows.set_index("utterance")["emotion"]
    for partition, names in ((DEVELOPMENT, split.development), (TEST, split.test)):
        train, asked = standardised(by_hand(source, split.train), by_hand(source, names))
        expected = LogisticRegression(max_iter=5000).fit(train, labels[list(split.train)])
        probabilities = found.loc[partition].loc[list(names), ["p_angry", "p_sad"]]
        np.testing.assert_allclose(probabilities, expected.predict_proba(asked), atol=1e-4)
        assert list(found.loc[partition].loc[list(names), "prediction"]) == list(expected.predict(asked))
    assert set(found["model"]) == {MEL}
    with_development = experiment.mel_statistics(run, data, with_development=True)
    assert set(with_development["partition"]) == {TEST}
    train, asked = standardised(by_hand(source, split.train + split.development), by_hand(source, split.test))
    expected = LogisticRegression(max_iter=5000).fit(train, labels[list(split.train + split.development)])
    rows = with_development.set_index("utterance").loc[list(split.test), ["p_angry", "p_sad"]]
    np.testing.assert_allclose(rows, expected.predict_proba(asked), atol=1e-4)


def test_ratings_are_answered_by_ridge_regression(define):
    run = define("multitask")
    data = experiment.load(run)
    source, (split, _) = data["mine"], experiment.folds(run, data)
    found = experiment.mel_statistics(run, data)
    found = found[(found["fold"] == split.name) & (found["partition"] == TEST)]
    train, asked = standardised(by_hand(source, split.train), by_hand(source, split.test))
    truth = source.rows.set_index("utterance").loc[list(split.train), list(schema.DIMENSIONS)]
    expected = Ridge(alpha=1.0).fit(train, truth).predict(asked)
    for place, name in enumerate(schema.DIMENSIONS):
        own = found[found["target"] == name].set_index("utterance").loc[list(split.test), "prediction"]
        np.testing.assert_allclose(own, expected[:, place], rtol=1e-3)


def test_the_baseline_sees_what_the_run_s_normalisation_leaves(define):
    source = experiment.load(define())["mine"]
    names = list(source.rows["utterance"])

    def found(over, of="channel"):
        normalised = replace(source, normalisation=NormalisationSettings(over=over, of=of))
        return baseline.statistics(normalised, source.frames, names)

    plain = by_hand(source, names)
    np.testing.assert_allclose(baseline.statistics(source, source.frames, names), plain, rtol=1e-5)
    means = pd.DataFrame(plain[:, :32], index=source.rows["speaker"]).groupby(level=0).mean() + 40  # as long as another
    less = by_hand(source, names, lambda name: means.loc[name[:3]].to_numpy())
    np.testing.assert_allclose(found("speaker"), less, atol=1e-3)
    np.testing.assert_allclose(found("utterance", "level")[:, :32].mean(1), -40, atol=1e-3)
    np.testing.assert_allclose(found("utterance"), plain, rtol=1e-5)  # there all means would be the same


def shape(source, names):
    return by_hand(source, names, bands=BANDS)


def kept(*parts):
    """Standardised features as a regression that has a share in a model takes them."""
    return [part.clip(-2, 2) for part in parts]


def within_reach(train, asked):
    """Which of the standardised `asked` are no farther from the mean than the farthest of `train`."""
    far = [np.sqrt((part**2).mean(1)) for part in (train, asked)]
    return far[1] <= far[0].max()


def test_a_regression_alone_answers_as_scikit_learn_does_but_for_what_is_unlike_its_training_set(define, tmp_path):
    """Two classes, of which it has one weight vector; the network has no share where the regression answers."""
    run, predictions = run_of(define, network={"width": 2, "regression": 1.0})
    network = run_of(define, folder=str(tmp_path / "other"))[1]
    data = experiment.load(run)
    source, (split, _) = data["mine"], experiment.folds(run, data)
    train, asked = standardised(shape(source, split.train), shape(source, split.test))
    labels = source.rows.set_index("utterance")["emotion"]
    near, (train, asked) = within_reach(train, asked), kept(train, asked)
    fitted = LogisticRegression(max_iter=5000, class_weight="balanced").fit(train, labels[list(split.train)])
    expected = fitted.predict_proba(asked)
    assert 0 < near.sum() < len(near)
    own, network = (
        table[(table["fold"] == split.name) & (table["partition"] == TEST)]
        .set_index("utterance")
        .loc[list(split.test), ["p_angry", "p_sad"]]
        for table in (predictions, network)
    )
    np.testing.assert_allclose(own[near], expected[near], atol=1e-4)
    np.testing.assert_allclose(own[~near], network[~near], atol=1e-4)
    assert len(np.unique(expected.round(3), axis=0)) > 1
    beside = files.read_table(run.folder / files.MEL_STATISTICS)  # that regression is what the model must beat
    beside = beside[(beside["fold"] == split.name) & (beside["partition"] == TEST)].set_index("utterance")
    np.testing.assert_allclose(beside.loc[list(split.test), ["p_angry", "p_sad"]], expected, atol=1e-4)


def test_the_regression_has_weights_for_each_of_several_classes(define):
    source = experiment.load(define())["mine"]
    names = list(source.rows["utterance"])
    labels = [f"{name[4:-2]}{min(int(name[-1]), 1)}" for name in names]  # angry0 and sad0 are rarer than the others
    several = replace(
        source, rows=source.rows.assign(emotion=labels), classes={label: (label,) for label in sorted(set(labels))}
    )
    found = baseline.of_shape(several, several.frames, names, BANDS)
    assert found.weight.shape == (4, 2 * BANDS)
    train = shape(source, names)
    logits = found(train)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    codes = [sorted(set(labels)).index(label) for label in labels]
    (standard,) = kept(standardised(train, train)[0])
    expected = LogisticRegression(max_iter=5000, class_weight="balanced").fit(standard, codes)
    np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), expected.predict_proba(standard), atol=1e-3)


def test_half_a_regression_is_the_mean_with_what_the_network_answers_to_ratings(define, tmp_path):
    """Training is the same with and without it; the epoch is the only one."""
    found = {}
    for share in (0.0, 0.5, 1.0):
        network, folder = {"width": 2, "regression": share}, str(tmp_path / str(share))
        found[share] = run_of(define, section="multitask", network=network, folder=folder)[1]
    half = (found[0.0]["prediction"] + found[1.0]["prediction"]) / 2
    np.testing.assert_allclose(found[0.5]["prediction"], half, rtol=1e-4, atol=1e-4)
    assert (found[0.0]["prediction"] - found[1.0]["prediction"]).abs().max() > 0.1
    run = define("multitask")
    data = experiment.load(run)
    source, (split, _) = data["mine"], experiment.folds(run, data)
    train, asked = standardised(shape(source, split.train), shape(source, split.test))
    truth = source.rows.set_index("utterance").loc[list(split.train), "arousal"]
    own = found[1.0][(found[1.0]["target"] == "arousal") & (found[1.0]["partition"] == TEST)]
    own = own[own["fold"] == split.name].set_index("utterance").loc[list(split.test), "prediction"]
    near, (train, asked) = within_reach(train, asked), kept(train, asked)
    assert near.any()
    np.testing.assert_allclose(own[near], Ridge().fit(train, truth).predict(asked)[near], rtol=1e-3)


def test_the_regression_is_of_models_that_take_log_mels(define):
    with pytest.raises(ValueError, match=r"bert takes no network.regression, which is of log-mels: cnn14, sfcnn14"):
        define(model="bert", network={"regression": 0.5})


def test_a_mean_that_normalisation_makes_the_same_of_all_has_no_weight(define):
    """Each is -40 dB but for rounding, of which a regression on standardised features would learn."""
    source = experiment.load(define())["mine"]
    normalised = replace(source, normalisation=NormalisationSettings(over="utterance"))
    weight = baseline.of_shape(normalised, source.frames, list(source.rows["utterance"]), BANDS).weight
    assert np.abs(weight[:, :BANDS]).max() == 0
    assert np.abs(weight[:, BANDS:]).max() > 0.01


def run_of(define, **changes):
    run = define(**changes)
    return run, experiment.run(run, experiment.load(run))


def test_a_run_on_an_own_corpus_is_scored_beside_its_baseline_and_warned_of(define):
    run, predictions = run_of(define)
    with pytest.warns(UserWarning, match="not better than mel statistics: CNN14 "):  # of one epoch
        table = beside.beside(predictions, run.folder)
    row = table[(table["partition"] == TEST) & (table["metric"] == "uar") & (table["pooling"] == "pooled")].iloc[0]
    (gain,) = beside.gains(run.folder)
    assert (gain.score, gain.baseline) == (row["score"], row[MEL])
    assert gain.baseline > gain.score
    assert not gain.better
    baseline_s = pd.read_parquet(run.folder / files.MEL_STATISTICS)
    right = baseline_s.assign(prediction=baseline_s["truth"].map({"angry": "sad", "sad": "angry"}))
    files.write_table(run.folder / files.MEL_STATISTICS, right)
    beside.beside(predictions, run.folder)  # better than what is always wrong: no warning, which would be an error
    (gain,) = beside.gains(run.folder)
    assert (gain.better, gain.baseline) == (True, 0)
    (run.folder / files.MEL_STATISTICS).unlink()
    assert MEL not in beside.beside(predictions, run.folder)
    assert beside.gains(run.folder) == []


def test_the_setting_decides_on_the_baseline_before_the_corpus_does(define):
    assert define().has_baseline
    assert not define(training={"mel_statistics": False}).has_baseline
    paper = {"corpus": "msp-podcast", "corpora": {"msp-podcast": {"root": "elsewhere"}}, "folds": []}
    assert not define(**paper).has_baseline
    assert define(**paper, training={"mel_statistics": True}).has_baseline


def test_a_recipe_chooses_by_the_training_utterances_and_is_written_into_the_run(define):
    given = {"recipe": "by_size", "epochs": 1, "augmentation": {"rate": 0.0}}
    run, _ = run_of(define, training=given, network={"width": 2, "dropout": 0.1})
    assert run.chosen.size == Size(utterances=12, speakers=2, classes=2)  # of 4 speakers one is tested and one chooses
    assert (run.training.epochs, run.network.dropout) == (1, 0.1)  # given
    assert (run.training.augmentation.rate, run.training.augmentation.mel_shift) == (0, 1.5)
    assert run.network.normalisation == NormalisationSettings(over="utterance", of="level")  # 6 utterances of a speaker
    record = files.read_json(run.folder / files.PROVENANCE)
    assert record["settings"]["training"]["augmentation"]["mel_shift"] == 1.5
    assert record["settings"]["training"]["kept_epoch"] == "last"
    assert record["recipe"]["size"] == {"utterances": 12, "speakers": 2, "classes": 2}
    assert not {"epochs", "dropout"} & {name for values in record["recipe"]["chose"].values() for name in values}
    text = captions.recipe_of(run.folder)
    assert "for 12 training utterances of 2 known speakers, chose network.normalisation.over utterance" in text
    assert "training.augmentation.gain_decibels 10.0" in text
    assert "augmentation.rate" not in text
    assert files.read_yaml(run.folder / files.PARAMETERS)["training"] == given
    shown = experiment.describe(run)["recipe by_size"]
    assert (shown["training.kept_epoch"], shown["training.epochs"]) == ("chose it", "")
    assert not list(verify._settings(record, record["parameters"]))
    record["settings"]["training"]["batch"] = 7
    assert list(verify._settings(record, record["parameters"])) == [("training.batch was 7, now 16", verify.INPUT)]
    for name in ("regression", "mechanism"):  # as if there had been neither; the latter is what it is without a recipe
        del record["settings"]["network"][name]
    changes = dict(verify._settings(record, record["parameters"]))
    assert changes["network.regression was not set then, now 0.5"] == verify.INPUT
    assert len(changes) == 2
    logged = tracking._settled(SimpleNamespace(parameters=record["parameters"], folder=run.folder))
    assert (logged["network"]["regression"], logged["training"]["kept_epoch"]) == (0.5, "last")


def test_a_corpus_whose_speakers_are_not_known_is_not_normalised_by_speaker(define, corpus, tmp_path):
    rows = pd.concat([pd.read_csv(f"{corpus}/utterances.csv")] * 5)
    rows["utterance"] = range(len(rows))
    rows["file"] = corpus + "/" + rows["file"]
    rows["speaker"] = rows["speaker"].where(np.arange(len(rows)) % 5 > 0)
    rows.assign(partition=np.resize(["train", "train", "development", "test"], len(rows))).to_csv(
        tmp_path / "mine.csv", index=False
    )
    own = {"mine": {"reader": "table", "root": str(tmp_path / "mine.csv"), "scale": [0, 5]}}
    run = define(corpora=own, folds=[], allow_speaker_leakage=True, training={"recipe": "by_size"})
    assert run.chosen.size == Size(utterances=60, speakers=0, classes=2)
    assert run.network.normalisation.over == "utterance"


def test_what_a_recipe_chose_is_part_of_what_a_fold_follows_from(define):
    plain, recipe = define(), define(training={"epochs": 1, "recipe": "by_size"}, network={"width": 2})
    data = experiment.load(plain)
    (split, _) = experiment.folds(plain, data)
    identities = [experiment._training_state(run, data, split).identity["settings"] for run in (plain, recipe)]
    assert identities[0]["training"]["averaged_epochs"] == 1
    assert identities[1]["training"]["averaged_epochs"] == 10
