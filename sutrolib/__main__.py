"""The command line: python -m sutrolib run | list | doctor | reproduce | exam."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"sutrolib: {error}", file=sys.stderr)
        return REFUSED
    return status


def _shown(name: str) -> Callable[[argparse.Namespace], int]:
    """A command of :mod:`sutrolib.commands`, which needs rich: it is imported when the command is given."""

    def command(options: argparse.Namespace) -> int:
        from sutrolib import commands

        status: int = getattr(commands, name)(options)
        return status

    return command


def _exam(options: argparse.Namespace) -> int:
    """The final exam, which loads torch: it is imported when the command is given."""
    from sutrolib import exam_command

    return exam_command.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sutrolib", description="Walk the Sutro cube from corner A to corner B."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    walk = commands.add_parser(
        "run", help="run notebooks through papermill, with the quick profile unless told otherwise"
    )
    walk.add_argument("notebooks", nargs="*", help="numbers or names, such as 10 11; all when none is given")
    walk.add_argument(
        "-p", dest="parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="set a parameter"
    )
    walk.add_argument(
        "--grid", type=_grid_axis, action="append", default=[], metavar="NAME=V1,V2,...", help="run once for each value"
    )
    walk.add_argument("--keep-figures", action="store_true", help="write the figures to figures/")
    walk.add_argument("-o", "--output", help="folder for the run, instead of a new one under data/runs/")
    walk.set_defaults(command=_shown("run"))
    listing = commands.add_parser("list", help="show notebooks, axes, steps and parameters")
    listing.set_defaults(command=_shown("list_notebooks"))
    commands.add_parser("doctor", help="show what this machine can measure").set_defaults(command=_shown("doctor"))
    published = commands.add_parser("reproduce", help="compute every published figure that is claimed")
    published.add_argument("--slow", action="store_true", help="with those that take over ten seconds each")
    published.add_argument("--json", action="store_true", help="print JSON")
    published.set_defaults(command=_shown("reproduce"))
    exam = commands.add_parser("exam", help="hold the final exam, or show the one that was held")
    exam.add_argument("--division", default="closed", help="closed: only trained otherwise; open: anything")
    exam.add_argument("--scale", default="smoke", help="smoke: a minute; cpu: an hour; gpu: where there is one")
    exam.add_argument("--seeds", type=int, default=5, help="paired seeds, 5 and above")
    exam.add_argument("--again", action="store_true", help="start anew; the old record is kept under another name")
    exam.add_argument("--pack", action="store_true", help="only write what a machine without the texts needs")
    exam.set_defaults(command=_exam)
    return parser


def _grid_axis(text: str) -> tuple[str, list[str]]:
    name, separator, values = text.partition("=")
    if not (name and separator and all(values.split(","))):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=V1,V2,...")
    return name, values.split(",")


if __name__ == "__main__":
    sys.exit(main())
