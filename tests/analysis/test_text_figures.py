"""The figure shows the numbers that it is made of."""

import dataclasses

import pytest
import transcript_study

from sercore.analysis import transcript_quality


@pytest.fixture(scope="module")
def by_condition(tmp_path_factory):
    return transcript_quality.read(transcript_study.write_study(tmp_path_factory.mktemp("study")))


def line(axis, colour, marker):
    matches = [line for line in axis.lines if line.get_color() == colour and line.get_marker() == marker]
    (match,) = [line for line in matches if line.get_linestyle() != "None"]
    return match


def test_the_line_of_a_model_goes_through_its_means(by_condition):
    same, others = transcript_quality.plot_error_rates(by_condition).axes
    drawn = line(same, "#CC79A7", "o")
    assert drawn.get_ydata().tolist() == pytest.approx([90, 65])
    assert drawn.get_xdata()[0] == 0
    assert line(same, "#0072B2", "None").get_ydata() == pytest.approx([50, 50])  # CNN14, level
    assert same.get_ylim() == others.get_ylim()


def test_without_other_tests_there_is_one_panel(by_condition):
    alone = dataclasses.replace(by_condition, shifted={})
    assert len(transcript_quality.plot_error_rates(alone).axes) == 1
