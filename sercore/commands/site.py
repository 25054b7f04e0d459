"""A study's results as a folder of plain files that opens in a web browser: `sercore site`."""

import argparse

from sercore.commands import megabytes, number, path, progress
from sercore.schema import first
from sercore.study import config

ABOUT = """The folder's index.html opens without server, network or Python: confusion matrices, a table of utterances,
their sounds and spectrograms, what every model predicted, and the report. Copied as a whole it works anywhere.

simulated   synthesised speech: everything is in it
one's own   a corpus that no licence of the paper's corpora is for: everything is in it, with a warning; you know whose
            voices these are. --no-sound leaves the sounds out
licensed    IEMOCAP and MSP-Podcast: refused, since labels are licensed content too, unless --with-labels says that you
            may pass them on; transcripts and sounds then still stay out, unless --with-audio-of names the corpus

Sounds are FLAC. They are added in a random order, always the same one, until --most-mb is reached: the page then has
the tables whole, and says of an utterance that its sound is not there. What is interrupted leaves nothing behind."""


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    parser = commands.add_parser(
        "site",
        help="write a finished study's results as a folder that opens in a web browser, with sounds",
        epilog=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parameters", type=path, help="the study's parameters file")
    parser.add_argument("--out", type=path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument(
        "--most-mb", type=number(float, 0, above=True), default=200.0, help="size of the whole folder (default: 200 MB)"
    )
    parser.add_argument("--no-sound", action="store_true", help="without sounds and spectrograms")
    parser.add_argument("--with-labels", action="store_true", help="the labels of licensed corpora may be passed on")
    parser.add_argument(
        "--with-audio-of",
        action="append",
        default=[],
        metavar="CORPUS",
        help="transcripts and sounds of this licensed corpus may be passed on too; may be given more than once",
    )
    parser.set_defaults(do=_site)


def _site(args: argparse.Namespace) -> int:
    from sercore.widgets import site  # seconds: only where it is needed

    site.check_new(args.out)
    study = config.load(args.parameters)
    content = site.gather(study, with_labels=args.with_labels, with_audio_of=args.with_audio_of)
    written = site.write(
        content, args.out, args.most_mb, sounds=not args.no_sound, progress=progress("sounds of utterances")
    )
    print(f"study {study.name}: {written.page} ({written.files:,} files, {megabytes(written.bytes)})")
    print(f"  sounds of {written.sounds:,} of {written.utterances:,} utterances")
    if written.beyond:
        print(f"  {written.beyond:,} sounds are left out, which would go beyond --most-mb {args.most_mb:g}")
    if written.lost:
        causes = f"{first(written.lost)}: {next(iter(written.lost.values()))}"
        print(f"  sounds that cannot be read, of {len(written.lost):,} utterances: {causes}")
    for held in content.held.values():
        if held.warning:
            print(f"WARNING: {held.warning}")
    return 0
