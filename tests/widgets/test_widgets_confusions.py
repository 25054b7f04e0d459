"""The confusion browser without a browser: what a choice counts and lists is what the predictions say."""

import re
import time
from dataclasses import replace
from pathlib import Path

import made_up
import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest

from sercore import metrics, schema
from sercore.analysis import results, words
from sercore.corpora import wording
from sercore.registry import MODELS
from sercore.study import config
from sercore.widgets import appearance, confusions
from sercore.widgets.confusions import Confusions
from sercore.widgets.selection import Controls, Selection, with_length

PAPER_MODELS = [name for name, model in MODELS.items() if model.in_paper]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks" / "browse"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=2, sections=("categories",), utterances=16))


@pytest.fixture(scope="module")
def state(categories):
    return Confusions(categories.predictions, categories.best)


@pytest.fixture(scope="module")
def utterances():
    tables = [made_up.made_up_corpus(name, 16).assign(corpus=name) for name in made_up.SCALES]
    return pd.concat(tables, ignore_index=True)


def silent(corpus, utterance):
    return Path("nowhere") / corpus / f"{utterance}.wav"


def of(categories, **filters):
    table = categories.predictions
    for column, value in {"partition": "test", **filters}.items():
        table = table[table[column] == value]
    return table


def counted(rows):
    return metrics.confusion(rows["truth"], rows["prediction"], list(schema.CLASSES)).to_numpy().tolist()


class TestChoices:
    def test_it_starts_with_the_papers_corpus_and_the_best_seed(self, state, categories):
        choice = state.selection.start()
        assert (choice.train_corpus, choice.test_corpus, choice.model) == ("msp-podcast", "msp-podcast", "cnn14")
        best = categories.best.query("model == 'cnn14' and train_corpus == 'msp-podcast'")["seed"].item()
        assert state.selection.seed(choice, "cnn14") == best

    def test_late_fusion_is_one_of_the_models(self, state):
        assert state.selection.models(state.selection.start()) == PAPER_MODELS

    def test_the_best_late_fusion_is_made_of_the_best_models(self, state, categories):
        choice = state.selection.start().but(model="lf")
        best = of(categories, train_corpus="msp-podcast", test_corpus="msp-podcast")
        best = results.of_best(best, categories.best).query("model == 'lf'").set_index("utterance")
        shown = state.selection.predictions(choice, "lf").set_index("utterance")
        assert shown["p_sad"].astype(float).to_dict() == best["p_sad"].to_dict()
        assert state.selection.options(choice)["seed"] == [None, 0, 1], "which is no seed of its own"
        assert state.selection.predictions(choice.but(seed=1), "lf")["seed"].unique().tolist() == [1]
        assert appearance.model_name("lf", state.selection.seed(choice, "lf")).endswith("LF, of the best models")

    def test_a_speaker_of_another_corpus_is_no_longer_chosen(self, state):
        choice = state.selection.start().but(speaker="5", gender="male", fold="official")
        moved = state.selection.valid(choice.but(test_corpus="iemocap"))
        assert (moved.speaker, moved.gender, moved.fold) == (None, "male", "official")

    def test_a_seed_that_is_not_there_goes_back_to_the_best(self, state):
        assert state.selection.valid(state.selection.start().but(seed=7)).seed is None

    def test_two_sections_at_once_are_refused(self, categories):
        both = pd.concat([categories.predictions, categories.predictions.assign(section="dimensions")])
        with pytest.raises(ValueError, match="2 sections"):
            Selection(both, categories.best)

    def test_predictions_without_emotions_are_refused(self, categories):
        with pytest.raises(ValueError, match="no predictions of emotions"):
            Confusions(categories.predictions.assign(target="valence"), categories.best)


