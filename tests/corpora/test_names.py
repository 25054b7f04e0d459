"""Patterns of file names give the fields of a regular expression, in bounded time."""

import re
import time

import pytest

from sercore.corpora.names import compile_pattern

NAMES = ["a_b_c_d.wav", "a_b.wav", "x/03a01Wa.wav", "03a01Wa.wav", "ab/c_d_e.wav", "_.wav", "a__b_c.wav", "a.wav"]
PATTERNS = {
    "{speaker}_{emotion}.wav": r"(?P<speaker>[^/]+?)_(?P<emotion>[^/]+?)\.wav",
    "{speaker}_*_{emotion}.wav": r"(?P<speaker>[^/]+?)_[^/]*_(?P<emotion>[^/]+?)\.wav",
    "{speaker:2}*{emotion:1}*.wav": r"(?P<speaker>[^/]{2})[^/]*(?P<emotion>[^/]{1})[^/]*\.wav",
    "{speaker:2}???{emotion:1}?.wav": r"(?P<speaker>[^/]{2})[^/]{3}(?P<emotion>[^/])[^/]\.wav",
    "*/{speaker}_**": r"[^/]*/(?P<speaker>[^/]+?)_[^/]*",
    "{dialog}/{speaker:2}*.wav": r"(?P<dialog>[^/]+?)/(?P<speaker>[^/]{2})[^/]*\.wav",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_fields_are_those_of_the_regular_expression(pattern):
    for name in NAMES:
        expected = re.fullmatch(PATTERNS[pattern], name)
        assert compile_pattern(pattern).match(name) == (expected and expected.groupdict())


def test_many_stars_take_no_time_on_a_long_name():
    start = time.process_time()
    assert compile_pattern("{speaker}" + "*a" * 40 + "b").match("a" * 200 + ".wav") is None
    assert compile_pattern("{speaker}" + "*_" * 12 + ".wav").match("a" + "_" * 120) is None
    assert time.process_time() - start < 5


def test_a_part_that_is_no_field_is_refused():
    with pytest.raises(ValueError, match=r"unknown field 'text'; .* is not needed is \* or, a character of it, \?"):
        compile_pattern("{speaker:2}{text:3}{emotion:1}.wav")


def test_too_many_parts_are_refused():
    with pytest.raises(ValueError, match="a pattern of 202 parts; expected at most 100"):
        compile_pattern("{speaker}" + "*a" * 100 + "*")
