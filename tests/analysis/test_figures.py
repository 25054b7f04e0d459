"""Figures show the numbers of the tables, every seed and their source; the notebooks that draw them run."""

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import made_up
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import trees
from matplotlib.colors import to_hex

from sercore import metrics, registry, schema
from sercore.analysis import corpus_statistics, figures, residuals, results
from sercore.study import config

NOTEBOOKS = Path(__file__).parents[2] / "notebooks" / "analysis"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=2, sections=("categories", "multitask"), utterances=16))


@pytest.fixture(scope="module")
def history(study):
    return results.read_history(study, "categories")


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def whole(figure):
    """Whether all that is drawn lies within the picture, however fine its dots and in whatever style it is shown."""
    width, height = figure.get_size_inches()
    boxes = []
    for style, dpi in itertools.product(({}, figures.STYLE), (50, 72, 100, 120)):
        with plt.style.context(style):
            figure.set_dpi(dpi)
            boxes.append(figure.get_tightbbox())
    return all(min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


def real(result):
    return results.Results(result.study, result.section, result.predictions.assign(simulated=False))


class TestConfusions:
    def test_a_panel_shows_share_and_count_of_the_best_model(self, categories):
        figure = figures.plot_confusions(categories)
        assert [axis.get_title().split(",")[0] for axis in figure.axes] == ["BERT", "CNN14", "SFCNN14", "MFCNN14"]
        best = results.of_best(categories.predictions, categories.best)
        best = best.query("model == 'bert' and partition == 'test' and train_corpus == test_corpus == 'msp-podcast'")
        counts = metrics.confusion(best["truth"], best["prediction"], schema.CLASSES)
        share = 100 * counts.loc["happy", "sad"] / counts.loc["happy"].sum()
        assert texts(figure)[7] == f"{share:.0f} %\n{counts.loc['happy', 'sad']}"

    def test_a_model_that_is_not_there_has_no_panel(self, categories):
        figure = figures.plot_confusions(categories, models=("bert", "nobody"))
        assert len(texts(figure)) == 16

    @pytest.mark.parametrize(("models", "shape"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2))])
    def test_there_are_as_many_panels_as_models(self, categories, models, shape):
        figure = figures.plot_confusions(categories, models=figures.CONFUSED[:models])
        assert figure.axes[0].get_gridspec().get_geometry() == shape
        assert {(axis.get_xlabel(), axis.get_ylabel()) for axis in figure.axes} == {("predicted", "truth")}
        assert whole(figure)

    def test_a_single_difference_has_room_for_its_title(self, categories):
        assert whole(figures.plot_confusion_differences(categories, models=("mfcnn14",)))

    def test_differences_of_a_row_cancel(self, categories):
        figure = figures.plot_confusion_differences(categories)
        (axis, _) = figure.axes
        change = axis.collections[0].get_array().reshape(4, 4)
        assert np.allclose(change.sum(axis=1), 0)
        assert np.abs(change).max() > 1

    def test_other_corpora_can_be_chosen(self, categories):
        figure = figures.plot_confusions(categories, corpora=("iemocap", "iemocap"))
        assert "IEMOCAP → IEMOCAP" in figure.get_suptitle()


class TestResiduals:
    def test_one_line_a_model_in_its_colour_on_all_utterances(self, multitask):
        figure = figures.plot_residuals(multitask)
        assert [axis.get_title() for axis in figure.axes] == list(schema.DIMENSIONS)
        best = results.of_best(multitask.predictions, multitask.best)
        best = best.query(
            "model == 'lf' and partition == 'test' and train_corpus == test_corpus and target == 'valence'"
        )
        expected = residuals.fit_line(best["truth"], best["prediction"] - best["truth"])
        lines = {to_hex(line.get_color()).upper(): line for line in figure.axes[1].lines[1:]}
        assert set(lines) == {spec.colour for spec in registry.MODELS.values() if spec.in_paper}
        drawn = lines[registry.MODELS["lf"].colour]
        assert np.allclose(drawn.get_ydata(), expected.band["residual"])

    def test_the_legend_gives_the_slope(self, multitask):
        legend = figures.plot_residuals(multitask).axes[0].get_legend()
        assert all(text.get_text().split()[1].startswith("−0") for text in legend.get_texts())

    def test_no_line_leaves_the_panel(self, multitask):
        for axis in figures.plot_residuals(multitask).axes:
            low, high = axis.get_ylim()
            assert all(low <= y <= high for line in axis.lines for y in line.get_ydata())