class TestCounts:
    @pytest.mark.parametrize("filters", [{}, {"gender": "female"}, {"speaker": "5"}, {"style": "podcast"}])
    def test_they_are_the_tables(self, state, categories, filters):
        choice = state.selection.start().but(seed=1, **filters)
        rows = of(categories, model="bert", seed=1, train_corpus="msp-podcast", test_corpus="msp-podcast", **filters)
        assert len(rows)
        assert state.counts(choice, "bert").to_numpy().tolist() == counted(rows)

    def test_folds_are_pooled_or_looked_at_alone(self, state, categories):
        choice = state.selection.start().but(train_corpus="iemocap", test_corpus="iemocap", seed=0)
        rows = of(categories, model="cnn14", seed=0, train_corpus="iemocap", test_corpus="iemocap")
        assert state.counts(choice, "cnn14").to_numpy().tolist() == counted(rows)
        alone = choice.but(fold="Ses03M")
        assert state.counts(alone, "cnn14").to_numpy().tolist() == counted(rows[rows["fold"] == "Ses03M"])

    def test_changes_of_a_row_cancel(self, state):
        changes = state.changes(state.selection.start().but(other="mfcnn14"))
        assert np.allclose(changes.sum(axis=1), 0)
        assert changes.abs().max().max() > 1

    def test_changes_need_a_second_model(self, state):
        with pytest.raises(ValueError, match="no second model beside cnn14"):
            state.changes(state.selection.start())

    def test_a_class_that_never_occurs_has_no_share(self):
        counts = pd.DataFrame([[0, 0], [1, 3]])
        assert confusions.shares(counts).loc[1].tolist() == [0.25, 0.75]
        assert confusions.shares(counts).loc[0].isna().all()

    def test_a_cell_is_described_in_words(self):
        assert (
            confusions.describe_cell("angry", "sad", 1, 0.3)
            == "truth angry predicted as sad: 1 utterance, 30 % of angry"
        )
        assert confusions.describe_change("angry", "sad", -2.6) == "truth angry predicted as sad: −3 points"


class TestCells:
    def test_a_cell_holds_its_utterances_the_most_confident_first(self, state, categories):
        choice = state.selection.start().but(seed=0)
        cell = state.cells(choice, "bert", [("happy", "neutral")])
        rows = of(categories, model="bert", seed=0, train_corpus="msp-podcast", test_corpus="msp-podcast")
        rows = rows[(rows["truth"] == "happy") & (rows["prediction"] == "neutral")]
        rows = rows.sort_values("p_neutral", ascending=False)
        assert len(cell) == state.counts(choice, "bert").loc["happy", "neutral"] > 1
        assert cell["utterance"].tolist() == rows["utterance"].tolist()
        assert cell["confidence"].tolist() == rows["p_neutral"].tolist()
        assert cell["true"].tolist() == rows["p_happy"].tolist()

    def test_several_cells_hold_the_utterances_of_each(self, state):
        choice = state.selection.start().but(seed=0)
        wrong = confusions.errors(state.labels)
        cells = state.cells(choice, "bert", wrong)
        counts = state.counts(choice, "bert").to_numpy()
        assert len(cells) == counts.sum() - counts.trace() > 1
        assert (cells["truth"].astype(str) != cells["prediction"].astype(str)).all()
        assert cells["confidence"].is_monotonic_decreasing
        row = cells.iloc[-1]
        assert (row["confidence"], row["true"]) == (row[f"p_{row['prediction']}"], row[f"p_{row['truth']}"])

    def test_what_comes_and_goes_makes_the_difference(self, state):
        choice = state.selection.start().but(other="mfcnn14")
        moved = state.moved(choice, [("happy", "happy")])["moved"].value_counts()
        one, other = (state.counts(choice, model).loc["happy", "happy"] for model in ("cnn14", "mfcnn14"))
        assert moved.get("comes", 0) - moved.get("goes", 0) == other - one

    def test_nothing_comes_into_all_cells_or_goes_from_them(self, state):
        choice = state.selection.start().but(other="mfcnn14")
        assert state.moved(choice, [(t, p) for t in state.labels for p in state.labels]).empty

    @pytest.mark.parametrize(
        ("cells", "words"),
        [
            ([("a", "b")], "truth a predicted as b"),
            ([("a", "a"), ("a", "b")], "truth a"),
            ([("a", "b"), ("b", "b")], "predicted as b"),
            ([("a", "b"), ("b", "a")], "all errors"),
            ([("a", "a"), ("b", "b")], "truth a predicted as a or b predicted as b"),
        ],
    )
    def test_what_is_chosen_is_said_in_words(self, cells, words):
        assert confusions.describe_cells(cells, ["a", "b"]) == words

    def test_every_model_has_its_probabilities_of_an_utterance(self, state):
        choice = state.selection.start()
        row = state.cells(choice, "cnn14", [("sad", "sad")]).iloc[0]
        predictions = state.of_models(choice, row)
        assert predictions.index.tolist() == PAPER_MODELS
        assert np.allclose(predictions[list(schema.CLASSES)].astype(float).sum(axis=1), 1)
        mean = (predictions.loc["bert", "sad"] + predictions.loc["cnn14", "sad"]) / 2
        same = predictions.loc["bert", "seed"] == predictions.loc["cnn14", "seed"] == predictions.loc["lf", "seed"]
        assert not same or predictions.loc["lf", "sad"] == pytest.approx(mean)


