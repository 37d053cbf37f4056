"""The command new notebook: one more notebook, with the anatomy of all others, ready to run.

It is filled in from new_notebook.ipynb, a small study that compares two settings of one network. What its author is to
replace is marked YOURS.
"""

import argparse
import json
import re
import unicodedata
from pathlib import Path
from string import Template

from sutrolib.core import paths
from sutrolib.core.io import write_atomically

DECADES = {"process": 1, "metric": 2, "problem": 3, "exam": 4, "meeting": 5}  # the first digit of a notebook's number
MAX_NAME, MAX_TITLE = 50, 200
TEMPLATE = Path(__file__).with_suffix(".ipynb")


def run(options: argparse.Namespace) -> int:
    """Write the notebook, and say where it is and how to run it. Raises ValueError and OSError as :func:`name_for`."""
    title = clean_title(options.title)
    name = name_for(options.axis, title)
    path = paths.NOTEBOOKS / f"{name}.ipynb"
    write_atomically(path, fill_in(name, options.axis, title).encode())
    where = f"notebooks/{path.name}" if path.is_relative_to(paths.ROOT) else path
    print(f"{where} is written. Replace what is marked YOURS; it runs as it is:")
    print(f"  python -m sutrolib run {name.split('_')[0]}")
    print("To keep it in the collection, run it in its place, so that it holds its outputs and its figures:")
    print(f"  jupyter nbconvert --to notebook --execute --inplace {where}")
    return 0


def clean_title(title: str) -> str:
    """The title on one line, without control characters. Raises ValueError for an empty or a long one."""
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    if not cleaned or len(cleaned) > MAX_TITLE:
        raise ValueError(f"the title must have 1 to {MAX_TITLE} characters (got {title[:MAX_TITLE]!r})")
    return cleaned


def name_for(axis: str, title: str) -> str:
    """The name of the next notebook on ``axis``: the lowest free number of its ten, and the words of the title.

    Raises ValueError for an axis whose ten numbers are used up, and a title without a letter or digit.
    """
    numbers = [f"{DECADES[axis]}{digit}" for digit in range(10)]
    used = {path.name.split("_")[0] for path in paths.NOTEBOOKS.glob("[0-9]*_*.ipynb")}
    free = [number for number in numbers if number not in used]
    if not free:
        used_up = f"the numbers {numbers[0]} to {numbers[-1]} of the {axis} axis are used up"
        raise ValueError(f"{used_up}: extend a notebook that is there, or move one out of notebooks/")
    return f"{free[0]}_{slug(title)}"


def slug(title: str) -> str:
    """The title as a part of a file name: only a to z, 0 to 9 and underscores. Raises ValueError if nothing is left."""
    plain = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain)
    if not words:
        raise ValueError(f"the title must have letters a to z or digits, for the file name (got {title!r})")
    return "_".join(words)[:MAX_NAME].rstrip("_")


def fill_in(name: str, axis: str, title: str) -> str:
    """The template with this name, axis and title, as the content of a notebook file."""
    notebook = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    notebook["metadata"]["sutro"]["axis"] = axis
    for cell in notebook["cells"]:
        cell["id"] = f"{name.split('_')[0]}-{cell['id']}"
        cell["source"] = Template("".join(cell["source"])).safe_substitute(name=name, axis=axis, title=title)
        cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
