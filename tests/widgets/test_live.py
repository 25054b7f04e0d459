"""The learning curve of a running notebook leaves one picture, of its last state."""

import pytest

from sercore.widgets import live


def epoch(number, development, fold="official", best=True):
    return {"fold": fold, "epoch": number, "loss": 1 / number, "development": development, "best": best}


def test_every_epoch_and_fold_is_drawn_and_the_one_that_is_kept_is_marked():
    curve = live.LearningCurve("mfcnn14")
    curve.rows = [epoch(1, 0.2), epoch(2, 0.6), epoch(3, 0.4, best=False), epoch(1, 0.3, "Ses01F")]
    loss, score = curve.figure().axes
    assert [len(line.get_xdata()) for line in loss.lines] == [3, 1]
    marked = [line for line in score.lines if line.get_markersize() == 9]
    assert [line.get_xdata() for line in marked] == [[2], [1]]


@pytest.fixture
def drawn(monkeypatch):
    """The pictures that a notebook would show, in a cell that shows one at a time."""
    pictures = []

    class Handle:
        def update(self, picture):
            pictures.append(picture)

    def display(picture, **_):
        pictures.append(picture)
        return Handle()

    monkeypatch.setattr(live, "display", display)
    return pictures


def test_many_epochs_make_few_drawings(drawn):
    with live.LearningCurve("x") as curve:
        for number in range(1, 50):
            curve.update(epoch(number, 0.5))
    assert len(drawn) == 2  # the first epoch, and the last state
    assert drawn[-1].data.startswith(b"\x89PNG")


def test_the_last_state_is_drawn_also_when_training_fails(drawn):
    with pytest.raises(FloatingPointError), live.LearningCurve("x") as curve:
        curve.update(epoch(1, 0.5))
        curve.update(epoch(2, 0.5))
        raise FloatingPointError
    assert len(drawn) == 2


def test_a_stage_is_counted_in_one_output_that_ends_complete(drawn):
    count = live.Count()
    for done in range(1, 101):
        count(done, 100, "log-mel of iemocap")
    assert [picture.data for picture in drawn] == ["log-mel of iemocap: 1 of 100", "log-mel of iemocap: 100 of 100"]