class TestWidget:
    @pytest.fixture
    def browser(self, categories, utterances, tmp_path):
        return confusions.browse(categories.predictions, utterances, categories.best, silent, tmp_path)

    def test_a_cell_shows_count_and_share_and_opens_its_utterances(self, browser):
        counts = browser.state.counts(browser.controls.choice, "cnn14")
        number, total = counts.loc["happy", "sad"], counts.loc["happy"].sum()
        assert browser.one.grid.text(("happy", "sad")) == f"{number}\n{100 * number / total:.0f} %"
        browser.one.grid.choose([("happy", "sad")])
        assert len(browser.list.rows) == len(browser.list.table.df) == number
        assert "truth happy predicted as sad" in browser.list.heading.value

    def test_several_cells_are_listed_with_truth_and_prediction(self, browser):
        grid = browser.one.grid
        grid.chosen = grid.sets["all errors"]
        counts = browser.state.counts(browser.controls.choice, "cnn14").to_numpy()
        assert len(browser.list.rows) == counts.sum() - counts.trace()
        assert "all errors" in browser.list.heading.value
        shown = browser.list.table.df
        assert (shown["truth"] != shown["predicted"]).all()
        grid.chosen = []
        assert browser.list.rows.empty
        assert "Nothing chosen" in browser.list.heading.value

    def test_another_model_changes_counts_and_the_open_cell(self, browser):
        browser.one.grid.choose([("angry", "happy")])
        before = browser.one.grid.cells
        browser.controls.lists["model"].value = "bert"
        assert browser.one.grid.cells != before
        assert "BERT" in browser.list.heading.value
        expected = browser.state.counts(browser.controls.choice, "bert").loc["angry", "happy"]
        assert len(browser.list.rows) == expected

    def test_a_second_model_stands_beside_with_the_difference(self, browser):
        browser.one.grid.choose([("sad", "sad")])
        browser.controls.lists["other"].value = "mfcnn14"
        assert browser.confusions.children == (browser.one, browser.two, browser.difference)
        browser.difference.grid.choose([("happy", "happy")])
        assert browser.one.grid.chosen == [], "one grid at a time"
        assert "differ" in browser.list.heading.value
        assert set(browser.list.table.df["moved"]) <= {"comes", "goes"}
        browser.controls.lists["other"].value = ""
        assert browser.confusions.children == (browser.one,)
        assert browser.one.grid.places() == [("happy", "happy")]
        assert "differ" not in browser.list.heading.value

    def test_an_open_utterance_shows_the_probabilities_of_every_model(self, browser):
        browser.one.grid.choose([("sad", "sad")])
        browser.list.open_row(0)
        assert browser.list.predictions.value.count("<tr") == 1 + len(PAPER_MODELS)
        assert "arousal" in browser.list.text.value


