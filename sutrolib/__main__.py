"""The command line: python -m sutrolib COMMAND; --help lists the commands."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from sutrolib.batch.parameters import did_you_mean
from sutrolib.cli.errors import sentence
from sutrolib.cli.text import PlainStream
from sutrolib.core import paths
from sutrolib.core.io import sweep

_plain_format = warnings.formatwarning
_REFUSED = 2
_INTERRUPTED = 130  # as a shell puts it: 128 and the number of the signal
_PIPE_CLOSED = 141
_MIN_PYTHON = (3, 11)
_ON_NOTEBOOKS = ("run", "findings", "new_notebook", "deck")  # the modules whose commands need the folder of notebooks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status. An error is one sentence, or its traceback with --debug."""
    if sys.version_info < _MIN_PYTHON:
        here = ".".join(map(str, sys.version_info[:3]))
        return _refuse(f"Python must be 3.11 or newer (this is {here}): make a virtual environment with a newer one")
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(_split_assignments(words), argparse.Namespace(words=words))
    warnings.formatwarning = _format_warning
    before = signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        status = _command(options)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as ended:  # rich ends the program if it finds the pipe closed
        if isinstance(ended, SystemExit) and not isinstance(ended.__context__, BrokenPipeError):
            raise
        # The reader of the output has closed it (| head): end without a message, also when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except KeyboardInterrupt:
        if options.debug:
            raise
        print("sutrolib: interrupted; what was finished before is kept", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        if options.debug:
            raise
        return _refuse(sentence(error))
    finally:
        signal.signal(signal.SIGTERM, before)
    return status


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C would do now: it is handled in several ways, or ignored in a shell's background."""
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(number, frame)


def _refuse(why: str) -> int:
    print(f"sutrolib: {why}", file=sys.stderr)
    return _REFUSED


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning of the library, such as that a damaged file was skipped, as one line."""
    if category.__module__.startswith("sutrolib.") or Path(filename).is_relative_to(Path(__file__).parent):
        return f"sutrolib: {message}\n"
    return _plain_format(message, category, filename, lineno, line)


def _command(options: argparse.Namespace) -> int:
    """Run a command of a module in ``cli``, imported only when it is used, as it may need rich or torch."""
    module, function = options.command
    for word in options.words if module == "run" else ():  # notebooks and their results are written in UTF-8
        if word != word.encode(errors="replace").decode():
            raise ValueError(f"{word!r} has a byte that is not UTF-8: write it in UTF-8, or use another name")
    if module in _ON_NOTEBOOKS and not paths.NOTEBOOKS.is_dir():
        raise FileNotFoundError(f"there is no folder {paths.NOTEBOOKS}: restore it with `git restore notebooks`")
    run: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(f"sutrolib.cli.{module}"), function)
    with suppress(OSError):  # a folder that cannot be read, or no place for temporary files
        sweep(paths.written())
    if module in ("run", "exam", "walk"):  # which say themselves how long they take
        return run(options)
    from sutrolib.cli.seconds import announced

    with announced(options):
        return run(options)


def _step(text: str) -> int:
    """A step of the walk by its number; B is the last one."""
    from sutrolib.core.cube import path_to_b

    try:
        return len(path_to_b()) if text == "B" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a step is a number, or B (got {text!r})") from None


class _Parser(argparse.ArgumentParser):
    """A parser that names the option or choice which is most similar to a misspelt one."""

    def parse_known_args(self, *args: Any, **options: Any) -> Any:
        found, unknown = super().parse_known_args(*args, **options)
        if unknown:  # told by the parser of the command, which knows its options
            known = re.findall(r"--[a-z-]+", self.format_help())
            self.error(f"unrecognized: {', '.join(f'{word}{did_you_mean(word, known)}' for word in unknown)}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += did_you_mean(value, action.choices or ())
            raise


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m sutrolib", description="Walk the Sutro cube from corner A to B.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    # Again for each command, so that it may stand behind it as well; not given there, it leaves what stands before.
    after = _Parser(add_help=False)
    after.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, what: str, module: str = "", function: str = "run") -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what, parents=[after])
        command.set_defaults(command=(module or name, function))
        return command

    run = add("run", "run notebooks through papermill, by default with the quick profile")
    run.add_argument("notebooks", nargs="*", help="numbers or names, such as 10 11; all if none is given")
    many: dict[str, Any] = {"action": "append", "default": []}
    run.add_argument(
        "-p", dest="parameter", nargs=2, metavar=("NAME", "VALUE"), help="set a parameter; or NAME=VALUE", **many
    )
    about = "read stored results, compute them anew, or take larger budgets"
    run.add_argument("--profile", choices=["quick", "anew", "full"], help=about)
    run.add_argument("--grid", type=_grid_axis, metavar="NAME=V1,V2,...", help="run once for each value", **many)
    where = run.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, help="runs at a time, each on a worker of a local Dask cluster")
    where.add_argument("--scheduler", metavar="tls://HOST:PORT", help="run on the workers of this Dask scheduler")
    run.add_argument("--resume", action="store_true", help="continue the last run, or that of -o: skip what is done")
    run.add_argument("--keep-figures", action="store_true", help="write the figures to figures/")
    run.add_argument("-o", "--output", help="folder for the run; a new one under data/runs/ if none is given")
    shown = add("list", "show notebooks, axes, steps and parameters", "run", "list_notebooks")
    shown.add_argument("notebooks", nargs="*", help="numbers or names; all if none is given")
    add("findings", "write data/FINDINGS.md, what every notebook found")
    new = add("new", "write a new notebook from a template, ready to run", "new_notebook")
    new.add_argument("what", choices=["notebook"], help="the word notebook")
    axes = ["process", "metric", "problem", "exam", "meeting"]
    new.add_argument("--axis", required=True, choices=axes, help="of the cube, or what else it is about")
    new.add_argument("--title", required=True, help="the title")
    add("doctor", "show what this machine can measure")
    published = add("reproduce", "compute every published figure that is claimed, and compare")
    published.add_argument("--slow", action="store_true", help="include those that take over ten seconds each")
    published.add_argument("--json", action="store_true", help="print JSON")
    add("boards", "show the group's public boards, their best and how to hand in", function="list_boards")
    scored = add("score", "score a program as a public board does", module="boards")
    scored.add_argument("file", help="a grid program, or a file of Python as the board asks for: see `boards`")
    exported = add("export", "write what a public board asks for from a study", module="boards", function="export")
    exported.add_argument("study", metavar="STUDY", help="the id of a study, or its beginning: see `boards`")
    exported.add_argument("-o", "--output", required=True, metavar="FOLDER")
    exported.add_argument("--name", default="sutro-cube", help="of the files (default: %(default)s)")
    for command in (scored, exported):
        command.add_argument("--board", required=True, metavar="NAME", help="as `python -m sutrolib boards` names it")
    walk = add("walk", "take the next steps from A to B, each by its committed plan")
    walk.add_argument("--from", dest="start", type=int, metavar="N", help="begin with step N, again if it was taken")
    walk.add_argument("--to", type=_step, metavar="N", help="end after step N; B is the last one")
    walk.add_argument("--again", type=int, metavar="N", help="take step N once more, then go on")
    walk.add_argument("--plan", action="store_true", help="only show the path and the plan of the next step")
    exam = add("exam", "run the final exam, or show its record")
    about = "closed: only the training differs from the baseline's; open: anything"
    exam.add_argument("--division", choices=["closed", "open"], default="closed", help=about)
    about = "smoke: two minutes; cpu: 15 to 40; cpu-to-target: hours; gpu: needs a card; "
    about += "gpu-on-cpu: its network without its baseline, an hour for each seed"
    scales = ["smoke", "cpu", "cpu-to-target", "gpu-on-cpu", "gpu"]
    exam.add_argument("--scale", choices=scales, default="smoke", help=about)
    exam.add_argument("--seeds", type=int, default=5, help="paired seeds, at least 5; any number for gpu-on-cpu")
    exam.add_argument("--again", action="store_true", help="start again; the old record is kept under another name")
    about = "only train the closed division's first entry once, and write it to this folder for nanoGPT's sample.py"
    exam.add_argument("--export", metavar="FOLDER", help=about)
    exam.add_argument("--pack", action="store_true", help="only write what a machine without the texts needs")
    deck = add("deck", "write the slides of the weekly meeting, as one HTML file or PDF")
    deck.add_argument("--since", default="7d", help="how far back: 7d, 12h, or a date such as 2026-11-18")
    deck.add_argument("--notebooks", nargs="+", default=[], help="numbers or names; all if none is given")
    deck.add_argument("--add", action="append", default=[], metavar="NOTES.md", help="slides of your own, in Markdown")
    deck.add_argument("--format", choices=["html", "pdf"], default="html", help="pdf needs Chromium")
    deck.add_argument("-o", "--output", help="the file; deck.html or deck.pdf if none is given")
    ledger = add("ledger", "list publications and local runs of the ledger, or publish runs", function="list_sources")
    inner = ledger.add_subparsers(metavar="command")
    publish = inner.add_parser("publish", help="add chosen runs to data/ledger/", parents=[after])
    publish.add_argument("runs", nargs="+", metavar="RUN", help="names of runs under data/runs/, or folders")
    publish.add_argument("--dirty", action="store_true", help="also what cannot be traced to a commit, marked so")
    publish.set_defaults(command=("ledger", "publish_runs"))
    comparing = add("compare", "what changed between two runs, or two commits of the ledger")
    comparing.add_argument("first", metavar="A", help="a run (folder, or name under data/runs/), a commit, or ledger")
    comparing.add_argument("second", metavar="B", help="the same, for the later one")
    return parser


def _split_assignments(words: Sequence[str]) -> list[str]:
    """The words with ``-p NAME=VALUE`` written as ``-p NAME VALUE``, as papermill writes it."""
    pairs = zip(["", *words], words, strict=False)
    return [part for before, word in pairs for part in (word.split("=", 1) if before == "-p" else [word])]


def _grid_axis(text: str) -> tuple[str, list[str]]:
    name, separator, values = text.partition("=")
    if not (name and separator and all(values.split(","))):
        raise argparse.ArgumentTypeError(f"must have the form NAME=V1,V2,... (got {text!r})")
    return name, values.split(",")


if __name__ == "__main__":  # from here to the end, so that a traceback passes through as well
    sys.stdout, sys.stderr = PlainStream(sys.stdout), PlainStream(sys.stderr)
    sys.exit(main())
