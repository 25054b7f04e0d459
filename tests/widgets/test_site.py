"""A study as a folder of plain files: what is in it, what is kept out of it, and that it is whole or not there."""

import base64
import io
import json
import re
import shutil

import made_up
import made_up_site
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from sercore import corpora, files
from sercore.analysis import results
from sercore.commands import cli
from sercore.study import config
from sercore.widgets import site

CALL = re.compile(r"^sercore\.take\((.*)\);\n$", re.DOTALL)


def made(study, out, *options):
    """The exit status of `sercore site`."""
    return cli.main(["site", str(study.path), "--out", str(out), *options])


def taken(folder, file):
    """Name and content of a script of the folder data."""
    name, content = json.loads(f"[{CALL.match((folder / 'data' / file).read_text(encoding='utf-8'))[1]}]")
    return name, content


def page_content(folder):
    page = (folder / site.PAGE).read_text(encoding="utf-8")
    return json.loads(re.search(r'id="content">(.*?)</script>', page, re.DOTALL)[1])


def everything(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made_one = made_up_site.write(tmp_path_factory.mktemp("study"))
    made_up_site.write_cache(made_one, "msp-podcast")
    return made_one


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "of-study"
    assert made(study, folder) == 0
    return folder


@pytest.fixture(scope="module")
def licensed(tmp_path_factory):
    """A study whose IEMOCAP is not simulated."""
    return made_up_site.write(tmp_path_factory.mktemp("licensed"), simulated=("msp-podcast",))


def test_the_matrices_and_predictions_are_the_tables(study, written):
    outcome = results.read(study, "categories")
    best = results.of_best(outcome.predictions, outcome.best)
    best = best[best["partition"] == "test"].astype({"truth": str, "prediction": str, "utterance": str, "fold": str})
    content = page_content(written)
    assert [pair["label"] for pair in content["pairs"]] == [
        "MSP-Podcast → MSP-Podcast",
        "IEMOCAP → IEMOCAP",
        "MSP-Podcast → IEMOCAP",
        "IEMOCAP → MSP-Podcast",
    ]
    keys = [(train, test) for train, test in (("msp-podcast",) * 2, ("iemocap",) * 2, ("msp-podcast", "iemocap"))]
    for number, (train, test) in enumerate([*keys, ("iemocap", "msp-podcast")]):
        (section,) = content["pairs"][number]["sections"]
        name, data = taken(written, f"pair-{number}.js")
        assert name == f"pair {number}"
        _, listed = taken(written, f"{content['corpora'][test]}.js")
        ids = [listed["utterance"][place] for place in data["utterance"]]
        assert [shown["label"] for shown in section["shown"]] == ["BERT", "CNN14", "LF", "SFCNN14", "MFCNN14"]
        for model, shown, kept in zip(
            ("bert", "cnn14", "lf", "sfcnn14", "mfcnn14"), section["shown"], data["sections"][0]["models"], strict=True
        ):
            rows = best[(best["model"] == model) & (best["train_corpus"] == train) & (best["test_corpus"] == test)]
            counts = pd.crosstab(rows["truth"], rows["prediction"]).reindex(
                index=section["classes"], columns=section["classes"], fill_value=0
            )
            assert [
                [int(cell[0].split()[0]) for cell in line] for line in shown["grid"]["cells"]
            ] == counts.to_numpy().tolist()
            rows = rows.set_index(["fold", "utterance"]).loc[list(zip(data["fold"], ids, strict=True))]
            assert [section["classes"][code] for code in kept["prediction"]] == rows["prediction"].tolist()
            assert [section["classes"][code] for code in data["sections"][0]["truth"]] == rows["truth"].tolist()
            chances = rows[[f"p_{name}" for name in section["classes"]]].to_numpy("float64")
            assert np.abs(np.array(kept["chances"]) / 1000 - chances).max() <= 0.0005 + 1e-9


def test_ratings_of_every_model_are_there(study, written):
    outcome = results.read(study, "multitask")
    best = results.of_best(outcome.predictions, outcome.best)
    rows = best[(best["partition"] == "test") & (best["test_corpus"] == "msp-podcast") & (best["model"] == "mfcnn14")]
    known = (
        rows[rows["target"] == "valence"].astype({"utterance": str}).set_index("utterance")["prediction"].astype(float)
    )
    _, data = taken(written, "pair-0.js")
    _, listed = taken(written, f"{page_content(written)['corpora']['msp-podcast']}.js")
    (kept,) = [one for one in data["ratings"] if one["label"] == "MFCNN14"]
    assert set(kept["values"]) == {"arousal", "valence", "dominance"}
    for place, value in zip(data["utterance"], kept["values"]["valence"], strict=True):
        assert value == pytest.approx(known[listed["utterance"][place]], abs=0.006)


def test_every_utterance_has_its_words_and_its_sound(study, written):
    for name in made_up.SCALES:
        file = page_content(written)["corpora"][name]
        _, listed = taken(written, f"{file}.js")
        _, media = taken(written, f"{file}-media.js")
        corpus = results.read_corpus(study, name)
        rows = corpus.utterances.set_index("utterance").loc[listed["utterance"]]
        assert listed["transcript"] == rows["transcript"].tolist()
        assert media["sounds"] == [1] * len(rows)
        for number in (0, len(rows) - 1):
            heard, rate = soundfile.read(written / "sounds" / file / f"{number}.flac", dtype="int16")
            said, _ = soundfile.read(corpus.root / rows["file"].iloc[number], dtype="int16")
            assert rate == 16_000
            assert np.abs(heard.astype(int) - said).max() <= 1
        pictures = len(list((written / "spectrograms").glob(f"{file}/*.png")))
        assert pictures == (len(rows) if name == "msp-podcast" else 0), "of the cache, where it has any"
        assert [span is not None for span in media["spans"]] == [name == "msp-podcast"] * len(rows)
    assert media["ticks"] or name == "iemocap"


def test_it_is_plain_files_that_ask_for_nothing_elsewhere(written):
    page = (written / site.PAGE).read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    assert made_up_site.TROUBLE not in page
    assert "SIMULATED: the speech of IEMOCAP and MSP-Podcast" in page
    modules = json.loads(re.search(r'type="importmap">(.*?)</script>', page, re.DOTALL)[1])["imports"]
    for name in site.SCRIPTS:
        script = base64.b64decode(modules[name].removeprefix("data:text/javascript;base64,")).decode()
        assert script == (files.shipped() / "sercore" / "widgets" / f"{name}.js").read_text(encoding="utf-8")
    assert (written / "report.html").read_text(encoding="utf-8") == "<h1>the report</h1>"
    assert {path.name for path in written.iterdir()} == {"index.html", "report.html", "data", "sounds", "spectrograms"}


def test_count_and_size_are_printed(study, tmp_path, capsys):
    assert made(study, tmp_path / "site", "--no-sound") == 0
    printed = capsys.readouterr().out
    kept = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert f"({len(kept):,} files, {sum(path.stat().st_size for path in kept) / 1e6:,.1f} MB)" in printed
    assert "sounds of 0 of" in printed
    assert "WARNING" not in printed
    assert not (tmp_path / "site" / "sounds").exists()
    _, listed = taken(tmp_path / "site", f"{page_content(tmp_path / 'site')['corpora']['iemocap']}.js")
    assert "sentence number 1" in listed["transcript"], "words are there without the sounds"


def test_sounds_stop_at_the_limit_and_the_rest_is_counted(study, written, tmp_path, capsys):
    tables = sum(path.stat().st_size for path in written.rglob("*") if path.suffix in (".js", ".html"))
    most = (tables + 100_000) / 1e6
    assert made(study, tmp_path / "site", "--most-mb", str(most)) == 0
    size = sum(path.stat().st_size for path in (tmp_path / "site").rglob("*") if path.is_file())
    assert size <= most * 1e6
    heard = len(list((tmp_path / "site" / "sounds").rglob("*.flac")))
    total = len(list((written / "sounds").rglob("*.flac")))
    assert 0 < heard < total
    printed = capsys.readouterr().out
    assert f"sounds of {heard} of {total} utterances" in printed
    assert f"{total - heard} sounds are left out, which would go beyond --most-mb" in printed
    told = [taken(tmp_path / "site", f"{file}-media.js")[1] for file in page_content(written)["corpora"].values()]
    assert sum(map(sum, (media["sounds"] for media in told))) == heard


def test_tables_beyond_the_limit_are_an_error_before_anything_is_written(study, tmp_path, capsys):
    assert made(study, tmp_path / "site", "--most-mb", "0.01") == 2
    assert "the tables of study made-up alone are" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_licensed_is_refused_unless_its_labels_may_be_passed_on(licensed, tmp_path, capsys):
    assert made(licensed, tmp_path / "site", "--with-audio-of", "iemocap") == 2
    printed = capsys.readouterr().err
    assert "iemocap is licensed, and so are its labels" in printed
    assert "--with-labels" in printed
    assert not (tmp_path / "site").exists()


def test_licensed_words_and_sounds_stay_out_unless_asked_for_by_name(licensed, tmp_path, capsys):
    assert made(licensed, tmp_path / "site", "--with-labels") == 0
    printed = capsys.readouterr().out
    assert "WARNING: it holds labels of IEMOCAP: give it to nobody whom its licence does not let have them" in printed
    file = page_content(tmp_path / "site")["corpora"]["iemocap"]
    _, listed = taken(tmp_path / "site", f"{file}.js")
    assert "transcript" not in listed
    assert not (tmp_path / "site" / "sounds" / file).exists()
    assert (tmp_path / "site" / "sounds" / page_content(tmp_path / "site")["corpora"]["msp-podcast"]).exists()
    page = (tmp_path / "site" / site.PAGE).read_text(encoding="utf-8")
    assert "Transcripts and sounds of IEMOCAP are not here: they are licensed." in page
    assert "SIMULATED: the speech of MSP-Podcast" in page

    assert made(licensed, tmp_path / "all", "--with-labels", "--with-audio-of", "iemocap") == 0
    assert "WARNING: it holds labels, transcripts and sounds of IEMOCAP" in capsys.readouterr().out
    _, listed = taken(tmp_path / "all", f"{file}.js")
    assert listed["transcript"][1].startswith("sentence number")
    assert (tmp_path / "all" / "sounds" / file / "0.flac").exists()


def test_a_corpus_that_is_simulated_no_longer_is_licensed(study, tmp_path, capsys):
    """The runs were of simulated speech, but what lies there now is another release."""
    shutil.copytree(study.path.parent, tmp_path / "moved")
    path = tmp_path / "moved" / study.path.name
    path.write_text(path.read_text(encoding="utf-8").replace(str(study.path.parent), str(tmp_path / "moved")))
    (tmp_path / "moved" / "iemocap" / corpora.SIMULATED).unlink()
    assert made(config.load(path), tmp_path / "site") == 2
    assert "iemocap is licensed" in capsys.readouterr().err


def test_a_corpus_of_ones_own_is_whole_with_a_warning(tmp_path, capsys):
    own = made_up_site.write(tmp_path, simulated=("msp-podcast",), own="voices")
    assert made(own, tmp_path / "site") == 0
    assert (
        "WARNING: it holds sounds and transcripts of voices, which is no synthesised speech" in capsys.readouterr().out
    )
    file = page_content(tmp_path / "site")["corpora"]["voices"]
    assert (tmp_path / "site" / "sounds" / file / "0.flac").exists()


def test_a_corpus_that_the_study_does_not_have_is_named(study, tmp_path, capsys):
    assert made(study, tmp_path / "site", "--with-audio-of", "iemocp") == 2
    assert "study made-up has no corpus 'iemocp'; did you mean 'iemocap'" in capsys.readouterr().err


def test_nothing_is_overwritten(study, tmp_path, capsys):
    files.write_text(tmp_path / "site" / "mine.txt", "mine")
    assert made(study, tmp_path / "site") == 2
    assert "is there already; name a new folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["mine.txt"]
    assert made(study, tmp_path / "site" / "mine.txt") == 2


def test_an_empty_folder_is_filled(study, tmp_path):
    (tmp_path / "site").mkdir()
    assert made(study, tmp_path / "site", "--no-sound") == 0
    assert (tmp_path / "site" / site.PAGE).exists()


def test_an_interrupted_export_leaves_nothing(study, tmp_path):
    def interrupt(done, _):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.write(site.gather(study), tmp_path / "site", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_is_not_finished_is_refused(tmp_path, capsys):
    unfinished = made_up_site.write(tmp_path)
    shutil.rmtree(unfinished.runs[0].folder)
    assert made(unfinished, tmp_path / "site") == 2
    assert "1 of 24 runs of study made-up are not complete" in capsys.readouterr().err


def test_a_sound_that_cannot_be_read_is_named_and_the_rest_is_there(tmp_path, capsys):
    broken = made_up_site.write(tmp_path)
    first = tmp_path / "iemocap" / "0.wav"
    whole = io.BytesIO()
    soundfile.write(whole, soundfile.read(first)[0], 16_000, format="FLAC")
    first.write_bytes(whole.getvalue()[:150])  # its beginning says that it is sound
    assert made(broken, tmp_path / "site") == 0
    printed = capsys.readouterr().out
    assert re.search("  sounds that cannot be read, of 1 utterances: iemocap-00000: ", printed)
    assert "0.wav cannot be read as audio" in printed


def test_a_study_of_ratings_alone_has_no_matrices(tmp_path):
    ratings = made_up_site.write(tmp_path)
    content = yaml.safe_load(ratings.path.read_text(encoding="utf-8"))
    del content["sections"]["categories"]
    ratings.path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    assert made(config.load(ratings.path), tmp_path / "site", "--no-sound") == 0
    pairs = page_content(tmp_path / "site")["pairs"]
    assert [pair["sections"] for pair in pairs] == [[]] * len(pairs)
    _, data = taken(tmp_path / "site", "pair-0.js")
    assert {one["label"] for one in data["ratings"]} == {"BERT", "CNN14", "LF", "SFCNN14", "MFCNN14"}


def test_runs_that_differ_in_a_change_are_sections_of_their_own(tmp_path):
    changed = made_up_site.write(tmp_path)
    content = yaml.safe_load(changed.path.read_text(encoding="utf-8"))
    (block,) = content["sections"]["categories"]["blocks"]
    del content["sections"]["multitask"]
    block["grid"] = {"model": ["cnn14"], "corpus": ["msp-podcast"], "seed": [0], "change": ["none", "wide"]}
    changed.path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    study = config.load(changed.path)
    tables = {name: made_up.made_up_corpus(name, made_up_site.EACH) for name in made_up.SCALES}
    for run in study.runs:
        made_up.write_run(run, tables)
        counts = {"utterances": 1, "with_target": 1, "simulated": True}
        files.write_record(run.folder / files.PROVENANCE, {"corpora": dict.fromkeys(made_up.SCALES, counts)})
    files.write_text(study.folder / "report.html", "newer")
    assert made(study, tmp_path / "site", "--no-sound") == 0
    (pair, *_) = page_content(tmp_path / "site")["pairs"]
    assert [section["label"] for section in pair["sections"]] == ["categories, none", "categories, wide"]


@pytest.mark.long
def test_a_report_that_is_older_than_a_result_is_made_anew(study, tmp_path):
    shutil.copytree(study.path.parent, tmp_path / "moved")
    path = tmp_path / "moved" / study.path.name
    path.write_text(path.read_text(encoding="utf-8").replace(str(study.path.parent), str(tmp_path / "moved")))
    moved = config.load(path)
    (moved.folder / "report.html").unlink()
    assert made(moved, tmp_path / "site", "--no-sound") == 0
    assert "Section 5: emotional categories" in (tmp_path / "site" / "report.html").read_text(encoding="utf-8")
