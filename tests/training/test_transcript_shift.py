"""A trained model is tested with other transcripts: nothing is trained again, and nothing of its run changes."""

import pandas as pd
import pytest
import transcript_study

from sercore import files
from sercore.analysis import transcript_quality
from sercore.training import experiment, transcript_shift

OTHERS = [{"transcripts": "asr"}, {"shuffled": True}, {"transcripts": "empty"}]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two epochs, with the reference transcripts."""
    top = tmp_path_factory.mktemp("shift")
    run = experiment.define(
        "categories",
        model="mfcnn14",
        corpus="own",
        seed=0,
        folds=[],
        features={"mels": 32, "hop": 512},
        text={"encoder": "all-minilm-l6-v2", "tokens": 16},
        network={"width": 2},
        training={"epochs": 2},
        corpora={"own": transcript_study.write_corpus(top / "corpus", test=16)},
        folder=str(top / "run"),
        cache=str(top / "cache"),
        transcripts="gold",
    )
    data = experiment.load(run)
    for split in experiment.folds(run, data):
        list(experiment.fit(run, data, split))
    return run, data


def test_the_same_transcripts_give_the_runs_own_predictions(trained):
    run, data = trained
    shifted = transcript_shift.evaluate(run, data, [{"transcripts": "gold"}])
    own = experiment.finish(run, data).query("partition == 'test'").reset_index(drop=True)
    pd.testing.assert_frame_equal(shifted[own.columns], own)


def test_other_transcripts_give_other_predictions_of_the_same_utterances(trained):
    run, data = trained
    shifted = transcript_shift.evaluate(run, data, OTHERS)
    assert shifted.groupby(["transcripts", "shuffled"]).size().to_dict() == {
        ("asr", False): 16,
        ("empty", False): 16,
        ("gold", True): 16,
    }
    scores = {key: part["p_sad"].tolist() for key, part in shifted.groupby(["transcripts", "shuffled"])}
    assert len({tuple(probabilities) for probabilities in scores.values()}) == 3
    assert len(set(scores["empty", False])) == 1  # one noise, no words: all utterances are alike
    assert pd.read_parquet(run.folder / files.TRANSCRIPT_SHIFT).equals(shifted)
    assert set(transcript_quality.shift_scores(shifted).index) == {"asr", "gold, shuffled", "empty"}


def test_a_condition_is_named_once(trained):
    run, data = trained
    with pytest.raises(ValueError, match="tested twice with the transcripts 'asr'"):
        transcript_shift.evaluate(run, data, [{"transcripts": "asr"}, {"transcripts": "asr", "corruption": 0.0}])


def test_without_other_transcripts_there_is_no_test(trained):
    run, data = trained
    assert transcript_shift.evaluate(run, data, []).empty
    assert transcript_quality.shift_scores(pd.DataFrame()).empty