@pytest.fixture(scope="module")
def worded(utterances, tmp_path_factory):
    """The browser of a study whose corpus has sentences that tell nothing, and whose runs were misled."""
    folder = tmp_path_factory.mktemp("words")
    path = made_up.write_study(folder, seeds=1, sections=("categories",), utterances=15)
    made_up.write_words(path, 15)
    known = results.read(path, "categories")
    return confusions.browse(words.label_predictions(known), utterances, known.best, silent, folder)


class TestWords:
    """What words tell is a filter of the browser where the corpus knows the difference."""

    def test_without_the_difference_there_is_no_filter(self, state):
        lists = Controls(state.selection, confusions.FIELDS, lambda: None).lists
        assert set(confusions.FIELDS) - set(lists) == {"words", "length"}

    def test_it_has_the_kinds_that_the_corpus_knows(self, worded):
        lists = worded.controls.lists
        assert [label for label, _ in lists["words"].options] == ["all", "tell", "tell nothing", "mislead"]
        for corpus, disabled in (("iemocap", True), ("msp-podcast", False)):
            for name in ("train_corpus", "test_corpus"):
                lists[name].value = corpus
            assert lists["words"].disabled == disabled

    @pytest.mark.parametrize("model", ["mfcnn14", "cnn14", "lf"])
    def test_it_counts_the_utterances_of_each_kind(self, worded, model):
        choice = worded.state.selection.start().but(model=model)
        total = {kind: worded.state.counts(choice.but(words=kind), model) for kind in (None, *wording.LABELS)}
        assert [count.to_numpy().sum() for count in total.values()] == [120, 80, 40, 24]
        assert (total[None] == total[wording.TELL] + total[wording.NOTHING]).all(axis=None)
        odd = worded.state.selection.predictions(choice.but(words=wording.MISLEAD), model)
        plain = worded.state.selection.predictions(choice, model).set_index("utterance")["prediction"]
        same = plain[odd["utterance"]].astype(str).to_numpy() == odd["prediction"].astype(str).to_numpy()
        assert same.all() if model == "cnn14" else not same.all(), "CNN14 takes no text"

    def test_an_utterance_whose_words_mislead_shows_what_the_models_made_of_them(self, worded):
        worded.controls.lists["words"].value = wording.MISLEAD
        assert "words mislead: 24 utterances" in worded.about.value
        assert "not the one that is shown" in worded.about.value
        counts = worded.state.counts(worded.controls.choice, worded.controls.choice.model)
        worded.one.grid.choose([counts.stack().idxmax()])
        row = worded.list.rows.iloc[0]
        shown = worded.state.of_models(worded.controls.choice, row)
        assert shown.index.tolist() == PAPER_MODELS
        plain = worded.state.of_models(worded.controls.choice.but(words=None), row)
        assert shown.loc["mfcnn14", "angry"] == plain.loc["mfcnn14", "happy"]
        assert shown.loc["cnn14", "angry"] == plain.loc["cnn14", "angry"]
        worded.controls.lists["words"].value = ""
        assert "not the one that is shown" not in worded.about.value


