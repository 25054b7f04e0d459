"""Runs that more than one file of these tests asks something."""

import pytest
from small_runs import tiny_encoder, train


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def fusion(embedded, encoder, tmp_path_factory):
    """Categories by MFCNN14, of a corpus with official partitions; the encoder is a local folder."""
    text = {"encoder": encoder, "tokens": 16}
    return train(tmp_path_factory.mktemp("fusion"), embedded, "categories", model="mfcnn14", text=text)


@pytest.fixture(scope="module")
def acoustic(embedded, tmp_path_factory):
    """Dimensions by CNN14, two speakers left out in turn."""
    folder = tmp_path_factory.mktemp("acoustic")
    return train(folder, embedded, "multitask", corpus="iemocap", folds=["Ses01F", "Ses02M"])
