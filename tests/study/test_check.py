"""What a run would die of is found before anything is computed, with its line in the parameters file."""

import pytest
import yaml

from sercore.study import check, config

SETTINGS = {"folds": ["Ses01F"], "features": {"mels": 32}, "training": {"epochs": 1, "batch": 8}}


@pytest.fixture
def study(embedded, tmp_path):
    """A function that writes a parameters file of section 5, with changes, and loads it."""

    def _study(corpora=None, fixed=None, notebook="notebooks/1_categories.ipynb", analysis=(), **grid):
        block = {"grid": {"model": ["cnn14"], "corpus": ["iemocap"], "seed": [0], **grid}, "fixed": fixed or SETTINGS}
        content = {
            "study": "small",
            "corpora": embedded if corpora is None else corpora,
            "sections": {"categories": {"notebook": notebook, "blocks": [block]}},
            "analysis": list(analysis),
        }
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return config.load(tmp_path / "small.yaml")

    return _study


def test_a_study_without_mistakes_passes(study):
    check.check(study(), data=True)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": ["cnn14", "CNN14"]}, r"grid\.model\[2\]: unknown model 'CNN14'"),
        ({"corpus": ["iemocp"]}, r"grid\.corpus\[1\]: no corpus 'iemocp' among the corpora; did you mean 'iemocap'"),
        ({"modle": ["cnn14"]}, r"grid\.modle\[1\]: 1_categories.ipynb has no parameter 'modle'; did you mean 'model'"),
        ({"fixed": SETTINGS | {"folds": "ada"}}, r"fixed\.folds: expected a list, found 'ada'"),
        ({"fixed": SETTINGS | {"folds": ["Ses09F"]}}, r"fixed\.folds\[1\]: .*Ses09F"),
        ({"fixed": {"training": {"epochs": -2}}}, r"fixed\.training: epochs -2"),
        ({"fixed": {"folder": "x"}}, r"fixed\.folder: 'folder' is given by the study itself"),
        ({"notebook": "notebooks/9.ipynb"}, r"sections\.categories\.notebook: no notebook .*9\.ipynb"),
        ({"analysis": ["notebooks/9.ipynb"]}, r"analysis\[1\]: no notebook"),
        ({"corpora": {"iemocap": {"root": "nowhere"}}}, r"corpora\.iemocap\.root: .*nowhere does not exist"),
        ({"corpora": {"iemocap": {"root": ".", "tag": 1}}}, r"corpora\.iemocap\.tag: .*has no option 'tag'"),
        ({"corpora": {"iemocap": {"root": "."}}}, r"corpora\.iemocap: "),
        ({"corpora": {"mine": {"root": ".", "reader": "tabel"}}}, r"corpora\.mine\.reader: unknown reader 'tabel'"),
    ],
)
def test_each_mistake_is_named_with_its_place(study, changes, complaint):
    with pytest.raises(ValueError, match=rf"small\.yaml(, |: \d mistakes\n(.*\n)*  )line \d+: .*{complaint}"):
        check.check(study(**changes), data=True)


def test_a_parameter_of_the_notebooks_own_has_the_type_of_its_default(make, tmp_path):
    make([0])
    text = (tmp_path / "n.ipynb").read_text(encoding="utf-8")
    (tmp_path / "own.ipynb").write_text(text.replace("seed = 0", "seed = 0\\nown = 3\\nrate = 0.5"), encoding="utf-8")
    (tmp_path / "n.ipynb").unlink()

    def write(**fixed):
        study = make([0], **fixed)
        (tmp_path / "own.ipynb").replace(tmp_path / "n.ipynb")
        (tmp_path / "own.ipynb").write_text((tmp_path / "n.ipynb").read_text())
        return study

    check.check(write(own=4, rate=1))
    with pytest.raises(ValueError, match=r"fixed\.own: expected a whole number, found 'x'"):
        check.check(write(own="x"))
