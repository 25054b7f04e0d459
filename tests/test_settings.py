"""Settings refuse what does not fit."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import pytest

from sercore import settings
from sercore.registry import MODELS
from sercore.settings import (
    AugmentationSettings,
    FeatureSettings,
    NetworkSettings,
    NormalisationSettings,
    Size,
    TextSettings,
    TrainingSettings,
)


def test_the_defaults_are_the_papers():
    acoustic = settings.training("mfcnn14", {})
    assert (acoustic.optimiser, acoustic.momentum, acoustic.epochs, acoustic.batch) == ("sgd", 0.9, 60, 32)
    tuning = settings.training("bert", {})
    assert (tuning.warmup_steps, tuning.total_steps, tuning.learning_rate) == (100, 1000, 2e-5)


def test_the_error_for_a_misspelt_setting_names_the_nearest():
    with pytest.raises(ValueError, match="TrainingSettings has no 'learning_rte'; did you mean 'learning_rate'"):
        settings.training("cnn14", {"learning_rte": 0.1})


def test_a_value_of_another_type_is_refused():
    with pytest.raises(ValueError, match=r"TrainingSettings\.epochs: expected a whole number, found '10'"):
        settings.training("cnn14", {"epochs": "10"})
    with pytest.raises(ValueError, match=r"epochs: expected a whole number, found True"):
        settings.training("cnn14", {"epochs": True})
    assert settings.training("cnn14", {"learning_rate": 1}).learning_rate == 1.0


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"epochs": 0}, "at least 1 epoch"),
        ({"batch": 1}, "batch norm"),
        ({"schedule": "steps"}, "needs total_steps"),
        ({"optimiser": "adamw"}, "known: sgd, adam"),
        ({"crop_seconds": 0.0}, "above 0"),
        ({"precision": "half"}, "known: auto, float32, bfloat16"),
        ({"schedule": "cosin"}, "schedule is 'cosin'; known: constant, steps, epochs, cosine"),
        ({"schedule": "cosine", "total_steps": 10}, "no other schedule takes it"),
        ({"output_bias": "median"}, "output_bias is 'median'; known: zero, mean"),
        ({"batch_norm": "exact"}, "batch_norm is 'exact'; known: running, estimated"),
        ({"averaged_epochs": 0, "batch_norm": "estimated"}, "averaged_epochs is 0; expected at least 1"),
        ({"batch_norm_utterances": 64}, "batch_norm_utterances is 64, batch_norm 'running'; expected it only with"),
        ({"averaged_epochs": 2}, "more than 1 only with batch_norm 'estimated'"),
    ],
)
def test_contradictory_settings_are_refused(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        TrainingSettings(**values)


def test_too_few_mels_for_five_halvings_are_refused():
    with pytest.raises(ValueError, match="at least 32"):
        FeatureSettings(mels=31)


def test_the_start_of_the_projections_and_the_kind_of_a_switch_are_checked():
    with pytest.raises(ValueError, match="projection is 'none'; known: default, xavier, zero"):
        NetworkSettings(projection="none")
    with pytest.raises(ValueError, match=r"TextSettings\.standardised: expected true or false, found 'yes'"):
        settings.build(TextSettings, {"standardised": "yes"})
    with pytest.raises(ValueError, match=r"TrainingSettings\.sorted_batches: expected true or false, found 0"):
        settings.training("cnn14", {"sorted_batches": 0})


@pytest.mark.parametrize(
    ("kind", "values", "complaint"),
    [
        (TrainingSettings, {"augmentation": {"gian_decibels": 6}}, "no 'gian_decibels'; did you mean 'gain_decibels'"),
        (
            TrainingSettings,
            {"augmentation": {"rate": 0.9}},
            r"AugmentationSettings\.rate: expected 0\.5 or less, found",
        ),
        (TrainingSettings, {"augmentation": {"snr": [20, 5]}}, r"snr is 20 to 5 dB; expected the lower one first"),
        (TrainingSettings, {"augmentation": {"snr": [5]}}, r"AugmentationSettings\.snr: "),
        (TrainingSettings, {"augmentation": {"time_masks": 1.5}}, "time_masks: expected a whole number, found 1.5"),
        (TrainingSettings, {"augmentation": "all"}, r"a mapping of time_masks, .*, found 'all' \(text\)"),
        (
            NetworkSettings,
            {"normalisation": {"over": "day"}},
            "expected 'utterance', 'speaker' or 'corpus', found 'day'",
        ),
        (NetworkSettings, {"normalisation": {"of": "level"}}, "key 'over' is missing"),
        (NetworkSettings, {"normalisation": True}, "a mapping of over, of, found True"),
    ],
)
def test_a_group_of_settings_is_a_mapping_of_its_own_names(kind, values, complaint):
    with pytest.raises(ValueError, match=complaint):
        settings.build(kind, values)


def test_a_group_of_settings_may_be_given_again_and_taken_away():
    gain = settings.training("cnn14", {"augmentation": {"gain_decibels": 6}})
    assert gain.augmentation == AugmentationSettings(gain_decibels=6.0)
    assert str(gain.augmentation) == "gain_decibels 6.0"
    assert str(AugmentationSettings()) == "nothing"
    noisy = settings.build(AugmentationSettings, {"noise": "/data/street", "snr": [0, 10]})
    assert str(noisy) == "noise street, snr (0.0, 10.0)"
    assert settings.build(TrainingSettings, {"epochs": 1}, gain).augmentation == gain.augmentation
    assert settings.build(TrainingSettings, {"augmentation": None}, gain).augmentation is None
    assert settings.build(TrainingSettings, {"augmentation": {"rate": 0.1}}, gain).augmentation.gain_decibels == 0
    assert str(NormalisationSettings(over="corpus", of="level")) == "level over the corpus"


def test_the_paper_neither_augments_nor_normalises():
    for model in MODELS:
        if MODELS[model].trained:
            assert settings.training(model, {}).augmentation is None
    assert NetworkSettings().normalisation is None


@pytest.mark.parametrize(
    ("wrong", "path", "complaint"),
    [
        ({"training": {"augmentation": {"rate": 2}}}, ("training", "augmentation"), "rate: expected 0.5 or less"),
        (
            {"model": "bert", "training": {"augmentation": {"rate": 0.1}}},
            ("training",),
            "bert takes no training.augmentation, which is of log-mels: cnn14, sfcnn14, mfcnn14 take it",
        ),
        (
            {"target": "arousal", "training": {"augmentation": {"mixup": 0.4}}},
            ("training",),
            "training.augmentation.mixup is for categories, and arousal is trained here: leave it out",
        ),
        (
            {"model": "hubert", "network": {"encoder": "x", "normalisation": {"over": "speaker"}}},
            ("network",),
            "hubert takes no network.normalisation, which is of log-mels: cnn14, sfcnn14, mfcnn14 take it",
        ),
    ],
)
def test_what_a_model_cannot_take_is_named_by_its_place(wrong, path, complaint):
    (problem,) = settings.parameter_problems({**GOOD, **wrong})
    assert problem.path == path
    assert complaint in problem.text


def test_mixup_is_for_categories_and_gains_for_ratings_too():
    mixed, louder = ({"augmentation": values} for values in ({"mixup": 0.4}, {"gain_decibels": 6}))
    settings.check_training("cnn14", settings.training("cnn14", mixed), ("emotion",))
    settings.check_training("cnn14", settings.training("cnn14", louder), ("arousal", "valence"))
    with pytest.raises(ValueError, match="and arousal, valence are trained here: leave it out"):
        settings.check_training("cnn14", settings.training("cnn14", mixed), ("arousal", "valence"))


def test_what_the_paper_does_not_say_is_not_confirmed():
    doubts = [settings.unconfirmed(kind()) for kind in (NetworkSettings, TextSettings, TrainingSettings)]
    assert doubts[0]["projection"] == doubts[1]["standardised"] == "not stated"
    assert doubts[2]["output_bias"] == doubts[2]["sorted_batches"] == "not stated"
    assert "projection" not in settings.unconfirmed(NetworkSettings(projection="xavier"))
    assert "output_bias" not in settings.unconfirmed(TrainingSettings(output_bias="mean"))


def test_unconfirmed_settings_are_named_only_while_they_are_the_papers():
    assert "learning_rate" in settings.unconfirmed(TrainingSettings())
    assert "learning_rate" not in settings.unconfirmed(TrainingSettings(learning_rate=0.5))
    assert settings.unconfirmed(settings.training("bert", {}))["learning_rate"] == "from memory (50 %)"


def test_the_error_for_an_unknown_model_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'mfcnn14'"):
        settings.trained_model("mfcn14")
    with pytest.raises(ValueError, match="LF is not trained: it is the mean of the predictions of bert and cnn14"):
        settings.trained_model("lf")


def test_all_mistakes_are_listed_at_once():
    with pytest.raises(
        ValueError, match=r"TrainingSettings\.batch: expected a whole.*; TrainingSettings has no 'epoch'"
    ):
        settings.training("cnn14", {"epoch": 1, "batch": 8.5})
    with pytest.raises(ValueError, match="a name: expected text, found 1"):
        settings.build(TextSettings, {1: 2})


GOOD = {
    "model": "cnn14",
    "seed": 0,
    "folds": ["ada"],
    "classes": {"a": ["angry"], "b": ["sad"]},
    "features": {},
    "text": {},
    "network": {},
    "training": {},
}


@pytest.mark.parametrize(
    ("wrong", "path", "complaint"),
    [
        ({"folds": "ada"}, ("folds",), "expected a list, found 'ada' (text); write [ada]"),
        ({"folds": None}, ("folds",), "expected a list, found nothing"),
        ({"folds": [3]}, ("folds", 0), "expected text, found 3"),
        ({"folds": ["ada", "ada"]}, ("folds",), "ada is there twice"),
        ({"seed": -1}, ("seed",), "expected 0 or more, found -1"),
        ({"seed": True}, ("seed",), "expected a whole number, found True"),
        ({"target": "valance"}, ("target",), "'valence'"),
        ({"classes": {"angry": "angry", "sad": ["sad"]}}, ("classes", "angry"), "expected a list"),
        ({"classes": {"angry": ["angry"]}}, ("classes",), "2 or more entries"),
        ({"classes": {True: ["angry"], "no": ["sad"]}}, ("classes", True), "a name: expected text, found True"),
        ({"classes": {"a": ["angri"], "b": ["sad"]}}, ("classes",), "unknown emotion 'angri'"),
        ({"training": {"epochs": -2}}, ("training",), "at least 1 epoch"),
        ({"training": {"learning_rate": "1e-4"}}, ("training", "learning_rate"), "it is 0.0001, without quotes"),
        ({"training": {"learning_rate": "1e4"}}, ("training", "learning_rate"), "it is 10000.0, without quotes"),
        ({"training": {"learning_rate": "fast"}}, ("training", "learning_rate"), "expected a number, found 'fast'"),
        ({"training": {"batch": "8"}}, ("training", "batch"), "write 8 without quotes"),
        ({"training": {"momentum": 1.5}}, ("training", "momentum"), "expected less than 1"),
        ({"training": {"learning_rate": float("inf")}}, ("training", "learning_rate"), "finite number"),
        ({"network": {"encoder": "x"}}, ("network",), "cnn14 takes no network.encoder"),
        ({"corruption": 2.0}, ("corruption",), "expected 1.0 or less"),
        ({"transcripts": "empty", "shuffled": True}, ("text",), "neither corrupted nor shuffled"),
        ({"tested": [{"corruption": 3.0}]}, ("tested", 0), "corruption is 3.0"),
        ({"model": "lf"}, ("model",), "LF is not trained"),
        ({"models": ["lf"]}, ("models", 0), "LF is not trained"),
        ({"change": "x"}, ("change",), "no change 'x'"),
        ({"change": "x", "changes": {"x": {"text": {"token": 3}}}}, ("changes", "x", "text", "token"), "'tokens'"),
        ({"change": "x", "changes": {"x": {"features": {}}}}, ("changes", "x", "features"), "expected text, network"),
    ],
)
def test_every_parameter_of_a_notebook_has_its_type_and_range(wrong, path, complaint):
    assert settings.parameter_problems(GOOD) == []
    (problem,) = settings.parameter_problems(GOOD | wrong)
    assert problem.path == path
    assert complaint in problem.text


def test_a_notebook_that_trains_nothing_needs_a_known_model():
    assert settings.parameter_problems({"model": "lf", "seed": 0}) == []
    (problem,) = settings.parameter_problems({"model": "CNN14"})
    assert "unknown model 'CNN14'" in problem.text


def _reader(root, scale: Sequence[float] = (1, 5), table: str | Path = "x", free=None):
    pass


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"scale": 5}, "expected a list, found 5"),
        ({"scale": [1, "7"]}, "expected a number, found '7'"),
        ({"table": 3}, "expected text, found 3"),
        ({"tabel": "x"}, "the reader has no option 'tabel'; did you mean 'table'"),
    ],
)
def test_options_have_the_types_of_the_signature(options, complaint):
    (problem,) = settings.option_problems(_reader, options, "the reader")
    assert complaint in problem.text
    assert settings.option_problems(_reader, {"scale": [1, 7.5], "table": Path("x"), "free": object()}, "") == []


def test_what_was_found_is_shown_in_few_words():
    assert settings.found("x" * 100) == f"{'x' * 100!r:.57}... (text)"
    assert settings.found(datetime.date(2024, 5, 1)) == "the date 2024-05-01"


def test_stages_are_kept_in_order_and_each_once():
    assert NetworkSettings(stages=[6, 2]).stages == (2, 6)
    assert settings.build(NetworkSettings, {"stages": []}).stages == ()
    assert settings.stages_of("mfcnn14", NetworkSettings()) == (1, 2, 3, 4, 5, 6)
    assert settings.stages_of("mfcnn14", NetworkSettings(stages=[5])) == (5,)
    with pytest.raises(ValueError, match="stages 2, 2 name a stage twice"):
        settings.build(NetworkSettings, {"stages": [2, 2]})
    with pytest.raises(ValueError, match=r"NetworkSettings\.stages\.0: expected 6 or less, found 7"):
        settings.build(NetworkSettings, {"stages": [7]})
    with pytest.raises(ValueError, match="mechanism is 'add'; known: shift, film, concat, gate"):
        settings.build(NetworkSettings, {"mechanism": "add"})
    with pytest.raises(ValueError, match="text_dropout: expected less than 1"):
        settings.build(NetworkSettings, {"text_dropout": 1.0})


@pytest.mark.parametrize("values", [{"stages": [6]}, {"mechanism": "film"}, {"text_dropout": 0.2}])
@pytest.mark.parametrize("model", ["cnn14", "bert"])
def test_a_model_without_conditioning_takes_no_settings_of_it(model, values):
    with pytest.raises(ValueError, match=rf"{model} takes no network\.{next(iter(values))}.*; sfcnn14, mfcnn14 do"):
        settings.check_network(model, settings.build(NetworkSettings, values))
    settings.check_network("mfcnn14", settings.build(NetworkSettings, values))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_of_the_training_data_is_above_none_and_at_most_all(share):
    with pytest.raises(ValueError, match=r"data_share: expected (more than 0\.0|1\.0 or less), found"):
        settings.training("cnn14", {"data_share": share})


def test_the_settings_of_a_run_are_its_own_with_its_condition_and_then_its_change():
    parameters = {
        "model": "mfcnn14",
        "text": {"encoder": "a", "tokens": 9},
        "shuffled": True,
        "training": {"epochs": 2},
        "change": "some",
        "changes": {"some": {"text": {"encoder": "b"}, "training": {"data_share": 0.5}}},
    }
    assert settings.of_run(parameters, "text") == settings.TextSettings(encoder="b", tokens=9, shuffled=True)
    assert settings.of_run(parameters, "training") == settings.TrainingSettings(epochs=2, data_share=0.5)
    assert settings.of_run({**parameters, "change": None}, "training").data_share == 1
    assert settings.of_run(parameters, "network") == NetworkSettings()


def test_patience_and_an_end_at_the_first_worse_epoch_are_one_too_many():
    assert settings.training("cnn14", {"patience": 5}).patience == 5
    with pytest.raises(ValueError, match="patience is 5, and stop_when_worse ends training sooner"):
        settings.training("bert", {"patience": 5})
    assert settings.training("bert", {"patience": 5, "stop_when_worse": False}).patience == 5
    with pytest.raises(ValueError, match="patience: expected 1 or more, found 0"):
        settings.training("cnn14", {"patience": 0})


FEW, MORE, MANY = Size(300, 8), Size(5_000, 20), Size(30_000, 400)


@pytest.mark.parametrize(
    ("size", "batch", "over", "mel_shift"),
    [
        (FEW, 16, "speaker", 1.5),
        (Size(79, 8), 16, "utterance", 1.5),
        (Size(300, 1), 16, "utterance", 1.5),  # a speaker's mean is the corpus's
        (Size(300, 0), 16, "utterance", 1.5),
        (Size(1_999, 50), 16, "speaker", 0.75),
        (MORE, 32, "speaker", 1.5),
        (MANY, 32, "speaker", 0.75),
    ],
)
def test_the_recipe_chooses_by_utterances_and_speakers(size, batch, over, mel_shift):
    parameters = {"model": "cnn14", "training": {"recipe": "by_size"}}
    training, network = (settings.of_run(parameters, kind, size) for kind in ("training", "network"))
    few = size.utterances < settings.FEW
    ends = ("last", None) if few else ("best", training.epochs // 2)  # few have too few to choose an epoch by
    assert (training.batch, training.kept_epoch, training.patience) == (batch, *ends)
    assert network.normalisation.over == over
    assert training.augmentation.mel_shift == mel_shift
    assert (training.augmentation.time_masks > 0) == (batch == 32)  # few utterances are not learnt under masks
    assert training.augmentation.mixup == 0  # of ratings
    assert settings.of_run(parameters, "training", size._replace(classes=4)).augmentation.mixup == 0.3
    assert network.regression == 0
    assert settings.of_run(parameters, "network", size._replace(classes=4)).regression == (0.5 if few else 0)
    assert training.averaged_epochs > 1
    assert settings.of_run(parameters, "features", size) == settings.FeatureSettings()
    assert settings.of_run(parameters, "training") == settings.of_run(parameters, "training", Size(0, 0))
    averaged = {"model": "cnn14", "training": {"recipe": "by_size", "averaged_epochs": 3}}
    assert settings.parameter_problems(averaged) == []  # it goes with the statistics that the recipe chooses


def test_what_is_given_wins_over_the_recipe():
    parameters = {
        "model": "cnn14",
        "network": {"normalisation": None},
        "training": {"recipe": "by_size", "batch": 8, "augmentation": {"mixup": 0.2, "rate": 0.3}},
        "change": "short",
        "changes": {"short": {"training": {"epochs": 3}}, "none": {"training": {"augmentation": None}}},
    }
    training = settings.of_run(parameters, "training", FEW)
    assert (training.batch, training.epochs, training.kept_epoch) == (8, 3, "last")
    assert (training.augmentation.mixup, training.augmentation.rate, training.augmentation.mel_shift) == (0.2, 0.3, 1.5)
    assert settings.of_run(parameters, "network", FEW).normalisation is None
    choices = settings.chosen(parameters, FEW)
    assert choices["network"] == {"dropout": 0.2}
    assert not {"batch", "epochs"} & choices["training"].keys()
    assert "rate" not in choices["training"]["augmentation"]
    none = {**parameters, "change": "none"}
    assert settings.of_run(none, "training", FEW).augmentation is None
    assert "augmentation" not in settings.chosen(none, FEW)["training"]
    assert settings.chosen({"model": "cnn14"}, FEW) == {}
    other = {"model": "cnn14", "training": {"recipe": "by_size", "stop_when_worse": True, "batch_norm": "running"}}
    training = settings.of_run(other, "training", FEW)  # the recipe's patience and averaging do not go with these
    assert (training.patience, training.averaged_epochs, training.epochs) == (None, 1, 60)
    assert training.kept_epoch == "best"


@pytest.mark.parametrize(
    ("size", "given", "kept", "patience"),
    [
        (FEW, {"patience": 5}, "best", 5),
        (FEW, {"patience": None}, "last", None),
        (FEW, {"kept_epoch": "best"}, "best", None),
        (MORE, {"kept_epoch": "last"}, "last", None),
        (MORE, {"stop_when_worse": True}, "best", None),
        (MORE, {"stop_when_worse": False}, "best", 20),
    ],
)
def test_the_recipe_ends_training_in_a_way_that_goes_with_what_is_given(size, given, kept, patience):
    parameters = {"model": "cnn14", "training": {"recipe": "by_size", **given}}
    training = settings.of_run(parameters, "training", size)
    assert (training.kept_epoch, training.patience) == (kept, patience)


@pytest.mark.parametrize("given", [{"patience": 5}, {"stop_when_worse": True}])
def test_the_last_epoch_is_not_kept_where_training_ends_by_the_development_set(given):
    with pytest.raises(ValueError, match=r"kept_epoch is 'last', with patience .* expected neither"):
        settings.training("cnn14", {"kept_epoch": "last", **given})
    with pytest.raises(ValueError, match="kept_epoch is 'first'; known: best, last"):
        settings.training("cnn14", {"kept_epoch": "first"})


def test_a_recipe_is_one_that_is_known_for_a_model_that_takes_it():
    with pytest.raises(ValueError, match="recipe: expected 'by_size'"):
        settings.training("cnn14", {"recipe": "by_heart"})
    with pytest.raises(ValueError, match=r"bert takes no training\.recipe, which is for models .* log-mels: cnn14"):
        settings.check_training("bert", settings.training("bert", {"recipe": "by_size"}))
