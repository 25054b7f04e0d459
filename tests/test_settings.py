"""Settings refuse what does not fit."""

import pytest

from sercore import settings
from sercore.settings import FeatureSettings, NetworkSettings, TextSettings, TrainingSettings


def test_the_defaults_are_the_papers():
    acoustic = settings.training("mfcnn14", {})
    assert (acoustic.optimiser, acoustic.momentum, acoustic.epochs, acoustic.batch) == ("sgd", 0.9, 60, 32)
    tuning = settings.training("bert", {})
    assert (tuning.warmup_steps, tuning.total_steps, tuning.learning_rate) == (100, 1000, 2e-5)


def test_the_error_for_a_misspelt_setting_names_the_nearest():
    with pytest.raises(ValueError, match="TrainingSettings has no 'learning_rte'; did you mean 'learning_rate'"):
        settings.training("cnn14", {"learning_rte": 0.1})


def test_a_value_of_another_type_is_refused():
    with pytest.raises(ValueError, match=r"TrainingSettings\.epochs is '10'; expected int"):
        settings.training("cnn14", {"epochs": "10"})
    with pytest.raises(ValueError, match=r"epochs is True"):
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
    with pytest.raises(ValueError, match=r"TextSettings\.standardised is 'yes'; expected bool"):
        settings.build(TextSettings, {"standardised": "yes"})
    with pytest.raises(ValueError, match=r"TrainingSettings\.sorted_batches is 0; expected bool"):
        settings.training("cnn14", {"sorted_batches": 0})


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