class TestScores:
    def test_every_seed_is_shown(self, categories):
        figure = figures.plot_scores(categories)
        assert len(figure.axes) == 4
        points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
        assert [len(line.get_ydata()) for line in points] == [2] * 5
        rows = categories.scores.query("partition == 'test' and train_corpus == test_corpus == 'msp-podcast'")
        rows = rows[rows["metric"] == "uar"]
        shown = sorted(y for line in points for y in line.get_ydata())
        assert shown == pytest.approx(sorted(rows["score"]))

    def test_the_papers_mean_stands_beside(self, categories):
        panel = figures.plot_scores(categories).axes[0]
        diamonds = [line.get_ydata()[0] for line in panel.lines if line.get_marker() == "D"]
        assert diamonds == [48.9, 48.3, 56.0, 54.2]

    def test_dimensions_have_a_panel_each(self, multitask):
        titles = [axis.get_title() for axis in figures.plot_scores(multitask).axes]
        assert titles[:3] == [f"{name}\nMSP-Podcast → MSP-Podcast" for name in schema.DIMENSIONS]


class TestLearningCurves:
    def test_each_seed_has_a_line_and_the_mean_a_thick_one(self, history):
        panel = figures.plot_learning_curves(history).axes[0]
        widths = [line.get_linewidth() for line in panel.lines]
        assert widths.count(1) == 4 * 2
        assert widths.count(3) == 4

    def test_the_epoch_whose_weights_are_kept_is_marked(self, history):
        later = history["epoch"] == 2
        figure = figures.plot_learning_curves(history.assign(best=later))
        marked = [line.get_xdata()[0] for line in figure.axes[2].lines if line.get_marker() == "o"]
        assert set(marked) == {2}

    def test_runs_of_different_transcripts_are_curves_of_their_own(self, history):
        fusion = history[(history["model"] == "mfcnn14") & (history["corpus"] == "msp-podcast")]
        conditions = [
            history[(history["model"] == "cnn14") & (history["corpus"] == "msp-podcast")],
            fusion.assign(transcripts="gold", loss=1.0),
            fusion.assign(transcripts="asr", loss=2.0),
            fusion.assign(transcripts="gold", shuffled=True, loss=3.0),
            fusion.assign(transcripts="gold", corruption=0.25, loss=4.0),
        ]
        figure = figures.plot_learning_curves(pd.concat(conditions, ignore_index=True))
        losses = {axis.get_title(): axis for axis in figure.axes if axis.get_title() and axis.lines}
        titles = ["", ", gold", ", asr", ", gold, shuffled", ", gold, 25 % corrupted"]
        assert set(losses) == {f"MSP-Podcast{title}" for title in titles}
        panels = [axis for axis in figure.axes if "asr" in axis.get_title()]
        assert [len(axis.lines) for axis in panels] == [3, 5]  # two seeds and their mean; and the epochs that were kept
        assert {y for line in panels[0].lines for y in line.get_ydata()} == {2.0}

    def test_every_parameter_that_tells_runs_apart_does_so(self, history):
        both = [history.assign(width=width, loss=float(width)) for width in (8, 64)]
        figure = figures.plot_learning_curves(pd.concat(both))
        titles = [axis.get_title() for axis in figure.axes if axis.lines]
        assert titles.count("IEMOCAP, width 64") == 2
        assert len(titles) == 8

    @pytest.mark.parametrize("panels", [1, 2, 5, 7])
    def test_no_label_leaves_the_picture(self, history, panels):
        of_corpus = history[history["corpus"] == "msp-podcast"]
        several = pd.concat([of_corpus.assign(width=width) for width in range(panels)])
        assert whole(figures.plot_learning_curves(several, simulated=True))

    def test_a_setting_that_belongs_to_the_model_makes_no_panel(self, history):
        steps = history["model"].map({"bert": 5}).fillna(0)
        assert len(figures.plot_learning_curves(history.assign(steps=steps)).axes) == 4

    def test_the_same_run_twice_is_refused(self, history):
        with pytest.raises(ValueError, match="duplicate"):
            figures.plot_learning_curves(pd.concat([history, history]))


class TestEveryFigure:
    def test_simulated_speech_is_marked_on_the_picture(self, categories, multitask, history):
        drawn = [
            figures.plot_confusions(categories),
            figures.plot_confusion_differences(categories),
            figures.plot_scores(categories),
            figures.plot_residuals(multitask),
            figures.plot_learning_curves(history, simulated=True),
        ]
        assert [figure.get_supxlabel() for figure in drawn] == ["simulated speech"] * 5
        assert not plt.get_fignums(), "figures are closed, so that a notebook shows them once"

    def test_real_speech_is_not(self, categories):
        assert figures.plot_scores(real(categories)).get_supxlabel() == ""

    def test_it_is_written_as_png_and_pdf_the_same_every_time(self, study, categories):
        drawn = [figures.plot_confusion_differences(categories) for _ in range(2)]
        before = [path.read_bytes() for path in figures.save(drawn[0], study, "changes")]
        paths = figures.save(drawn[1], study, "changes")
        assert [path.read_bytes() for path in paths] == before
        assert [path.name for path in paths] == ["changes.png", "changes.pdf"]
        assert before[0].startswith(b"\x89PNG")
        assert before[1].startswith(b"%PDF")


