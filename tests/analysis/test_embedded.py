"""Embeddings on a plane and the nearest ones to one, against scikit-learn and numbers by hand."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from sercore.analysis import embedded
from sercore.analysis.embedded import PCA, UMAP, Embedded


def made(folder, vectors):
    vectors = np.asarray(vectors, dtype="float32")
    return Embedded(pd.Index([f"u{row:02d}" for row in range(len(vectors))]), vectors, folder)


@pytest.fixture
def cloud(tmp_path):
    return made(tmp_path, np.random.default_rng(0).standard_normal((40, 6)) * [9, 5, 1, 1, 1, 1])


def test_pca_keeps_the_two_widest_directions(cloud):
    plane = cloud.plane()
    centred = cloud.vectors - cloud.vectors.mean(0)
    assert plane.var(0).sum() == pytest.approx(
        np.linalg.svd(centred, compute_uv=False)[:2].__pow__(2).sum() / 40, rel=1e-4
    )


def test_a_plane_is_computed_once_and_again_where_it_is_damaged(cloud):
    first = cloud.plane(PCA)
    again = Embedded(cloud.utterances, np.zeros_like(cloud.vectors), cloud.folder)
    np.testing.assert_array_equal(again.plane(PCA), first)
    (cloud.folder / "pca.parquet").write_bytes(b"half")
    np.testing.assert_allclose(cloud.plane(PCA), first, rtol=1e-5)


@pytest.mark.parametrize("vectors", [[[1.0, 2.0, 3.0]], [[1.0], [2.0], [4.0]], [[1.0, 1.0], [1.0, 1.0]]])
def test_few_utterances_and_narrow_embeddings_have_a_plane_too(vectors, tmp_path):
    plane = made(tmp_path, vectors).plane()
    assert plane.shape == (len(vectors), 2)
    assert np.isfinite(plane).all()


def test_the_nearest_are_those_of_the_highest_cosine(cloud):
    expected = cosine_similarity(cloud.vectors)[7]
    found = cloud.nearest("u07", 10)
    assert found.index.tolist() == [f"u{row:02d}" for row in np.argsort(-expected) if row != 7][:10]
    np.testing.assert_allclose(found, sorted(np.delete(expected, 7), reverse=True)[:10], rtol=1e-5)


def test_an_embedding_of_zeros_is_near_to_none(tmp_path):
    assert made(tmp_path, [[0, 0], [1, 0], [-1, 0]]).nearest("u01").tolist() == [0, -1]
    with pytest.raises(KeyError):
        made(tmp_path, [[1, 0]]).nearest("other")


def test_umap_is_offered_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "umap")
    assert embedded.methods() == [PCA, UMAP]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert embedded.methods() == [PCA]


def test_umap_of_a_few_utterances_is_refused(tmp_path):
    with pytest.raises(ValueError, match="3 utterances; UMAP needs at least 16: choose PCA"):
        made(tmp_path, np.eye(3)).plane(UMAP)


@pytest.mark.long  # numba compiles for half a minute
@pytest.mark.filterwarnings("ignore")
def test_umap_keeps_groups_apart(tmp_path):
    pytest.importorskip("umap", reason="umap-learn is optional")
    rng = np.random.default_rng(0)
    groups = np.repeat(np.eye(4)[:2] * 5, 20, axis=0) + 0.1 * rng.standard_normal((40, 4))
    plane = made(tmp_path, groups).plane(UMAP)
    assert np.linalg.norm(plane[:20].mean(0) - plane[20:].mean(0)) > plane[:20].std() / 2
    assert plane.shape == (40, 2)
