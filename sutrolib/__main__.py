"""The command line: python -m sutrolib run | list | new | doctor | reproduce | exam | deck | ledger | compare."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from sutrolib.cli.errors import sentence
from sutrolib.core import paths

REFUSED = 2
INTERRUPTED = 130  # as a shell puts it: 128 and the number of the signal
PIPE_CLOSED = 141
PYTHON = (3, 11)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. What goes wrong is told in one sentence, unless with --debug."""
    if sys.version_info < PYTHON:
        here = ".".join(map(str, sys.version_info[:3]))
        return _refuse(f"this is Python {here}, and 3.11 or newer is needed: make a virtual environment with that")
    options = _parser().parse_args(arguments)
    try:
        with _short_warnings():
            status: int = options.command(options)
            sys.stdout.flush()
    except BrokenPipeError:
        return _pipe_closed()
    except SystemExit as ended:  # rich ends the program where it finds the pipe closed
        if isinstance(ended.__context__, BrokenPipeError):
            return _pipe_closed()
        raise
    except KeyboardInterrupt:
        if options.debug:
            raise
        print("sutrolib: interrupted; what was finished before is kept", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if options.debug:
            raise
        return _refuse(sentence(error))
    return status


def _refuse(why: str) -> int:
    print(f"sutrolib: {why}", file=sys.stderr)
    return REFUSED


def _pipe_closed() -> int:
    """Whoever read the output has seen enough (``| head``): end without a word, and without one at the exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Warnings of the library, such as of a damaged file that was skipped, are a line each, without its place."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category.__module__.startswith("sutrolib."):
            print(f"sutrolib: {message}", file=sys.stderr)
        else:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _later(module: str, name: str = "run", notebooks: bool = False) -> Callable[[argparse.Namespace], int]:
    """A command that lies in a module which needs rich or torch: it is imported when the command is given.

    ``notebooks`` says whether it is about those of the checkout, which then have to be there.
    """

    def command(options: argparse.Namespace) -> int:
        if notebooks and not paths.NOTEBOOKS.is_dir():
            raise FileNotFoundError(f"there is no folder {paths.NOTEBOOKS}: restore it with `git restore notebooks`")
        status: int = getattr(importlib.import_module(f"sutrolib.cli.{module}"), name)(options)
        return status

    return command


def _run(options: argparse.Namespace) -> int:
    """The command run: without a kernel every notebook would fail, and say less about why."""
    from sutrolib.cli.doctor import kernel

    if not options.scheduler and not (found := kernel()).ok:  # the workers of a scheduler have an environment of theirs
        raise FileNotFoundError(found.what)
    return _later("run", notebooks=True)(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sutrolib", description="Walk the Sutro cube from corner A to corner B."
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    # Again for each command, so that it may stand behind it as well; not given there, it leaves what stands before.
    after = argparse.ArgumentParser(add_help=False)
    after.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=what, description=what, parents=[after])

    walk = add("run", "run notebooks through papermill, with the quick profile unless told otherwise")
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
    walk.set_defaults(command=_run)
    listing = add("list", "show notebooks, axes, steps and parameters")
    listing.set_defaults(command=_later("list_and_reproduce", "list_notebooks", notebooks=True))
    new = add("new", "write the skeleton of a new notebook, ready to run")
    new.add_argument("what", choices=["notebook"])
    new.add_argument("--axis", required=True, help="process, metric, problem, exam or meeting")
    new.add_argument("--title", required=True, help="what it is called")
    new.set_defaults(command=_later("new_notebook", notebooks=True))
    add("doctor", "show what this machine can measure").set_defaults(command=_later("list_and_reproduce", "doctor"))
    published = add("reproduce", "compute every published figure that is claimed")
    published.add_argument("--slow", action="store_true", help="with those that take over ten seconds each")
    published.add_argument("--json", action="store_true", help="print JSON")
    published.set_defaults(command=_later("list_and_reproduce", "reproduce"))
    exam = add("exam", "hold the final exam, or show the one that was held")
    exam.add_argument("--division", default="closed", help="closed: only trained otherwise; open: anything")
    exam.add_argument("--scale", default="smoke", help="smoke: a minute; cpu: an hour; gpu: where there is one")
    exam.add_argument("--seeds", type=int, default=5, help="paired seeds, 5 and above")
    exam.add_argument("--again", action="store_true", help="start anew; the old record is kept under another name")
    exam.add_argument("--pack", action="store_true", help="only write what a machine without the texts needs")
    exam.set_defaults(command=_later("exam"))
    deck = add("deck", "write the slides of the weekly meeting, as one HTML file or PDF")
    deck.add_argument("--since", default="7d", help="how far back: 7d, 12h, or a date such as 2026-11-18")
    deck.add_argument("--notebooks", nargs="+", default=[], help="numbers or names; all when none is given")
    deck.add_argument("--format", choices=["html", "pdf"], default="html", help="pdf needs Chromium")
    deck.add_argument("-o", "--output", help="the file; deck.html or deck.pdf when none is given")
    deck.set_defaults(command=_later("deck", notebooks=True))
    ledger = add("ledger", "list publications and local runs of the ledger, or publish runs")
    ledger.set_defaults(command=_later("ledger", "list_sources"))
    publish = ledger.add_subparsers(metavar="command").add_parser(
        "publish", help="add chosen runs to data/ledger/", parents=[after]
    )
    publish.add_argument("runs", nargs="+", metavar="RUN", help="names of runs under data/runs/, or folders")
    publish.add_argument("--dirty", action="store_true", help="also what cannot be traced to a commit, marked so")
    publish.set_defaults(command=_later("ledger", "publish_runs"))
    comparing = add("compare", "what changed between two runs, or two commits of the ledger")
    comparing.add_argument("first", metavar="A", help="a folder of a run or its name under data/runs/, or a commit")
    comparing.add_argument("second", metavar="B", help="the same, of the later one")
    comparing.set_defaults(command=_later("compare"))
    return parser


def _grid_axis(text: str) -> tuple[str, list[str]]:
    name, separator, values = text.partition("=")
    if not (name and separator and all(values.split(","))):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=V1,V2,...")
    return name, values.split(",")


if __name__ == "__main__":
    sys.exit(main())
