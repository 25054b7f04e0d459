"""A run may learn how the raters' votes are distributed, in place of the label that a release makes of them."""

import pytest
import torch

from sercore import corpora, files
from sercore.training import experiment

SMALL = {"features": {"mels": 32, "hop": 512}, "text": {}, "network": {"width": 2}}
TRAINING = {"epochs": 1, "crop_seconds": 1.5, "output_bias": "mean"}


@pytest.fixture
def define(embedded, tmp_path, tmp_path_factory):
    def _define(section="categories", objective="votes", **options):
        own = {"msp-podcast": {**embedded["msp-podcast"], **options}}
        cache = str(tmp_path_factory.getbasetemp() / "cache")
        training = {**TRAINING, "objective": objective}
        given = {"model": "cnn14", "corpus": "msp-podcast", "seed": 0, "folds": [], **SMALL, "training": training}
        return experiment.define(section, **given, corpora=own, folder=str(tmp_path / "run"), cache=cache)

    return _define


def test_the_votes_are_learnt_and_the_labels_are_what_is_scored(define):
    run = define()
    data = experiment.load(run)
    source = data["msp-podcast"]
    (split,) = experiment.folds(run, data)
    train, labels = source.dataset(split.train, votes=True).target, source.dataset(split.train).target
    torch.testing.assert_close(train.sum(1), torch.ones(len(train)))
    assert 0.5 < (train.max(1).values == 1).float().mean() < 1  # raters agree about many, and not about all
    assert (train.argmax(1) == labels).all()  # of these raters, whose majority is the label
    predictions = experiment.run(run, data)
    assert set(predictions["truth"]) <= {"angry", "happy", "neutral", "sad"}
    record = files.read_json(run.folder / files.PROVENANCE)
    assert record["settings"]["training"]["objective"] == "votes"
    assert record["corpora"]["msp-podcast"]["votes"] == source.fingerprint()["votes"]


def test_labels_are_learnt_where_nobody_voted(define, embedded, tmp_path):
    release = corpora.read("msp-podcast", embedded["msp-podcast"]["root"])
    voted = release.utterances.query("emotion == 'angry'")["utterance"].iloc[0]
    (tmp_path / "votes.csv").write_text(f"utterance,rater,emotion\n{voted},a,angry\n{voted},b,sad\n")
    with pytest.warns(
        UserWarning, match="utterances have no vote for a class, .*; what is learnt of them is their label"
    ):
        source = experiment.load(define(votes=str(tmp_path / "votes.csv")))["msp-podcast"]
    utterances = [voted, next(name for name in source.rows["utterance"] if name != voted)]
    known, label = source.dataset(utterances, votes=True).target
    assert known.tolist() == [0.5, 0, 0, 0.5]
    assert label.argmax() == source.dataset(utterances).target[1]
    assert label.max() == 1


def test_a_corpus_without_votes_is_refused_before_anything_is_computed(define, tmp_path):
    (tmp_path / "votes.csv").write_text("utterance,rater,emotion\n")
    with pytest.raises(
        ValueError, match="objective 'votes' learns what single raters said, and the corpus does not have"
    ):
        experiment.load(define(votes=str(tmp_path / "votes.csv")))


@pytest.mark.parametrize("objective", ["votes", "focal"])
def test_an_objective_of_categories_is_refused_for_ratings(define, objective):
    with pytest.raises(ValueError, match=f"objective is '{objective}', which is of categories; section 'multitask' is"):
        define("multitask", objective)


def test_an_unknown_objective_is_refused(define):
    with pytest.raises(ValueError, match="objective is 'vote'; known: section, smoothed, focal, votes"):
        define(objective="vote")
