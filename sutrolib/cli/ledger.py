"""The command ledger: list what there is, and publish chosen runs."""

import argparse

from sutrolib.cli.text import paragraph, show_table
from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.publish import publish


def list_sources(options: argparse.Namespace) -> int:
    """Show each publication and each local run: how many records it holds, of which days and commits, and damage."""
    rows = []
    for kind in ("measurement", "study"):
        found, _ = Ledger().scan(kind, lambda record, source, dirty: (record, source, dirty))
        about = ((r if isinstance(r, dict) else vars(r), source, dirty) for r, source, dirty in found)
        rows += [(kind, source, r["when"][:10], r["commit"], dirty) for r, source, dirty in about]
    header = ("source", "measurements", "studies", "days (UTC)", "commits", "dirty")
    shown = []
    for source in sorted({row[1] for row in rows}):
        kinds, _, days, commits, dirty = zip(*(row for row in rows if row[1] == source), strict=True)
        counts = f"{kinds.count('measurement'):,}", f"{kinds.count('study'):,}"
        period = " to ".join(sorted({min(days), max(days)}))
        names = ", ".join(sorted({commit or "unknown" for commit in commits}))
        shown.append((source, *counts, period, names, f"{sum(dirty):,}"))
    show_table(header, shown)
    counts_once = "A record that is in several files counts where it stands first: publications before local runs."
    print(*map(paragraph, [*unreadable_files(), counts_once]), sep="\n")
    return 0


def unreadable_files() -> list[str]:
    """A sentence for each file of the ledger that cannot be read in full: where, why, and what to do."""
    ledger = Ledger()
    _, damaged = ledger.scan("study", lambda record, source, dirty: None)
    sentences = []
    for path, why in {**damaged, **ledger.read()[1]}.items():
        published = path.parent == paths.published_ledger()
        remedy = f"restore it by `git restore {path}`" if published else "remove that line, or make the file readable"
        sentences.append(f"{path}: {why}; the rest of the file is read: {remedy}")
    return sentences


def publish_runs(options: argparse.Namespace) -> int:
    """Publish the records of the named runs."""
    done = publish(options.runs, options.dirty)
    for why in done.unreadable:
        print(f"left out: {why}")
    names = []
    known = f" ({done.known} were published before)" if done.known else ""
    if done.path:
        names.append(str(done.path.relative_to(paths.ROOT) if done.path.is_relative_to(paths.ROOT) else done.path))
        print(f"{names[0]}: {done.measurements} measurements and {done.studies} studies{known}")
    if done.results:
        names.append("data/results")
        print(f"data/results: {len(done.results)} files of stored results")
    print(f"Commit it to share it:\n  git add {' '.join(names)} && git commit")
    return 0
