"""What stands below every score: that test recordings were used without their labels."""

import made_up
import pandas as pd
import pytest

from sercore import settings
from sercore.analysis import captions, composition
from sercore.analysis.results import Results
from sercore.study import config


def results_of(tmp_path, network, models="[bert, cnn14, sfcnn14, mfcnn14]"):
    """A study whose networks are so, and nothing but one prediction of real speech."""
    text = made_up.PARAMETERS.format(outputs=tmp_path / "outputs", seeds=[0])
    text = text.replace("model: [bert, cnn14, sfcnn14, mfcnn14]", f"model: {models}", 1)
    path = tmp_path / "parameters.yaml"
    path.write_text(text.replace("network: {width: 8}", f"network: {network}"))
    return Results(config.load(path), "categories", pd.DataFrame({"simulated": [False]}))


@pytest.mark.parametrize("over", ["speaker", "corpus"])
def test_scores_of_models_that_take_unlabelled_test_recordings_say_so(tmp_path, over):
    (text,) = captions.caveats(results_of(tmp_path, f"{{width: 8, normalisation: {{over: {over}}}}}"))
    assert text.startswith(
        f"Unlabelled test recordings are used: log-mels are normalised over all recordings of each {over}"
    )


def test_nothing_is_said_where_every_answer_is_of_one_recording(tmp_path):
    assert captions.caveats(results_of(tmp_path, "{width: 8}")) == ()
    assert captions.caveats(results_of(tmp_path, "{width: 8, normalisation: {over: utterance}}")) == ()
    of_speakers = "{width: 8, normalisation: {over: speaker}}"
    assert captions.caveats(results_of(tmp_path, of_speakers, models="[bert]")) == ()  # which takes no log-mels


def test_a_change_may_be_what_normalises():
    parameters = {
        "model": "cnn14",
        "network": {"width": 8},
        "change": "own",
        "changes": {"own": {"network": {"normalisation": {"over": "speaker"}}}, "none": {}},
    }
    assert settings.normalised_over(parameters) == "speaker"
    assert settings.normalised_over({**parameters, "change": "none"}) is None
    assert settings.normalised_over({}) is None  # of a notebook that trains nothing


def test_a_departure_from_the_paper_names_what_differs(tmp_path):
    results = results_of(tmp_path, "{width: 8, normalisation: {over: utterance, of: level}}")
    (text,) = [text for text in captions.departures(results) if text.startswith("Settings other than the paper's")]
    assert "normalisation level over the utterance (the paper: None)" in text


def test_the_settings_that_a_change_gives_are_what_a_run_departs_by():
    changes = {"late": {"network": {"stages": [6]}, "training": {"epochs": 7}}, "none": {}}
    parameters = {"network": {"width": 8}, "training": {"epochs": 3}, "change": "late", "changes": changes}
    of = {one.name: (one.value, one.paper) for one in captions.compared("mfcnn14", parameters)}
    assert of["stages"] == ((6,), None)
    assert of["epochs"] == (7, 60)
    assert of["width"] == (8, 64)
    plain = {one.name: one.value for one in captions.compared("mfcnn14", {**parameters, "change": "none"})}
    assert (plain["stages"], plain["epochs"]) == (None, 3)


def test_the_report_lists_a_group_of_settings_as_it_says_itself(tmp_path):
    results = results_of(tmp_path, "{width: 8, normalisation: {over: speaker}}")
    here = composition.settings_table(results.study).numbers.set_index("setting")["here"]
    assert here["network: normalisation"] == "channel over the speaker"
    assert here["training: augmentation"] == "none"
