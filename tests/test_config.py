"""Settings refuse what does not fit, and a parameters file becomes runs."""

import pytest
import yaml

from sercore import config
from sercore.config import FeatureSettings, TrainingSettings


def write(path, **changes):
    content = {
        "study": "small",
        "corpora": {"iemocap": {"root": "data"}},
        "sections": {
            "categories": {"notebook": "n.ipynb", "blocks": [{"grid": {"model": ["cnn14", "bert"], "seed": [0, 1]}}]}
        },
    } | changes
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_defaults_are_the_papers():
    settings = config.training("mfcnn14", {})
    assert (settings.optimiser, settings.momentum, settings.epochs, settings.batch) == ("sgd", 0.9, 60, 32)
    tuning = config.training("bert", {})
    assert (tuning.warmup_steps, tuning.total_steps, tuning.learning_rate) == (100, 1000, 2e-5)


def test_a_misspelt_setting_is_told_with_the_one_that_was_meant():
    with pytest.raises(ValueError, match="TrainingSettings has no 'learning_rte'; did you mean 'learning_rate'"):
        config.training("cnn14", {"learning_rte": 0.1})


def test_a_value_of_another_type_is_refused():
    with pytest.raises(ValueError, match=r"TrainingSettings\.epochs is '10'; expected int"):
        config.training("cnn14", {"epochs": "10"})
    with pytest.raises(ValueError, match=r"epochs is True"):
        config.training("cnn14", {"epochs": True})
    assert config.training("cnn14", {"learning_rate": 1}).learning_rate == 1.0


@pytest.mark.parametrize(
    ("values", "complaint"),
    [({"epochs": 0}, "at least 1 epoch"), ({"batch": 1}, "batch norm"), ({"schedule": "steps"}, "needs total_steps"),
     ({"optimiser": "adamw"}, "known: sgd, adam"), ({"crop_seconds": 0.0}, "above 0")],
)  # fmt: skip
def test_contradictions_are_refused_at_birth(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        TrainingSettings(**values)


def test_too_few_mels_for_five_halvings_are_refused():
    with pytest.raises(ValueError, match="at least 32"):
        FeatureSettings(mels=31)


def test_unconfirmed_settings_are_named_only_while_they_are_the_papers():
    assert "learning_rate" in config.unconfirmed(TrainingSettings())
    assert "learning_rate" not in config.unconfirmed(TrainingSettings(learning_rate=0.5))


def test_an_unknown_model_is_told_with_the_one_that_was_meant():
    with pytest.raises(ValueError, match="did you mean 'mfcnn14'"):
        config.check_model("mfcn14")
    with pytest.raises(ValueError, match="late fusion is not trained"):
        config.check_model("lf")


def test_a_grid_becomes_runs_with_readable_names(tmp_path):
    study = config.load(write(tmp_path / "small.yaml"))
    assert [run.name for run in study.runs] == [
        "model=cnn14,seed=0", "model=cnn14,seed=1", "model=bert,seed=0", "model=bert,seed=1",
    ]  # fmt: skip
    assert study.runs[0].folder.parts[-3:] == ("small", "categories", "model=cnn14,seed=0")


def test_a_misspelt_key_is_told_with_the_one_that_was_meant(tmp_path):
    with pytest.raises(ValueError, match="unknown key 'sectoins'; did you mean 'sections'"):
        config.load(write(tmp_path / "x.yaml", sectoins={}))


def test_two_blocks_must_not_give_the_same_run(tmp_path):
    block = {"grid": {"seed": [0]}}
    with pytest.raises(ValueError, match="same run categories/seed=0"):
        config.load(write(tmp_path / "x.yaml", sections={"categories": {"notebook": "n", "blocks": [block, block]}}))


def test_a_value_is_either_fixed_or_in_the_grid(tmp_path):
    block = {"grid": {"seed": [0]}, "fixed": {"seed": 1}}
    with pytest.raises(ValueError, match="'seed' is both"):
        config.load(write(tmp_path / "x.yaml", sections={"categories": {"notebook": "n", "blocks": [block]}}))


def test_a_corpus_needs_its_root(tmp_path):
    with pytest.raises(ValueError, match=r"corpus 'iemocap'.*`root`"):
        config.load(write(tmp_path / "x.yaml", corpora={"iemocap": {}}))


def test_an_unknown_section_is_told_with_those_there_are(tmp_path):
    study = config.load(write(tmp_path / "x.yaml"))
    with pytest.raises(ValueError, match="did you mean 'categories'"):
        study.section("categoires")
