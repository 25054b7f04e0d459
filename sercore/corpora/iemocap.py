"""IEMOCAP as unpacked: Session1 to Session5, each with its label files, transcripts and one wav a turn.

The talker of a turn is the LAST F or M of its name; the first says who wore the markers in that recording. The label
files write valence, activation, dominance in this order. Both are easily got wrong, and published code does.
"""

from pathlib import Path

import pandas as pd

from sercore.corpora.corpus import Corpus, Finding, assemble, check_tolerance, locate, out_of_scale
from sercore.corpora.headers import read_headers, unusual
from sercore.corpora.iemocap_release import EXPECTED, RATINGS, SESSIONS, TAG, TURN, Release, collect, find_root
from sercore.schema import did_you_mean, first

SCALE = (1.0, 5.0)
GENDERS = {"F": "female", "M": "male"}
STYLES = {"impro": "improvised", "script": "scripted"}
TAGS = ("strip", "keep")


def read(root: str | Path, *, tags: str = "strip", tolerance: float = 0.01) -> Corpus:
    """IEMOCAP in `root`: the folder of the sessions, the one above it, or a link to it.

    `tags`: "strip" takes [LAUGHTER] and its like out of the transcripts, "keep" leaves them in. Up to a share of
    `tolerance` of the labelled turns may lack their wav: they are dropped and reported; more is an error. Ratings
    outside 1 to 5 are kept and reported. Sessions that are not there are reported.

    Raises FileNotFoundError where no session, label folder or wav folder is there, and ValueError, naming file and
    line, for a label that cannot be read, a turn that is there twice, and a wav that cannot be read.
    """
    if tags not in TAGS:
        raise ValueError(f"tags is '{tags}'{did_you_mean(str(tags), TAGS)}")
    check_tolerance(tolerance)
    root = find_root(locate(root, EXPECTED))
    release = collect(root)
    table = pd.DataFrame(release.labels)
    twice = table["utterance"][table["utterance"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{root}: {len(twice)} turns are labelled twice, {first(twice)}; is a session unpacked twice?")
    table["file"] = table["utterance"].map(release.wavs)
    silent = table["utterance"][table["file"].isna()]
    if len(silent) > tolerance * len(table) or len(silent) == len(table):
        raise ValueError(
            f"{root}: {len(silent)} of {len(table)} labelled turns have no wav, {first(silent)}; expected "
            "SessionN/sentences/wav/<dialog>/<turn>.wav; unpack the rest, or raise tolerance to drop these turns"
        )
    table = table[table["file"].notna()].reset_index(drop=True)
    headers = read_headers(root, list(table["file"]))
    table["seconds"] = headers["seconds"]
    parts = table["utterance"].str.extract(TURN)
    table["dialog"] = parts[0]
    table["speaker"] = "Ses0" + parts[1] + parts[3]
    table["gender"] = parts[3].map(GENDERS)
    table["style"] = parts[2].map(STYLES)
    spoken = table["utterance"].map(release.transcripts)
    table["transcript"] = spoken if tags == "keep" else spoken.map(strip_tags, na_action="ignore")
    findings = [*_findings(release, table, silent, tags), unusual(list(table["file"]), headers)]
    return assemble("iemocap", root, SCALE, table, findings)


def strip_tags(transcript: str) -> str:
    """`transcript` without [LAUGHTER] and its like; empty where it held nothing else."""
    return " ".join(TAG.sub(" ", transcript).split())


def _findings(release: Release, table: pd.DataFrame, silent: pd.Series, tags: str) -> list[Finding]:
    told, labelled = table["transcript"], {turn.utterance for turn in release.labels}
    missing = [f"{turn} ({name})" for name in RATINGS for turn in table["utterance"][table[name].isna()]]
    absent = [session for session in SESSIONS if session not in release.sessions]
    done = "taken out of the transcript" if tags == "strip" else "kept in the transcript"
    return [
        Finding.of("absent session", absent, "the rest was read: a part of the release, its counts do not apply"),
        Finding.of("doubled session folder", release.doubled, "the inner folder was read"),
        Finding.of("hidden file", sorted(release.hidden), "ignored: another system's metadata, no label and no sound"),
        Finding.of("labelled turn without wav", silent, "dropped"),
        Finding.of("wav without label", sorted(set(release.wavs) - labelled), "not read"),
        Finding.of("rating outside the scale", out_of_scale(table, SCALE), "kept as written; the scale is 1 to 5"),
        Finding.of("missing rating", missing, "kept without it"),
        Finding.of("rater who left out a rating", release.half_rated, "the release's mean is kept; it may be low"),
        Finding.of("turn without transcript", table["utterance"][told.isna()], "kept, transcript missing"),
        Finding.of("transcript without label", sorted(set(release.transcripts) - labelled), "ignored"),
        Finding.of("transcript with bracketed tags", release.tagged, done),
        Finding.of("empty transcript", table["utterance"][told == ""], "kept: nothing but tags, or nothing, was said"),
        Finding.of("transcribed turn that was never labelled (XX)", release.never_labelled, "ignored"),
        Finding.of("line in a transcript that names no turn", release.loose_lines, "ignored"),
    ]
