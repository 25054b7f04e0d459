"""Results that travel: `sercore pack` and `sercore unpack`."""

import argparse

from sercore import files
from sercore.commands import megabytes, path
from sercore.study import archive, config

PACK = """The archive (.tar.gz, .tgz or .zip) holds of each run its predictions, history, parameters and provenance, and
the study's tables, figures, parameters file and notebook templates; no sound, no executed notebooks, and no networks
but with --checkpoints. Everything is listed before it is written.

simulated   of a study on synthesised speech alone it also holds the utterance tables with their transcripts
licensed    of any other one it holds neither text nor file names. Labels are licensed content too, and statistics need
            the truth, a label of each utterance: such a study is refused unless --with-labels says that its corpora's
            licences let you pass them on to whoever gets the archive
--hash-ids  puts keyed hashes (BLAKE2b) in place of the ids of utterances, speakers, and folds that are called after
            speakers; the same id has the same hash everywhere in the archive, so scores are the same (intervals and p
            values but for the draws of their resampling). The key is drawn and forgotten, unless --key names its file,
            for hashes that you can trace back or give again. Rows are in the order of the hashes, and tables that name
            speakers or utterances are left out, as are all transcripts. What stays: truth, predictions, gender, style,
            groups, corpora, which utterances have one speaker. Whoever holds the corpus may recognise utterances by
            their labels: hashes hide ids, they do not make labels free."""
UNPACK = """Whatever leads out of the folder is refused, links are, and so is all of an archive that is not whole: every
file is compared with its checksum before any of them appears in the folder. In it the analysis notebooks, the browsers
and `sercore report` work without the corpora and without training; there is no sound. Notebooks are programs: execute
those of an archive only if you trust whoever packed it."""


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    kind = argparse.RawDescriptionHelpFormatter
    pack = commands.add_parser(
        "pack", help="write a finished study's results as one archive, without sound", epilog=PACK, formatter_class=kind
    )
    pack.add_argument("parameters", type=path, help="the study's parameters file")
    pack.add_argument("archive", type=path, help="the file to write: .tar.gz or .zip")
    pack.add_argument("--checkpoints", action="store_true", help="with the trained networks")
    pack.add_argument("--with-labels", action="store_true", help="the labels of licensed corpora may be passed on")
    pack.add_argument("--hash-ids", action="store_true", help="hashes in place of ids of utterances and speakers")
    pack.add_argument("--key", type=path, metavar="FILE", help="of these hashes; made where it is not there: keep it")
    pack.add_argument("--dry-run", action="store_true", help="list what it would hold, and write nothing")
    pack.add_argument("--force", action="store_true", help="replace an archive of this name")
    pack.set_defaults(do=_pack)
    unpack = commands.add_parser(
        "unpack", help="make a folder of an archive that sercore pack wrote", epilog=UNPACK, formatter_class=kind
    )
    unpack.add_argument("archive", type=path, help="what sercore pack wrote")
    unpack.add_argument("folder", type=path, nargs="?", help="a new folder (default: called after the archive, here)")
    unpack.add_argument("--force", action="store_true", help="replace what is in the folder and in the archive")
    unpack.set_defaults(do=_unpack)


def _pack(args: argparse.Namespace) -> int:
    archive.stem(args.archive)
    if args.key and not args.hash_ids:
        raise ValueError("--key is of the hashes: give --hash-ids too")
    if args.archive.exists() and not args.force and not args.dry_run:
        raise FileExistsError(f"{args.archive} is there already; name another file, or replace it with --force")
    study = config.load(args.parameters)
    with files.private_folder() as staging:
        contents = archive.gather(
            study,
            staging,
            with_labels=args.with_labels,
            hash_ids=args.hash_ids,
            key=archive.read_key(args.key) if args.key and not args.dry_run else None,
            checkpoints=args.checkpoints,
        )
        _list(contents)
        if args.dry_run:
            print(f"{args.archive} is not written: a dry run")
            return 0
        archive.write(contents, args.archive)
    print(f"study {study.name}: {args.archive} ({megabytes(args.archive.stat().st_size)})")
    return 0


def _list(contents: archive.Contents) -> None:
    """Print what an archive is to hold."""
    table = contents.table()
    for row in table.itertuples():
        print(f"  {row.group:<12} {row.files:>6,} files {megabytes(row.bytes):>10}")
    print(f"  {'in all':<12} {table['files'].sum():>6,} files {megabytes(table['bytes'].sum()):>10}")
    for line in contents.left_out:
        print(f"  left out: {line}")
    if contents.licensed:
        print(
            f"WARNING: it holds labels of {', '.join(contents.licensed)}, whose speech is not simulated: give it to "
            "nobody whom its licence does not let have them"
        )


def _unpack(args: argparse.Namespace) -> int:
    folder = args.folder or path(archive.stem(args.archive))
    written = archive.unpack(args.archive, folder, args.force)
    print(f"{folder}: unpacked and checked; there is no sound in it")
    print(f"  the study as one page: sercore report {written}")
    print(f"  analysis notebooks, without training: sercore run {written}")
    print(f"  browsers: cd {folder}, then jupyter lab notebooks/browse")
    return 0
