"""What a study could do without: `sercore tidy`."""

import argparse

from sercore.commands import megabytes, path, progress
from sercore.study import config, tidy

DELETE = "delete"
ABOUT = """Tables, figures, the report and the browsers of results stay as they are, whatever is freed. Caches are
shared with the studies beside this one: what one of their runs was made from stays too, and what goes is computed again
when it is needed.

--superseded            also frees the runs that the parameters file does not have: their results are lost
--checkpoints of the networks of fine-tuned encoders (BERT, wav2vec 2.0, ...), with which `sercore predict`, `export`
                        and the notebook predict.ipynb work:
      difference        keeps what differs from the published weights: exact to the last bit, compared before the whole
                        ones go; the encoder is then needed to read them (`sercore export` makes them whole again)
      half              keeps these differences in half precision, which is not exact: a weight is off by 3e-8, or by
                        1/2048 of what training changed in it, so scores may differ in a late digit
      delete            keeps nothing: the runs have their results, and predict nothing new
A setting has a run keep its networks so from the start: network: {kept: difference}."""


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    parser = commands.add_parser(
        "tidy",
        help="say what a study's folder and caches hold that nothing needs, and free it",
        epilog=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parameters", type=path, help="the study's parameters file")
    parser.add_argument("--delete", action="store_true", help="free it; without, it is only listed")
    parser.add_argument("--superseded", action="store_true", help="also runs that the parameters file does not have")
    parser.add_argument("--checkpoints", choices=("difference", "half", DELETE), help="also networks of encoders")
    parser.set_defaults(do=_tidy)


def _tidy(args: argparse.Namespace) -> int:
    study = config.load(args.parameters)
    groups = tidy.find(study)
    before, freed, outside = tidy.weigh(study.folder), 0, 0
    print(f"study {study.name}: {megabytes(before)} in {study.folder}")
    for group in groups:
        named = {tidy.SUPERSEDED: args.superseded, tidy.CHECKPOINTS: args.checkpoints}.get(group.name, True)
        count = f"{len(group.paths):>6,} {megabytes(group.bytes):>12}"
        note = group.reason or ("" if named or not group.paths else f"stays, unless --{group.name}")
        if named and group.name == tidy.CHECKPOINTS and args.checkpoints != DELETE:
            saved = _shrink(group, args.checkpoints, dry_run=not args.delete)
            note = f"{megabytes(group.bytes if args.delete else group.bytes - saved)} as {args.checkpoints}"
        elif named:
            saved = tidy.delete(group) if args.delete else group.bytes
        else:
            saved = 0
        freed += saved
        outside += saved if group.name == tidy.CACHES else 0
        print(f"  {group.what:<44} {count}" + (f"  {note}" if note else ""))
    print(f"{megabytes(freed)} {'freed' if args.delete else 'would be freed; --delete frees it'}")
    after = tidy.weigh(study.folder) if args.delete else before - freed + outside
    print(f"study {study.name}: {megabytes(after)} {'now' if args.delete else 'after that'}")
    return 0


def _shrink(group: tidy.Group, kept: str, dry_run: bool) -> int:
    """Bytes that the checkpoints of `group` need less when they are `kept` so."""
    from sercore.inference.shrink import shrink  # torch: only where it is needed

    step, saved = progress("checkpoints"), 0
    for done, checkpoint in enumerate(group.paths, 1):
        saved += shrink(checkpoint, kept, dry_run)
        step(done, len(group.paths))
    return saved