class TestLength:
    """Thirds of the utterances by their duration are a filter where it is known."""

    def test_thirds_are_of_a_corpus_and_missing_where_the_duration_is(self):
        known = pd.DataFrame({"corpus": ["a"] * 7 + ["b"], "utterance": [*"uvwxyz", "long", "u"]})
        known["seconds"] = [1.0, 2, 3, 4, 5, np.nan, 60, 9]
        rows = pd.DataFrame({"test_corpus": [*"aaaaaab"], "utterance": [*"uvwxyzu"]})
        rows = pd.concat([rows, rows], ignore_index=True)  # of two models
        found = with_length(rows, known)["length"].astype(object)
        assert found.fillna("").tolist() == ["short", "short", "middle", "long", "long", "", "short"] * 2
        assert with_length(rows, known.drop(columns="seconds")) is rows

    def test_a_third_has_its_own_counts(self, categories, utterances, tmp_path):
        timed = utterances.assign(seconds=np.random.default_rng(0).uniform(1, 9, len(utterances)))
        browser = confusions.browse(categories.predictions, timed, categories.best, silent, tmp_path)
        total = browser.state.counts(browser.controls.choice, "cnn14")
        parts = []
        for third in ("short", "middle", "long"):
            browser.controls.lists["length"].value = third
            parts.append(browser.state.counts(browser.controls.choice, "cnn14"))
        assert third in browser.about.value
        assert sum(parts).equals(total)
        assert all(part.to_numpy().sum() for part in parts)


class TestAgreement:
    def test_a_row_says_how_many_models_predict_the_same(self, state):
        choice = state.selection.start()
        rows = state.cells(choice, "cnn14", [(one, other) for one in state.labels for other in state.labels])
        of_others = [
            state.selection.predictions(choice, model).set_index("utterance")["prediction"] for model in PAPER_MODELS
        ]
        same = sum(
            (other[rows["utterance"]].astype(str).to_numpy() == rows["prediction"].astype(str)) for other in of_others
        )
        assert rows["same"].tolist() == same.tolist()
        assert 1 <= rows["same"].min() < rows["same"].max()

    def test_where_words_mislead_it_is_of_what_the_models_made_of_them(self, worded):
        choice = worded.state.selection.start().but(words=wording.MISLEAD)
        rows = worded.state.cells(
            choice, "mfcnn14", [(one, other) for one in schema.CLASSES for other in schema.CLASSES]
        )
        first = worded.state.of_models(choice, rows.iloc[0])["prediction"].astype(str)
        assert rows["same"].iloc[0] == (first == str(rows["prediction"].iloc[0])).sum()

    def test_the_speakers_of_a_list_are_named_the_most_frequent_first(self, worded):
        counts = worded.state.counts(worded.controls.choice, worded.controls.choice.model)
        worded.one.grid.choose([counts.stack().idxmax()])
        counts = worded.list.rows["speaker"].astype(str).value_counts()
        named = re.findall(r"(\w+) \((\d+)\)", worded.list.heading.value.split("speakers: ")[1])
        assert [int(count) for _, count in named] == counts.head(5).tolist()
        assert all(counts[name] == int(count) for name, count in named)


class TestRegistry:
    @pytest.fixture
    def toy(self):
        yield MODELS.add(replace(MODELS["bert"], name="toy", label="Toy model", colour="#123456"))
        MODELS.remove("toy")

    def test_a_model_that_is_registered_has_its_label_its_place_and_its_colour(
        self, toy, categories, utterances, tmp_path
    ):
        tables = [
            table.assign(model=table["model"].astype(str).replace("bert", toy.name))
            for table in (categories.predictions, categories.best)
        ]
        browser = confusions.browse(tables[0], utterances, tables[1], silent, tmp_path)
        assert [label for label, _ in browser.controls.lists["model"].options][-1] == "Toy model"
        browser.controls.lists["model"].value = toy.name
        assert toy.colour in browser.one.title.value
        assert "Toy model" in browser.one.title.value


class TestSpeed:
    def test_thirteen_thousand_utterances_and_five_models_answer_at_once(self, tmp_path):
        predictions, utterances, best = large()
        browser = confusions.browse(predictions, utterances, best, silent, tmp_path)
        browser.controls.lists["other"].value = "mfcnn14"
        seconds = []
        for truth, predicted in confusions.errors(browser.state.labels)[:8]:
            start = time.process_time()
            browser.one.grid.choose([(truth, predicted)])
            seconds.append(time.process_time() - start)
        start = time.process_time()
        browser.controls.lists["model"].value = "bert"
        assert np.median(seconds) < 0.3
        assert time.process_time() - start < 1.5


