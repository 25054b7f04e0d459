"""The report: one page that needs nothing else, says what is simulated and missing, and holds the tables' numbers."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import made_up
import pytest

from sercore import files
from sercore.analysis import report, results, tables
from sercore.commands import cli
from sercore.study import config

MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Section 5 is complete, but its table is from elsewhere; a run of section 6.1 has failed."""
    folder = tmp_path_factory.mktemp("study")
    plan = config.load(made_up.write_study(folder, seeds=2, sections=("categories",), utterances=16))
    written = tables.table_1(results.read(plan, "categories")).write(plan)[0]
    written.write_text(written.read_text(encoding="utf-8").replace("here", "stale"), encoding="utf-8")
    failed = plan.section("dimensions")[0].folder
    files.write_json(failed / files.FAILURE, {"time": "", "cause": "ValueError: <script>bad luck</script>"})
    return plan


@pytest.fixture(scope="module")
def page(study):
    return report.page(study, MADE)


class Parsed(HTMLParser):
    """Elements in order, the stack's balance, and every address that is asked for."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.seen if name == tag]


def test_the_page_is_whole_and_asks_no_other_for_anything(page):
    parsed = Parsed(page)
    assert parsed.open == []
    assert not parsed.all("script")
    addresses = [a.get("src") or a["href"] for tag in ("img", "link", "a") for a in parsed.all(tag)]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_every_entry_of_the_contents_leads_somewhere_and_ids_are_unique(page):
    parsed = Parsed(page)
    ids = [attributes["id"] for _, attributes in parsed.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in parsed.all("a")} <= set(ids)
    assert all(image["alt"] for image in parsed.all("img"))


def test_the_numbers_are_those_of_the_table(page, study):
    cell = tables.table_1(results.read(study, "categories")).frame.iloc[0, 0]
    assert f'<td class="number">{cell}</td>' in page


def test_simulated_speech_and_what_is_missing_are_said_on_its_face(page, study):
    head = page[: page.index('id="study"')]
    assert "Simulated speech." in head
    assert "<title>Study made-up (simulated speech)" in head
    done = sum(run.complete for run in study.runs)
    assert f"{done} of {len(study.runs)} runs are complete" in head
    missing = page[page.index('id="missing"') :]
    assert "Section &#39;dimensions&#39;: 35 runs not complete" in missing
    assert "failed: ValueError: &lt;script&gt;bad luck" in missing


def test_tables_of_an_incomplete_study_are_made_of_the_runs_that_are_there(page):
    assert "stale" not in page
    assert {"table_1", "claims_table_1", "figure_2", "scores_categories", "curves_categories"} <= set(
        re.findall(r'<h3 id="(\w+)">', page)
    )


def test_tables_of_a_complete_study_are_those_that_were_written(tmp_path):
    plan = config.load(made_up.write_study(tmp_path, seeds=1, utterances=16))
    (tmp_path / "outputs" / "made-up" / "tables").mkdir()
    for name in ("table_1", "own"):
        files.write_text(plan.folder / "tables" / f"{name}.md", f"**{name}**\n\n| a |\n| --- |\n| 1 |\n")
    material = report.Material(plan)
    asked = report.Chapter("t", "t", "", "categories", ("table_1",))
    assert material.chapter(asked)["table_1"].title == "table_1"
    assert list(material.others()) == ["own"]


def test_a_study_of_which_nothing_is_run_has_a_report_that_says_so(tmp_path):
    plan = config.load(made_up.write_study(tmp_path, sections=()))
    page = report.page(plan, MADE)
    assert f"0 of {len(plan.runs)} runs are complete" in page
    assert "Simulated speech." not in page
    Parsed(page)


def test_markup_in_a_table_is_text():
    table = report.from_markdown("**T <b>**\n\n| a |\n| --- |\n| p < .001 \\* |\n\n- <script>\n", "t.md")
    assert table.title == "T <b>"
    assert table.rows == (("p < .001 *",),)
    assert table.notes == ("<script>",)


def test_a_name_that_is_left_empty_belongs_to_the_one_above():
    text = (
        "**T**\n\n| model |  | UAR |\n| --- | --- | ---: |\n| BERT | here | 1 |\n|  | paper | 2 |\n| LF | here | 3 |\n"
    )
    first, second, third = report.from_markdown(text, "t.md").cells()
    assert [(cell.text, cell.rows) for cell in first[0]] == [("BERT", 2), ("here", 1)]
    assert [(cell.text, cell.kind) for cell in second[0] + second[1]] == [("paper", "paper"), ("2", "paper")]
    assert [cell.text for cell in third[0]] == ["LF", "here"]


def test_markdown_of_another_form_is_refused():
    with pytest.raises(ValueError, match=r"t\.md: expected a title in bold and a table, found heading"):
        report.from_markdown("# hello\n", "t.md")


def test_verdicts_are_counted():
    table = report.ShownTable("t", 1, ("claim", "here"), (("1", "holds"), ("2", "holds"), ("3", "cannot tell")))
    counted = report.count_verdicts({"table 1": table, "table 2": table})
    assert counted.rows[0] == ("table 1", "2", "0", "1", "3")
    assert counted.rows[-1] == ("together", "4", "0", "2", "6")


def test_settings_tell_what_differs_and_what_is_not_certain(study):
    table = report.settings_table(study)
    rows = {row[0] + row[4]: row for row in table.rows}
    assert rows["network: widthCNN14, SFCNN14, MFCNN14"][1:4] == ("8", "64", "not doubted")
    epochs = rows["training: epochsCNN14, SFCNN14, MFCNN14"]
    assert epochs[1:4] == ("3", "60", "not confirmed: from memory (85 %)")


def test_provenance_tells_commits_devices_and_seconds(tmp_path):
    plan = config.load(made_up.write_study(tmp_path, seeds=1, sections=("categories",), utterances=16))
    for run in plan.section("categories"):
        told = {"folds": {"official": {"seconds": {"training": 60.0, "evaluation": 1.0}, "device": "cuda"}}}
        files.write_json(run.folder / files.PROVENANCE, {"commit": "0123456789abcdef-dirty", "python": "3.11", **told})
    row, *_ = report.provenance_table(plan).rows
    assert row[:6] == ("categories", "8", "0123456789", "cuda", "8.0 min", "8 s")
    assert report.versions_table(plan).rows[0] == ("python", "3.11")


def test_the_command_writes_the_page_and_says_what_is_missing(tmp_path, capsys):
    plan, path = config.load(made_up.write_study(tmp_path, sections=())), tmp_path / "there" / "page.html"
    assert cli.main(["report", str(plan.path), "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"study made-up: .*page\.html \(\d\.\d MB", printed)
    assert "Section 'dimensions'" in printed
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