class TestDistributions:
    @pytest.fixture
    def corpora(self, tmp_path):
        """A corpus of four speakers and eight turns, one transcript there twice and one emotion without agreement."""
        rows = [
            {
                "utterance": f"u{n}",
                "file": f"u{n}.wav",
                "speaker": f"s{n % 4}",
                "gender": ["female", "male"][n % 2],
                "emotion": ["happy", "excited", "sad", "angry", "neutral", "fearful", "sad", None][n],
                "transcript": "again" if n in (0, 1) else f"line {n}",
                "arousal": 1 + n / 2,
                "valence": 3.0,
                "dominance": 2.0,
            }
            for n in range(8)
        ]
        pd.DataFrame(rows).to_csv(tmp_path / "utterances.csv", index=False)
        for row in rows:
            trees.write(tmp_path / row["file"], trees.wav(samples=16000))
        path = tmp_path / "parameters.yaml"
        sections = "{s: {notebook: n, blocks: [{grid: {seed: [0]}}]}}"
        text = f"study: own\ncorpora: {{table: {{root: {tmp_path}}}}}\nsections: {sections}\n"
        path.write_text(text, encoding="utf-8")
        return corpus_statistics.read(config.load(path))

    def test_classes_speakers_and_hours_are_counted(self, corpora):
        (row,) = corpus_statistics.counts(corpora).to_dict("records")
        assert row["partition"] == "no partition"
        assert [row[name] for name in ("utterances", "speakers", "female", "male")] == [8, 4, 2, 2]
        assert [row[name] for name in schema.CLASSES] == [1, 2, 1, 2]
        assert row["hours"] == pytest.approx(8 / 3600)

    def test_transcripts_that_the_training_set_has_too_are_counted_for_each_fold(self, corpora):
        shared = (
            corpus_statistics.overlaps(corpora).query("partition == 'test' and seen_in == 'train'").set_index("fold")
        )
        assert shared["turns"].to_dict() == {"s0": 0, "s1": 1, "s2": 0, "s3": 0}
        assert "0% to 50% of the test turns" in " ".join(corpus_statistics.table(corpora).notes)

    def test_the_pictures_show_every_emotion_dimension_and_speaker(self, corpora):
        (axis,) = corpus_statistics.plot_classes(corpora).axes
        labels = {label.get_text(): label.get_fontweight() for label in axis.get_yticklabels()}
        assert labels["excited"] == "bold"
        assert labels["no agreement"] == labels["fearful"] == "normal"
        assert len(corpus_statistics.plot_ratings(corpora).axes) == 3
        left, right = corpus_statistics.plot_durations_and_speakers(corpora).axes
        assert sum(patch.get_height() for patch in left.patches) == 8
        assert len(right.patches) == 4


class TestNotebooks:
    @pytest.mark.parametrize("name", ["table_4", "ground_truth"])
    def test_it_runs_on_a_study_and_writes_the_files_that_it_lists(self, study, tmp_path, name):
        made = tmp_path / "made.ipynb"
        papermill.execute_notebook(
            str(NOTEBOOKS / f"{name}.ipynb"), str(made), {"study": str(study.path)}, progress_bar=False
        )
        *_, listing, number = [cell for cell in nbformat.read(made, as_version=4).cells if cell.cell_type == "code"]
        written = ast.literal_eval(listing.outputs[0].data["text/plain"])
        assert written
        for file in written:
            assert (study.folder / "tables" / file).exists() or (study.folder / "figures" / file).exists()
        assert number.outputs[0].data["text/plain"]

    def test_none_of_them_needs_torch(self):
        lines = set()
        for path in NOTEBOOKS.glob("*.ipynb"):
            for cell in nbformat.read(path, as_version=4).cells:
                if cell.cell_type == "code":
                    nodes = [n for n in ast.parse(cell.source).body if isinstance(n, ast.Import | ast.ImportFrom)]
                    lines |= {ast.unparse(node) for node in nodes}
        assert lines
        program = "\n".join([*sorted(lines), "import sys; sys.exit('torch' in sys.modules)"])
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr or "torch was imported"

    def test_there_is_one_for_every_table_and_figure_of_the_paper(self):
        expected = {"table_1", "table_2", "table_3", "table_4", "figure_2", "figure_3", "corpora", "ground_truth"}
        assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} >= expected
