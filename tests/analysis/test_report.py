"""The report: one page that needs nothing else, names what is simulated and missing, and holds the tables' numbers."""

import html
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import made_up
import pandas as pd
import pytest
import yaml

from sercore import files
from sercore.analysis import captions, claims, composition, published, report, results, tables
from sercore.commands import cli
from sercore.study import config

MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Section 5 is complete, but its table is from elsewhere; a run of section 6.1 has failed."""
    folder = tmp_path_factory.mktemp("study")
    study = config.load(made_up.write_study(folder, seeds=2, sections=("categories",), utterances=16))
    for written in tables.table_1(results.read(study, "categories")).write(study):
        written.write_text(written.read_text(encoding="utf-8").replace("here", "stale"), encoding="utf-8")
    failed = study.section("dimensions")[0].folder
    files.write_json(failed / files.FAILURE, {"time": "", "cause": "ValueError: <script>bad luck</script>"})
    return study


@pytest.fixture(scope="module")
def page(study):
    return report.page(study, MADE)


class Parsed(HTMLParser):
    """Elements in order, the stack's balance, and every address that is loaded."""

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


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(page):
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
    assert f"<td >{cell}</td>" in page


def test_simulated_speech_and_what_is_missing_are_named_at_the_top(page, study):
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
    assert {
        "table_1",
        "claims_table_1",
        "figure_2",
        "scores_categories",
        "calibration",
        "rejection",
        "reliability_categories",
    } <= set(re.findall(r'<h3 id="(\w+)">', page))


def test_tables_of_a_complete_study_are_those_that_were_written(tmp_path):
    study = config.load(made_up.write_study(tmp_path, seeds=1, utterances=16))
    (study.folder / "tables").mkdir()
    for name in ("table_1", "own"):
        files.write_text(study.folder / "tables" / f"{name}.html", f'<h3 id="{name}">written</h3>')
    material = report.Material(study)
    chapter = report.Chapter("t", "t", "", "categories", ("table_1",))
    assert material.chapter(chapter) == {"table_1": '<h3 id="table_1">written</h3>'}
    assert list(material.others()) == ["own"]


def test_what_is_about_all_sections_has_a_chapter_where_it_was_written(tmp_path):
    study = config.load(made_up.write_study(tmp_path, seeds=1, utterances=16))
    (chapter,) = [chapter for chapter in report.CHAPTERS if chapter.name == "all_sections"]
    assert report.Material(study).chapter(chapter) == {}
    (study.folder / "tables").mkdir()
    files.write_text(study.folder / "tables" / "power.html", '<h3 id="power">Power</h3>')
    material = report.Material(study)
    assert list(material.chapter(chapter)) == ["power"]
    assert material.others() == {}


def test_every_ccc_of_the_page_is_shown_with_its_parts(tmp_path):
    study = config.load(made_up.write_study(tmp_path, seeds=2, sections=("dimensions", "multitask"), utterances=8))
    material = report.Material(study)
    for name in ("table_2_parts", "table_3_parts", "table_4_parts"):
        (piece,) = material.chapter(report.Chapter("t", "t", "", None, (name,))).values()
        assert f'<h3 id="{name}">What the CCCs are made of' in piece


def test_a_table_that_was_written_without_html_is_shown_as_markdown(tmp_path):
    study = config.load(made_up.write_study(tmp_path, seeds=1, utterances=16))
    files.write_text(study.folder / "tables" / "own.md", f"| a |\n| --- |\n| <{files.project()}/x> |\n")
    (piece,) = report.Material(study).others().values()
    assert piece == '<h3 id="own">Own</h3>\n<pre>| a |\n| --- |\n| &lt;x&gt; |\n</pre>\n'


def test_a_study_of_which_nothing_is_run_has_a_report_that_says_so(tmp_path):
    study = config.load(made_up.write_study(tmp_path, sections=()))
    page = report.page(study, MADE)
    assert f"0 of {len(study.runs)} runs are complete" in page
    assert "Simulated speech." not in page
    Parsed(page)


def test_markup_in_a_table_is_text():
    frame = pd.DataFrame({"<a>": ["p < .001 *"]}, index=pd.Index(["<i>"], name="row"))
    text = tables.Table("t", "T <b>", frame, frame, ("<script>",)).html()
    assert [tag for tag in ("<b>", "<script>", "<a>", "<i>", "< .001") if tag in text] == []
    assert [cell for cell in ("T &lt;b&gt;", "&lt;script&gt;", "&lt;a&gt;", "p &lt; .001 *") if cell not in text] == []


def test_rows_of_one_name_share_it_and_the_papers_are_marked(study):
    text = tables.table_1(results.read(study, "categories")).html()
    rows = text[text.index("<tbody>") :].split("<tr>")
    assert '<th rowspan="2">BERT</th>' in rows[1]
    assert "paper" not in rows[1]
    assert "BERT" not in rows[2]
    assert '<td ><div class="paper">48.9 (0.4)</div></td>' in rows[2]


