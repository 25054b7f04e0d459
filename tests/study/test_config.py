"""A parameters file becomes runs, or is refused with an error that names the wrong part."""

import pytest
import yaml

from sercore.study import config


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


def test_a_grid_becomes_runs_with_readable_names(tmp_path):
    study = config.load(write(tmp_path / "small.yaml"))
    assert [run.name for run in study.runs] == [
        "model=cnn14,seed=0",
        "model=cnn14,seed=1",
        "model=bert,seed=0",
        "model=bert,seed=1",
    ]
    assert study.runs[0].folder.parts[-3:] == ("small", "categories", "model=cnn14,seed=0")


def test_a_misspelt_key_is_an_error_that_names_the_nearest(tmp_path):
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


def test_an_unknown_section_is_an_error_that_names_the_nearest(tmp_path):
    study = config.load(write(tmp_path / "x.yaml"))
    with pytest.raises(ValueError, match="did you mean 'categories'"):
        study.section("categoires")


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("categories", "section 'categories': expected a mapping, found str"),
        ({"notebook": "n"}, "section 'categories': key 'blocks' is missing"),
        ({"notebook": "n", "blocks": [{"grid": {"seed": []}}]}, "grid value 'seed' must be a list"),
        ({"notebook": "n", "blocks": [{"grid": {"seed": 0}}]}, "grid value 'seed' must be a list"),
    ],
)
def test_a_section_is_a_notebook_and_blocks_with_grids(tmp_path, section, complaint):
    with pytest.raises(ValueError, match=complaint):
        config.load(write(tmp_path / "x.yaml", sections={"categories": section}))
