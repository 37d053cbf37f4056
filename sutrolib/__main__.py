"""The command line: python -m sutrolib run | list | new | doctor | reproduce | exam | deck | compare."""

from __future__ import annotations

import argparse
import importlib
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


def _later(module: str, name: str = "run") -> Callable[[argparse.Namespace], int]:
    """A command that lies in a module which needs rich or torch: it is imported when the command is given."""

    def command(options: argparse.Namespace) -> int:
        status: int = getattr(importlib.import_module(f"sutrolib.{module}"), name)(options)
        return status

    return command


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
    walk.add_argument("--jobs", type=int, help="runs at a time, each on a worker of Dask's local cluster")
    walk.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="run on the workers of this Dask scheduler")
    walk.add_argument("--resume", action="store_true", help="go on with the last run, or that of -o: skip what is done")
    walk.add_argument("--keep-figures", action="store_true", help="write the figures to figures/")
    walk.add_argument("-o", "--output", help="folder for the run, instead of a new one under data/runs/")
    walk.set_defaults(command=_later("commands", "run"))
    listing = commands.add_parser("list", help="show notebooks, axes, steps and parameters")
    listing.set_defaults(command=_later("commands", "list_notebooks"))
    new = commands.add_parser("new", help="write the skeleton of a new notebook, ready to run")
    new.add_argument("what", choices=["notebook"])
    new.add_argument("--axis", required=True, help="process, metric, problem, exam or meeting")
    new.add_argument("--title", required=True, help="what it is called")
    new.set_defaults(command=_later("new_command"))
    commands.add_parser("doctor", help="show what this machine can measure").set_defaults(
        command=_later("commands", "doctor")
    )
    published = commands.add_parser("reproduce", help="compute every published figure that is claimed")
    published.add_argument("--slow", action="store_true", help="with those that take over ten seconds each")
    published.add_argument("--json", action="store_true", help="print JSON")
    published.set_defaults(command=_later("commands", "reproduce"))
    exam = commands.add_parser("exam", help="hold the final exam, or show the one that was held")
    exam.add_argument("--division", default="closed", help="closed: only trained otherwise; open: anything")
    exam.add_argument("--scale", default="smoke", help="smoke: a minute; cpu: an hour; gpu: where there is one")
    exam.add_argument("--seeds", type=int, default=5, help="paired seeds, 5 and above")
    exam.add_argument("--again", action="store_true", help="start anew; the old record is kept under another name")
    exam.add_argument("--pack", action="store_true", help="only write what a machine without the texts needs")
    exam.set_defaults(command=_later("exam_command"))
    deck = commands.add_parser("deck", help="write the slides of the weekly meeting, as one HTML file or PDF")
    deck.add_argument("--since", default="7d", help="how far back: 7d, 12h, or a date such as 2026-11-18")
    deck.add_argument("--notebooks", nargs="+", default=[], help="numbers or names; all when none is given")
    deck.add_argument("--format", choices=["html", "pdf"], default="html", help="pdf needs Chromium")
    deck.add_argument("-o", "--output", help="the file; deck.html or deck.pdf when none is given")
    deck.set_defaults(command=_later("deck_command"))
    comparing = commands.add_parser("compare", help="what changed between two runs, or two commits of the ledger")
    comparing.add_argument("first", metavar="A", help="a folder of a run or its name under data/runs/, or a commit")
    comparing.add_argument("second", metavar="B", help="the same, of the later one")
    comparing.set_defaults(command=_later("compare_command"))
    return parser


def _grid_axis(text: str) -> tuple[str, list[str]]:
    name, separator, values = text.partition("=")
    if not (name and separator and all(values.split(","))):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=V1,V2,...")
    return name, values.split(",")


if __name__ == "__main__":
    sys.exit(main())
