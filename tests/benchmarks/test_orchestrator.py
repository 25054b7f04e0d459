"""The batch's own cost over a thousand runs that only sleep: neither its memory nor its processor time runs away."""

import pytest
from benchmarks import orchestrator


@pytest.mark.long
def test_a_thousand_runs_cost_the_batch_next_to_nothing(capsys):
    rows = orchestrator.main(["--seconds", "0.01"])
    assert [row["runs"] for row in rows] == [0, 250, 500, 750, 1000]
    assert rows[-1]["megabytes"] - rows[0]["megabytes"] < 40
    assert rows[-1]["processor"] < 3 * rows[1]["processor"] + 5  # ms a run
    assert "one look at 1000 runs" in capsys.readouterr().out