def test_verdicts_are_counted_by_claim():
    numbers = {"claim": ["1", "2", "2", "3"], "verdict": ["holds", "holds", "does not hold", "cannot tell"]}
    table = pd.DataFrame(numbers)
    counted = report.count_verdicts({"table 1": table, "table 2": table[:1]})
    assert counted.frame.loc["table 1"].tolist() == ["1", "0", "1", "1", "3"]
    assert counted.frame.loc["together"].tolist() == ["2", "0", "1", "1", "4"]


def test_counts_of_verdicts_are_the_same_from_files_and_from_results(study, tmp_path):
    verdicts = claims.check(results.read(study, "categories"), "table_1")
    csv = tmp_path / "claims.csv"
    files.write_table(csv, verdicts.numbers)
    both = [verdicts.numbers, pd.read_csv(csv, dtype="str")]
    counts = [report.count_verdicts({"table 1": numbers}).frame.loc["together"].tolist() for numbers in both]
    here = verdicts.frame[("", "here")]
    assert counts[0] == counts[1]
    assert counts[0] == [str((here == name).sum()) for name in report.VERDICTS] + [str(len(here))]


def test_settings_show_what_differs_and_what_is_not_certain(study):
    rows = {(row["setting"], row["of"]): row for row in composition.settings_table(study).numbers.to_dict("records")}
    width = rows["network: width", "CNN14, SFCNN14, MFCNN14"]
    assert (width["here"], width["the paper's"], width["is that certain?"]) == ("8", "64", "not doubted")
    epochs = rows["training: epochs", "CNN14, SFCNN14, MFCNN14"]
    assert (epochs["here"], epochs["the paper's"]) == ("3", "60")
    assert epochs["is that certain?"] == "not confirmed: from memory (85 %)"
    encoders = {row[0]: rows[row]["here"] for row in rows if row[0].endswith(": encoder")}
    assert encoders == {"network: encoder": "none", "text: encoder": "bert-base-uncased"}  # not mixed up


def test_what_is_no_setting_and_not_in_the_paper_has_a_line(study):
    rows = {row["setting"]: row for row in composition.settings_table(study).numbers.to_dict("records")}
    head = rows["no setting: BERT's head"]
    assert (head["the paper's"], head["of"]) == ("not stated", "BERT")
    assert rows["no setting: conditioning"]["is that certain?"] == "not confirmed: inferred (75 %)"
    assert {f"no setting: {fact}" for fact in captions.CHOICES} <= set(rows)


def test_what_is_known_of_the_paper_is_shown(page):
    shown = html.unescape(page[page.index('id="paper"') :])
    for fact in published.facts().itertuples():
        assert f"{fact.part}: {fact.fact}" in shown
    for row in (*published.exceptions()["why"], *published.beyond()["source"]):
        assert row in shown
    markers = report.paper_tables()[1].frame
    assert markers.loc["Table 1, against CNN14"].tolist() == ["8", "7", "7"]
    assert markers.astype(int).sum().tolist() == [52, 41, 50]


def test_a_run_without_a_model_has_no_settings_in_the_report(tmp_path):
    path = made_up.write_study(tmp_path, sections=())
    content = files.read_yaml(path)
    content["sections"]["own"] = {"notebook": "notebooks/own.ipynb", "blocks": [{"grid": {"threshold": [0.1, 0.2]}}]}
    without = composition.settings_table(config.load(path)).numbers
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    study = config.load(path)
    pd.testing.assert_frame_equal(composition.settings_table(study).numbers, without)
    page = report.page(study, MADE)
    assert "threshold: 0.1, 0.2" in page
    assert "Section &#39;own&#39;: 2 runs not complete" in page


def test_provenance_shows_commits_devices_and_seconds(tmp_path):
    study = config.load(made_up.write_study(tmp_path, seeds=1, sections=("categories",), utterances=16))
    for run in study.section("categories"):
        spent = {"folds": {"official": {"seconds": {"training": 60.0, "evaluation": 1.0}, "device": "cuda"}}}
        files.write_json(run.folder / files.PROVENANCE, {"commit": "0123456789abcdef-dirty", "python": "3.11", **spent})
    row = composition.provenance_table(study).frame.iloc[0]
    assert row.tolist()[:5] == ["8", "0123456789", "cuda", "8.0 min", "8 s"]
    assert composition.versions_table(study).frame.loc["python"].tolist() == ["3.11"]


def test_the_command_writes_the_page_and_says_what_is_missing(tmp_path, capsys):
    study, path = config.load(made_up.write_study(tmp_path, sections=())), tmp_path / "there" / "page.html"
    assert cli.main(["report", str(study.path), "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"study made-up: .*page\.html \(\d\.\d MB", printed)
    assert "Section 'dimensions'" in printed
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
