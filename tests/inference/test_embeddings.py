"""Embeddings of finished runs: the run's own answers follow from them, and what stands in the way is said."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import train

from sercore import files
from sercore.analysis.embedded import NotComputedError
from sercore.corpora import archived, read
from sercore.inference import artifact
from sercore.inference import embeddings as module
from sercore.inference.embeddings import CachedEmbeddings, embeddings
from sercore.models import checkpoint


@pytest.fixture(scope="module")
def text(embedded, encoder, tmp_path_factory):
    """Categories by a text model."""
    settings = {"encoder": encoder, "tokens": 16}
    return train(tmp_path_factory.mktemp("text"), embedded, "categories", model="bert", text=settings)


def cache_of(run):
    return run.parents[1] / "cache"


def own_answers(run, fold):
    """The run's test predictions on its own corpus, by utterance."""
    table = pd.read_parquet(run / files.PREDICTIONS)
    own = table[(table["partition"] == "test") & (table["fold"] == fold)]
    return own[own["test_corpus"] == own["train_corpus"]]


def last_layer(run, fold, vectors):
    model, _ = checkpoint.load(run / f"fold={fold}" / files.CHECKPOINT)
    with torch.inference_mode():
        return model.eval().output(torch.from_numpy(vectors.copy()))


@pytest.mark.parametrize("name", ["fusion", "text"])
def test_the_last_layer_makes_the_runs_own_answers_of_them(name, embedded, request):
    run = request.getfixturevalue(name)
    steps = []
    found = embeddings(run, embedded, cache_of(run), lambda *step: steps.append(step))
    own = own_answers(run, "official").set_index("utterance").loc[found.utterances]
    chances = own[[column for column in own if column.startswith("p_")]]
    np.testing.assert_allclose(last_layer(run, "official", found.vectors).softmax(1), chances, atol=1e-5)
    assert (len(own), len(own), "embeddings") in steps
    assert found.vectors.dtype == np.float32


def test_each_fold_of_ratings_has_its_own(acoustic, embedded):
    with pytest.raises(ValueError, match=r"has 2 networks, whose embeddings cannot be compared; name one of its folds"):
        embeddings(acoustic, embedded, cache_of(acoustic))
    found = embeddings(acoustic / "fold=Ses02M", embedded, cache_of(acoustic))
    own = own_answers(acoustic, "Ses02M").pivot(index="utterance", columns="target", values="prediction")
    answers = last_layer(acoustic, "Ses02M", found.vectors)
    shown = own.loc[found.utterances, ["arousal", "valence", "dominance"]]
    assert np.corrcoef(answers[:, 0], shown["arousal"])[0, 1] == pytest.approx(1, abs=1e-4)
    assert set(own.index) == set(found.utterances)


def test_they_are_computed_once_and_then_read_without_torch(fusion, embedded, monkeypatch):
    source = CachedEmbeddings(embedded, cache_of(fusion))
    first = source(fusion / "fold=official", compute=True)
    monkeypatch.setattr(module, "_network", None)
    again = source(fusion, compute=False)
    np.testing.assert_array_equal(again.vectors, first.vectors)
    program = f"""
import sys
from sercore.inference.embeddings import embeddings
assert len(embeddings({str(fusion)!r}, {{}}, {str(cache_of(fusion))!r}, compute=False).vectors)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_is_computed_unless_it_is_asked_for(text, embedded, tmp_path):
    with pytest.raises(NotComputedError, match="test utterances have no embeddings by this network yet"):
        embeddings(text, embedded, tmp_path, compute=False)
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_nothing_half(text, embedded, tmp_path):
    embeddings(text, embedded, cache_of(text))

    def interrupted(*step):
        if step[-1] == "embeddings":
            raise KeyboardInterrupt

    shutil.copytree(cache_of(text), tmp_path / "cache")
    for entry in tmp_path.glob(f"cache/*/{module.NAME}-*"):
        shutil.rmtree(entry)
    with pytest.raises(KeyboardInterrupt):
        embeddings(text, embedded, tmp_path / "cache", interrupted)
    assert not list(tmp_path.glob(f"cache/*/*{module.NAME}-*"))
    assert len(embeddings(text, embedded, tmp_path / "cache").vectors)


def test_other_weights_have_other_embeddings(text, embedded, tmp_path):
    run = shutil.copytree(text, tmp_path / "run")
    model, settings = checkpoint.load(run / "fold=official" / files.CHECKPOINT)
    model.encoder.embeddings.word_embeddings.weight.data.mul_(2)
    checkpoint.save(model, settings, run / "fold=official" / files.CHECKPOINT)
    before, after = (embeddings(one, embedded, cache_of(text)) for one in (text, run))
    assert before.folder != after.folder
    assert not np.allclose(before.vectors, after.vectors)


def test_a_run_that_is_not_finished_or_has_no_network_any_more_says_so(text, embedded, tmp_path):
    run = shutil.copytree(text, tmp_path / "run")
    (run / "fold=official" / files.CHECKPOINT).unlink()
    with pytest.raises(FileNotFoundError, match=r"has lost its networks, .*which `sercore tidy` also deletes"):
        embeddings(run, embedded, tmp_path)
    (run / files.PREDICTIONS).unlink()
    with pytest.raises(FileNotFoundError, match=r"is not complete: it has no predictions\.parquet yet"):
        embeddings(run, embedded, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"the run in \S+/run is not complete"):
        artifact.read(run / "fold=official")


def test_sound_that_is_not_on_this_disk_is_named(fusion, embedded, tmp_path):
    options = embedded["msp-podcast"]
    root = shutil.copytree(options["root"], tmp_path / "corpus")
    sounds = sorted(root.rglob("*.wav"))
    for path in sounds:
        path.unlink()
    with pytest.raises(
        (FileNotFoundError, ValueError), match=r"no MSP-PODCAST_\*\.wav in .*corpus; expected a release"
    ):
        embeddings(fusion, {"msp-podcast": {**options, "root": str(root)}}, tmp_path / "cache")
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        embeddings(fusion, {"msp-podcast": {**options, "root": "nowhere"}}, tmp_path / "cache")


def test_an_unpacked_study_says_where_they_can_be_had(text, embedded, tmp_path):
    options = dict(embedded["msp-podcast"])
    table = read("msp-podcast", options.pop("root"), **options).utterances
    table.to_parquet(tmp_path / archived.TABLE)
    packed = {"reader": "archived", "root": str(tmp_path), "scale": [1, 7]}
    with pytest.raises(FileNotFoundError, match=r"unpacked from an archive, .* do this where the study was made"):
        embeddings(text, {"msp-podcast": packed}, tmp_path)
