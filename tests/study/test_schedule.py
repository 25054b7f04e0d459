"""The computed schedule of tasks on workers, against examples worked out by hand."""

import pytest

from sercore.study import scheduler


def test_the_longest_task_begins_first():
    # 5 | 4: the first worker takes 5, then 1 (6); the second 4, then 2 (6)
    assert scheduler.computed([1, 2, 4, 5], {}, 2) == (6, 0)


def test_one_worker_is_never_idle():
    assert scheduler.computed([3, 1, 2], {2: [0]}, 1) == (6, 0)


def test_workers_without_a_task_are_idle():
    assert scheduler.computed([4, 4], {}, 4) == (4, pytest.approx(0.5))


def test_a_run_begins_when_what_it_needs_has_ended():
    # 0 (2 s) beside 1 (1 s), after which 3 (5 s) begins before 2 (1 s), which the other worker takes at 2
    assert scheduler.computed([2, 1, 1, 5], {3: [1]}, 2) == (6, pytest.approx(1 - 9 / 12))


def test_a_running_task_keeps_its_worker():
    assert scheduler.computed([1, 10], {}, 1, begun=[0]).wall == 11
    assert scheduler.computed([1, 10], {}, 2, begun=[0]).wall == 10


def test_a_schedule_of_no_tasks_takes_no_time():
    assert scheduler.computed([], {}, 3) == (0, 0)


def test_tasks_that_need_each_other_are_an_error():
    with pytest.raises(ValueError, match="2 of 3 tasks need each other"):
        scheduler.computed([1, 1, 1], {0: [1], 1: [0]}, 2)
    with pytest.raises(ValueError, match="0 workers; expected at least 1"):
        scheduler.computed([1], {}, 0)