def large(utterances=13_000):
    """Predictions of five models for that many utterances, the utterances, and the table of best seeds."""
    generator = np.random.default_rng(0)
    names = [f"MSP-PODCAST_{n:05d}" for n in range(utterances)]
    words = np.array(
        ["once", "upon", "a", "time", "there", "was", "some", "voice", "of", "the", "long", "cold", "night"]
    )
    truth = generator.choice(schema.CLASSES, utterances)
    speaker = generator.integers(0, 60, utterances).astype(str)
    parts = []
    for model in PAPER_MODELS:
        likely = generator.dirichlet(np.ones(4), utterances)
        values = {f"p_{name}": likely[:, n] for n, name in enumerate(schema.CLASSES)}
        parts.append(
            pd.DataFrame(
                {
                    "section": "categories",
                    "model": model,
                    "train_corpus": "msp-podcast",
                    "test_corpus": "msp-podcast",
                    "fold": "official",
                    "seed": 0,
                    "partition": "test",
                    "utterance": names,
                    "speaker": speaker,
                    "gender": "female",
                    "style": "podcast",
                    "target": "emotion",
                    "truth": truth,
                    "prediction": np.array(schema.CLASSES)[likely.argmax(axis=1)],
                    "simulated": True,
                    **values,
                }
            )
        )
    best = pd.DataFrame({"model": PAPER_MODELS, "train_corpus": "msp-podcast", "target": "emotion", "seed": 0})
    listed = pd.DataFrame(
        {
            "corpus": "msp-podcast",
            "utterance": names,
            "file": "x.wav",
            "speaker": speaker,
            "transcript": [" ".join(line) for line in words[generator.integers(0, len(words), (utterances, 9))]],
            "seconds": generator.uniform(1, 9, utterances).round(2),
            "emotion": truth,
            "arousal": 4.0,
            "valence": 4.0,
            "dominance": 4.0,
        }
    )
    return pd.concat(parts, ignore_index=True), listed, best


@pytest.fixture(scope="module")
def executed(embedded, tmp_path_factory):
    """The notebook's copy, executed on made-up predictions of the small embedded corpus."""
    folder = tmp_path_factory.mktemp("browse")
    path = made_up.write_study(folder, seeds=1, sections=("categories",), utterances=16)
    content = path.read_text(encoding="utf-8")
    for name in embedded:
        content = content.replace(f"nowhere/{name}", embedded[name]["root"])
    path.write_text(content, encoding="utf-8")
    made = folder / "made.ipynb"
    source = str(NOTEBOOKS / "confusions.ipynb")
    papermill.execute_notebook(source, str(made), {"study": str(path)}, progress_bar=False)
    return made


class TestNotebook:
    @pytest.mark.long
    def test_an_executed_copy_shows_the_figure_and_the_browser(self, executed):
        outputs = [o.data for cell in nbformat.read(executed, 4).cells for o in cell.get("outputs", []) if "data" in o]
        assert any("image/png" in data for data in outputs)
        assert any("application/vnd.jupyter.widget-view+json" in data for data in outputs)

    def test_an_executed_copy_holds_no_sound(self, executed):
        text = executed.read_text(encoding="utf-8")
        assert "AnyModel" in text  # the state of the browser is there
        assert "UklGR" not in text  # RIFF in base64

    def test_without_results_the_error_names_the_command(self, tmp_path):
        path = made_up.write_study(tmp_path, seeds=1, sections=(), utterances=1)
        with pytest.raises(papermill.PapermillExecutionError, match="make them with `sercore run"):
            papermill.execute_notebook(
                str(NOTEBOOKS / "confusions.ipynb"),
                str(tmp_path / "made.ipynb"),
                {"study": str(path)},
                progress_bar=False,
            )
