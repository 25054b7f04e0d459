"""Studies of corpora of one's own that lack something: every page of the analysis, every browser and the report.

Each page either shows its table or figure, or says in a sentence what the study has nothing of; none ends in an error.
"""

import warnings

import ipywidgets
import odd_studies
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sercore import files
from sercore.analysis import claims, comparisons, corpus_statistics, figures, profiles, report, results, tables
from sercore.analysis.nothing import Nothing
from sercore.datasets.source import describe
from sercore.study import config
from sercore.training import experiment
from sercore.widgets import confusions, corpus, residuals, runs, sound

PAGES = sorted(
    path
    for folder in ("analysis", "browse")
    for path in (odd_studies.NOTEBOOKS / folder).glob("*.ipynb")
    if path.stem not in ("seed_spread", "transcripts", "where", "where_size")  # of studies that change a setting
)
MADE = {}


@pytest.fixture
def write(tmp_path_factory):
    """The parameters file of the study of a shape, made when it is first wanted."""

    def _write(name):
        if name not in MADE:
            MADE[name] = odd_studies.write_study(tmp_path_factory.mktemp("study"), odd_studies.SHAPES[name])
        return MADE[name]

    return _write


@pytest.mark.long  # about a quarter of an hour on one core
@pytest.mark.parametrize("name", odd_studies.SHAPES)
class TestEveryPage:
    @pytest.mark.parametrize("notebook", PAGES, ids=lambda path: path.stem)
    def test_ends_without_an_error(self, write, name, notebook):
        draws = {"draws": 20} if notebook.stem == "verdicts" else {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*split by utterance")
            shown = list(odd_studies.execute(notebook, study=str(write(name)), **draws))
        texts = [str(value) for value in shown if isinstance(value, str | Nothing)]
        assert not [text for text in texts if "nan" in text.split()]

    def test_is_in_the_report_or_named_there(self, write, name):
        page = report.page(config.load(write(name)))
        assert page.count("cannot be made") == 0


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """One model and seed, and neither genders nor styles, ratings nor transcripts; the classes are two."""
    shape = odd_studies.Shape(
        models=("cnn14",),
        seeds=1,
        gender=False,
        styles=(),
        transcripts=False,
        unrated=("mine",),
        sections=("categories",),
        classes=("angry", "sad"),
        utterances=6,
    )
    return config.load(odd_studies.write_study(tmp_path_factory.mktemp("bare"), shape))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Ten classes, and a class that the first speaker never shows; nothing else is lacking."""
    lacks = {"lacking": "sad", "sections": ("categories", "multitask"), "models": ("bert", "cnn14")}
    shape = odd_studies.Shape(classes=odd_studies.TEN, utterances=20, seeds=1, **lacks)
    return config.load(odd_studies.write_study(tmp_path_factory.mktemp("full"), shape))


@pytest.fixture(scope="module")
def emotions(bare):
    return results.read(bare, "categories")


class TestABareStudy:
    def test_has_its_table(self, emotions):
        table = tables.table_1(emotions)
        sentence = tables.headline(table, "{mean:.0f} % by {model}", by="mean")
        assert sentence.endswith("% by cnn14")
        assert tables.headline(table, "", by="mean", rows="seeds > 1") == "No mean is known."
        assert isinstance(figures.plot_confusions(emotions), Figure)

    def test_says_what_it_has_nothing_of(self, emotions):
        said = {
            str(piece)
            for piece in (
                comparisons.difference_table(emotions, "d"),
                comparisons.group_table(emotions, "g"),
                figures.plot_confusion_differences(emotions),
                figures.plot_confusions(emotions, ("mine", "theirs")),
                claims.check(emotions, "figure_2"),
                claims.ground_truth(emotions),
            )
        }
        assert said == {
            "Nothing to show: no two of the models that are compared were run, only CNN14.",
            "Nothing to show: the test utterances are of one style or none, and of one gender or none.",
            "Nothing to show: no model beside CNN14 to compare, of CNN14.",
            "Nothing to show: no predictions of mine → theirs by BERT, CNN14, SFCNN14, MFCNN14.",
            "Nothing to show: none of the claims is about the models and corpora that there are results of.",
            "Nothing to show: real speech has no ground-truth effects, only the embedded corpora have.",
        }

    def test_shows_a_sentence_for_a_section_that_it_does_not_have(self, bare):
        multitask = results.read(bare, "multitask")
        table = tables.table_3(multitask)
        assert str(table) == "Nothing to show: the study has no section 'multitask'."
        assert tables.headline(table, "", by="mean") == table._repr_markdown_() == str(table)
        assert table.write(bare) == []
        assert figures.save(figures.plot_residuals(multitask), bare, "figure_3") == []
        numbers = profiles.numbers([multitask])
        assert str(profiles.plot(numbers, simulated=False)) == str(table)
        assert claims.tally("claims", claims.check(multitask, "table_3")) == str(table)
        with pytest.raises(ValueError, match="has no section 'multitaks'"):
            results.read(bare, "multitaks")

    def test_has_the_sections_that_it_has_in_tables_of_all(self, bare, emotions):
        multitask = results.read(bare, "multitask")
        assert len(comparisons.interval_table(emotions, multitask, draws=20).frame) == 1
        found = profiles.numbers([emotions, multitask], draws=20)
        assert isinstance(profiles.plot(found, simulated=False), Figure)

    def test_is_browsed_as_far_as_it_goes(self, bare, emotions, tmp_path):
        corpora = corpus_statistics.read(bare)
        arguments = (sound.gather(corpora), emotions.best, sound.audio_of(corpora), tmp_path)
        nothing = residuals.browse(emotions.predictions, *arguments)
        assert str(nothing).startswith("Nothing to show: no predictions of dimensions within a corpus")
        browser = confusions.browse(emotions.predictions, *arguments)
        browser.one.grid.choose([("sad", "sad")])
        browser.list.open_row(0)
        assert "<i>no transcript</i>" in browser.list.text.value
        table, epochs = runs.read(bare)
        assert isinstance(runs.browse(table, epochs, runs.simulated(bare)), ipywidgets.VBox)

    def test_is_shown_in_the_corpus_browser(self, bare, tmp_path):
        corpora = corpus_statistics.read(bare)
        browser = corpus.browse(corpora, sound.audio_of(corpora), tmp_path)
        for picture in corpus.PICTURES:
            browser.kind.value = picture
            assert browser.picture.value.startswith("<img")

    def test_names_in_its_report_what_it_has_nothing_of(self, bare, monkeypatch):
        kept = {name: report.MAKERS[name] for name in ("table_1", "figure_2_differences", "claims_table_1")}
        monkeypatch.setattr(report, "MAKERS", kept)
        page = report.page(bare)
        assert '<h3 id="table_1">' in page
        assert "<p>Nothing to show: no model beside CNN14" in page


class TestAFullStudy:
    def test_of_ten_classes_has_panels_that_hold_their_numbers(self, full):
        figure = figures.plot_confusions(results.read(full, "categories"), models=("cnn14",))
        figure.draw_without_rendering()
        axis = figure.axes[0]
        cell = axis.get_window_extent().width / len(odd_studies.TEN)
        assert max(text.get_window_extent().width for text in axis.texts) < cell

    def test_has_a_headline_where_a_fold_lacks_a_class(self, full):
        table = tables.table_1(results.read(full, "categories"))
        assert table.numbers["mean"].isna().any()
        assert "nan" not in tables.headline(table, "{mean:.1f}", by="mean")

    def test_takes_its_own_corpus_for_the_figures(self, full):
        multitask = results.read(full, "multitask")
        assert figures.home(multitask) == "mine"
        assert "mine → mine" in figures.plot_residuals(multitask).get_suptitle()
        of_paper = pd.concat([multitask.predictions.iloc[:1].assign(train_corpus=name) for name in ("mine", "iemocap")])
        assert figures.home(results.Results(full, "multitask", of_paper)) == "iemocap"


def test_a_model_of_ratings_is_not_tested_on_a_corpus_without_any(tmp_path):
    shape = odd_studies.Shape(corpora=("mine", "theirs"), unrated=("theirs",), utterances=3)
    for name in shape.corpora:
        odd_studies.write_corpus(tmp_path / name, name, shape)
    run = experiment.define(
        "multitask",
        model="cnn14",
        corpus="mine",
        seed=0,
        folds=["ada"],
        features={"mels": 32, "hop": 512},
        text={},
        network={"width": 2},
        training={"epochs": 1, "crop_seconds": 1.5},
        corpora={name: {"reader": "table", "root": str(tmp_path / name)} for name in shape.corpora},
        folder=str(tmp_path / "run"),
        cache=str(tmp_path / "cache"),
    )
    with pytest.warns(UserWarning, match="corpus 'theirs' is not tested on: none of its test utterances has arousal"):
        data = experiment.load(run)
    assert describe(data)["with a target"].to_dict() == {"mine": 15, "theirs": 0}
    assert set(experiment.run(run, data)["test_corpus"]) == {"mine"}
    assert "fingerprint" in files.read_json(run.folder / files.PROVENANCE)["corpora"]["theirs"]
