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
    path.write_text(yaml.safe_dump(content, sort_keys=False))
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
    with pytest.raises(ValueError, match="the same run is there twice, seed=0"):
        config.load(write(tmp_path / "x.yaml", sections={"categories": {"notebook": "n", "blocks": [block, block]}}))


def test_a_value_is_either_fixed_or_in_the_grid(tmp_path):
    block = {"grid": {"seed": [0]}, "fixed": {"seed": 1}}
    with pytest.raises(ValueError, match="'seed' is both fixed and in the grid"):
        config.load(write(tmp_path / "x.yaml", sections={"categories": {"notebook": "n", "blocks": [block]}}))


def test_a_grid_of_more_runs_than_anybody_means_is_refused_at_once(tmp_path):
    grid = {name: list(range(20)) for name in "abcdefg"}
    with pytest.raises(ValueError, match="its lists make 1,280,000,000 runs; expected 10,000 at most"):
        config.load(write(tmp_path / "x.yaml", sections={"s": {"notebook": "n", "blocks": [{"grid": grid}]}}))


def test_a_corpus_needs_its_root(tmp_path):
    with pytest.raises(ValueError, match=r"corpora\.iemocap\.root: key 'root' is missing"):
        config.load(write(tmp_path / "x.yaml", corpora={"iemocap": {}}))


def test_an_unknown_section_is_an_error_that_names_the_nearest(tmp_path):
    study = config.load(write(tmp_path / "x.yaml"))
    with pytest.raises(ValueError, match="did you mean 'categories'"):
        study.section("categoires")


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("categories", "sections.categories: expected a mapping of names to values, found 'categories'"),
        ({"notebook": "n"}, "sections.categories.blocks: key 'blocks' is missing"),
        ({"notebook": "n", "blocks": [{"grid": {"seed": []}}]}, "grid.seed: expected 1 or more entries"),
        ({"notebook": "n", "blocks": [{"grid": {"seed": 0}}]}, "grid.seed: expected a list, found 0"),
    ],
)
def test_a_section_is_a_notebook_and_blocks_with_grids(tmp_path, section, complaint):
    with pytest.raises(ValueError, match=complaint):
        config.load(write(tmp_path / "x.yaml", sections={"categories": section}))


BLOCK = "    blocks:\n      - grid: {seed: [0]}\n"
TEXT = f"study: small\ncorpora:\n  mine: {{root: data}}\nsections:\n  s:\n    notebook: n.ipynb\n{BLOCK}"


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("study: small", "study: 2024", "line 1: study: expected text, found 2024 .*YAML reads 2024 as that: write it"),
        ("study: small", "study: 2024-05-01", "line 1: study: expected text, found the date 2024-05-01"),
        ("study: small", "study: no", "write it in quotes, 'no'"),
        ("study: small", "study:", "line 1: study: expected text, found nothing"),
        ("study: small", "study: ../../x", r"line 1: study: '\.\./\.\./x' cannot be the name of a folder"),
        ("study: small", "study: ''", "cannot be the name of a folder"),
        ("study: small", "study: nul", "cannot be the name of a folder"),
        ("study: small", "study: cache", "is the name of another folder there"),
        ("  s:\n", "  tables:\n", "line 5: sections.tables: 'tables' is the name of another folder"),
        ("  s:\n", "  1:\n", "line 5: sections: a name: expected text, found 1 .*write it in quotes, '1'"),
        ("  mine:", "  ../mine:", "line 3: corpora..*cannot be the name of a folder"),
        ("  mine: {root: data}", "  mine: {root: data}\n  Mine: {root: data}", "differ in case alone"),
        ("root: data", "root: 7", "line 3: corpora.mine.root: expected text, found 7"),
        ("  mine: {root: data}", "", "line 2: corpora: expected a mapping of names to values, found nothing"),
        (BLOCK, "    blocks:\n", "line 7: sections.s.blocks: expected a list, found nothing"),
        (BLOCK, "    blocks: []\n", "sections.s.blocks: expected 1 or more entries"),
        ("{seed: [0]}", "", r"line 8: sections\.s\.blocks\[1\]\.grid: expected a mapping"),
        ("{seed: [0]}", "{}", "grid: expected 1 or more entries"),
        ("n.ipynb\n", "n.ipynb\n    needs: [t]\n", r"line 7: sections.s.needs\[1\]: no section 't'"),
        ("n.ipynb\n", "n.ipynb\n    result: ../x\n", "sections.s.result: .* cannot be the name of a folder or file"),
        ("n.ipynb\n", "n.ipynb\n    resutl: x\n", "unknown key 'resutl'; did you mean 'result'"),
        ("- grid:", "- gird:", "unknown key 'gird'; did you mean 'grid'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_is_right(tmp_path, before, after, complaint):
    assert before in TEXT
    (tmp_path / "x.yaml").write_text(TEXT.replace(before, after))
    with pytest.raises(ValueError, match=complaint) as refused:
        config.load(tmp_path / "x.yaml")
    assert str(tmp_path / "x.yaml") in str(refused.value)


@pytest.mark.parametrize("empty", ["analysis:\n", "outputs:\n", "    needs:\n", "        fixed:\n"])
def test_a_key_without_a_value_is_as_if_it_were_not_there(tmp_path, empty):
    (tmp_path / "x.yaml").write_text(TEXT + empty)
    study = config.load(tmp_path / "x.yaml")
    assert len(study.runs) == 1
    assert study.analysis == study.runs[0].needs == ()


def test_mistakes_are_listed_in_the_order_of_their_lines_but_not_without_end(tmp_path):
    wrong = "\n".join(f"key{number}: 1" for number in range(30))
    (tmp_path / "x.yaml").write_text(f"study: 1\n{TEXT.partition(chr(10))[2]}{wrong}\n")
    with pytest.raises(ValueError, match=r"31 mistakes\n  line 1: study.*\n  line 9: key0.*(\n.*)*and 11 more"):
        config.load(tmp_path / "x.yaml")


def test_any_grid_has_folders_that_every_disk_takes(tmp_path):
    network = [{"width": 2, "pretrained": None}, {"width": 2, "path": "some/where/{x}" * 30}]
    block = {"grid": {"network": network, "speaker": ["A", "a", "../up"]}}
    study = config.load(write(tmp_path / "x.yaml", sections={"s": {"notebook": "n", "blocks": [block]}}))
    names = [run.name for run in study.runs]
    assert len({name.lower() for name in names}) == 6
    assert names[2] == "network=(width=2,pretrained=None),speaker=..%2Fup"
    assert all(len(name) <= 100 and "{" not in name for name in names)
    assert all(run.folder.parent == study.folder / "s" for run in study.runs)
