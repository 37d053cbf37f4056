"""The command reproduce: every published figure that is claimed, computed again."""

import argparse
import json
from collections.abc import Sequence

from sutrolib.cli.text import paragraph, show_table
from sutrolib.guards.claims import Reproduction
from sutrolib.guards.reproduce import reproduce_claims


def run(options: argparse.Namespace) -> int:
    """Compute the claims and print them as a table or as JSON; 1 if any fails."""
    found = reproduce_claims(options.slow)
    if options.json:
        print(json.dumps([_row(one) for one in found], indent=1))
    else:
        _print_table(found)
    return 1 if any(one.result == "fail" for one in found) else 0


def _row(one: Reproduction) -> dict[str, object]:
    return {
        "what": one.claim.quantity,
        "source": one.claim.source,
        "published": one.claim.published,
        "ours": one.ours,
        "difference": one.difference,
        "tolerance": one.claim.tolerance,
        "result": one.result,
        "why": one.missing or one.claim.known_difference,
    }


def _print_table(found: Sequence[Reproduction]) -> None:
    sources = list(dict.fromkeys(one.claim.source for one in found))
    rows = []
    for one in found:
        ours = ("", "") if one.ours is None else (f"{one.ours:,.6g}", f"{one.difference:+.3g}")
        source = f"({sources.index(one.claim.source) + 1})"
        rows.append((one.claim.quantity, source, f"{one.claim.published:,.7g}", *ours, one.result))
    show_table(("what", "source", "published", "ours", "difference", "result"), rows)
    lines = [f"({number}) {source}" for number, source in enumerate(sources, 1)]
    lines += [f"{r.result}: {r.claim.quantity}: {why}" for r in found if (why := r.missing or r.claim.known_difference)]
    print(*map(paragraph, lines), sep="\n")
