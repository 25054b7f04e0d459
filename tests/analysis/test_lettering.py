"""Names of any script, with any signs, are drawn as they are, and never end a drawing."""

import io
import warnings

import pandas as pd
import pytest
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from sercore.analysis import figures, lettering
from sercore.widgets.live import LearningCurve

SIGNS = (r"$\frac$", "eight", "nine", "ten", "a_b^c", "_hidden", "100 %", "two\nlines", "{}", r"\alpha", "#&~", "<b>")


def words(figure):
    return {text.get_text() for text in figure.findobj(Text)}


def over_time(names):
    rows = {"file": ["$1.wav"] * 2, "error": [None] * 2, "trained_on": ["50 $ of $\\x$"] * 2}
    shares = {f"p_{name}": [0.5, 0.5] for name in names}
    return figures.plot_over_time(pd.DataFrame({**rows, "start": [0.0, 1.0], "end": [1.0, 2.0], **shares}))


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_signs_are_drawn_as_they_are(kind):
    figure = over_time(SIGNS)
    drawn = {text.replace("\u200b", "") for text in words(figure)}
    assert {*SIGNS, "$1.wav", "trained on 50 $ of $\\x$"} <= drawn
    assert figures.picture(figure, kind)


def test_a_learning_curve_of_speakers_of_any_name_is_drawn():
    curve = LearningCurve(r"model of $\frac$")
    for speaker in SIGNS:
        curve.rows.append({"fold": speaker, "epoch": 1, "loss": 1.0, "development": 0.5, "best": True})
    curve.rows.append({"fold": "no score", "epoch": 1, "loss": 1.0, "development": float("nan"), "best": False})
    with lettering.plain_text():
        figure = curve.figure()
        figure.savefig(io.BytesIO(), format="png")
    legend = [text.get_text().replace("\u200b", "") for text in figure.axes[1].get_legend().get_texts()]
    assert legend == [*SIGNS, "no score"]


@pytest.fixture
def only_the_usual_font(monkeypatch):
    monkeypatch.setattr(lettering, "families", lambda: [lettering.USUAL])
    monkeypatch.setattr(lettering, "_reported", set())
    lettering._has.cache_clear()
    yield
    lettering._has.cache_clear()


@pytest.mark.usefixtures("only_the_usual_font")
def test_letters_that_no_font_has_are_named_once():
    names = ["中立", "中性", "उदास", "grün", "злой", "غاضب"]
    with pytest.warns(lettering.MissingLetters) as raised:
        figure = over_time(names)
    (warning,) = raised
    assert "has the letters of 'उदास', '中性', '中立', which are drawn as boxes; install" in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.picture(figure)
        over_time(names)


def test_fonts_of_other_scripts_are_taken_where_they_are_installed(monkeypatch):
    lettering.families.cache_clear()
    installed = [type("Font", (), {"name": name}) for name in ("Unifont", "Noto Sans CJK JP", "Comic Sans")]
    monkeypatch.setattr(fontManager, "ttflist", installed)
    try:
        assert lettering.families() == ["DejaVu Sans", "Noto Sans CJK JP", "Unifont"]
        assert lettering.style()["font.family"] == lettering.families()
    finally:
        lettering.families.cache_clear()
