"""Nothing in data/ is ever executed, names cannot leave their folder, Jupyter keeps its token, no shell is asked.

That values reach notebooks as literals is tested where they pass through a batch (test_batch.py), that the deck escapes
what it shows in test_deck.py.
"""

import ast
import json
import pickle
import re
import subprocess
import warnings
from pathlib import Path

import pytest

from sutrolib.batch import batch
from sutrolib.batch.parameters import ParameterError, declared_in
from sutrolib.core import paths
from sutrolib.core.markdown import finding_in
from sutrolib.exam.record import exam_path, read_record
from sutrolib.measurement.ledger import Ledger
from sutrolib.processes.storage import StudyStorage

MODULES = sorted((paths.ROOT / "sutrolib").rglob("*.py"))
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNNERS = {"eval", "exec", "__import__", "compile"}
SHELLS = {"os.system", "os.popen", "os.popen2", "subprocess.getoutput", "subprocess.getstatusoutput"}
# The formulas of operators.toml are a part of the library, as its code is; a test checks each of them. A file for a
# board is run only when its user names it on the command line to have it scored, or hands in its text: nothing stored.
TRUSTED = {"flops.py": ["calls compile", "calls eval"], "buffer_clock.py": ["calls exec", "calls compile"]}
LOADERS = {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "read_pickle", "numpy.fromregex"}


def offences(source):
    """Each call or import of a source that could run what it reads, or ask a shell, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            found += [f"line {node.lineno}: {why}" for why in wrong_calls(node)]
            continue
        else:
            continue
        found += [f"line {node.lineno}: imports {name}" for name in names if name.split(".")[0] in UNPICKLERS]
    return found


def wrong_calls(call):
    name = ast.unparse(call.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in RUNNERS or name in SHELLS or name in LOADERS or name.split(".")[-1] == "read_pickle":
        yield f"calls {name}"
    if name.split(".")[0] in {"torch", "jit"} and name.endswith(".load") and given.get("weights_only") != "True":
        yield f"{name} without weights_only=True"
    if given.get("allow_pickle", "False") != "False":
        yield f"{name} with allow_pickle"
    if given.get("shell", "False") != "False":
        yield f"{name} with a shell"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(paths.ROOT)))
def test_the_library_runs_nothing_that_it_reads_and_asks_no_shell(path):
    found = [why.partition(": ")[2] for why in offences(path.read_text(encoding="utf-8"))]
    assert found == TRUSTED.get(path.name, [])


def test_neither_do_the_notebooks():
    for notebook in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                assert offences("".join(cell["source"])) == [], notebook.name


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import dill as d",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "yaml.load(text)",
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
    ],
)
def test_each_of_these_would_be_found(source):
    assert len(offences(source)) == 1


def test_what_is_harmless_is_left_alone():
    harmless = "torch.load(p, weights_only=True); np.load(p); re.compile(t); network.eval(); subprocess.run(['ls'])"
    assert offences(harmless) == []


class Bait:
    """What, unpickled, leaves a mark; and text for whoever would rather evaluate it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path):
    """The file that comes to be where a bait is taken."""
    return tmp_path / "taken"


def test_the_bait_works(mark):
    pickle.loads(pickle.dumps(Bait(mark)))
    assert mark.exists()


@pytest.mark.filterwarnings("ignore::sutrolib.measurement.ledger.UnreadableMeasurement")
def test_a_planted_pickle_is_never_executed_by_whoever_reads_data(mark, tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path / "exam"))
    torch = pytest.importorskip("torch")
    torch.save(Bait(mark), tmp_path / "weights.pt")
    baits = [pickle.dumps(Bait(mark)), pickle.dumps(Bait(mark), protocol=0), (tmp_path / "weights.pt").read_bytes()]
    for number, bait in enumerate(baits):
        places_of_bait = [f"ledger/{name}" for name in ("a.jsonl", "a.jsonl.gz", "a.pkl", "a.pt")]
        places_of_bait += ["exam/cpu_closed.json", "exam/cpu_closed.pkl", "studies/a.log", "run/001-10_a.ipynb"]
        for name in places_of_bait:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bait)
        ledger = Ledger(tmp_path / "ledger")
        measurements, damaged = ledger.read()
        assert (measurements, len(damaged)) == ([], 2), number
        assert ledger.studies() == []
        for read in (
            lambda: read_record(exam_path("cpu", "closed")),
            lambda: batch.find_notebooks(tmp_path / "run"),
            lambda: finding_in(tmp_path / "run" / "001-10_a.ipynb"),
            lambda: StudyStorage(tmp_path / "studies" / "a.log", {}),
        ):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read()
            except (ValueError, OSError, LookupError, TypeError):
                continue  # how it is refused does not matter here: nothing ran
        assert not mark.exists(), number


def test_a_measurement_that_names_code_stays_a_text(tmp_path, mark):
    from builders import measurement

    text = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    ledger = Ledger(tmp_path / "ledger")
    ledger.add(measurement(model={"name": text, "hidden": text}))
    (found,) = ledger.measurements()
    assert found.model == {"name": text, "hidden": text}
    assert not mark.exists()


PLACES = ("sutrolib", "tests", ".ci", "notebooks", "README.md", "pyproject.toml")
UNSAFE = re.compile(
    # no value, an empty one, or one that everybody can read here; f"...token={token}" is one of this run's own
    r"""(?:ServerApp|NotebookApp|IdentityProvider|LabApp)\.(?:token|(?:hashed_)?password)\s*=\s*(?:['"\\\s,\]]|$)"""
    r"""|\btoken=(?:''|"")(?!")|allow_unauthenticated|disable_check_xsrf|allow_remote_access"""
    r"""|allow_origin\s*=\s*.?\*|--ip[= ]['"]?(?:0\.0\.0\.0|\*|::)"""
)


def test_jupyter_is_never_started_without_its_token():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PLACES]
    listed = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not in a git checkout")
    there = [paths.ROOT / name for name in listed.stdout.split("\n") if name]
    texts = {path: path.read_text(encoding="utf-8") for path in there if path.is_file() and path != Path(__file__)}
    assert len(texts) > 100
    assert {path.name: UNSAFE.findall(text) for path, text in texts.items() if UNSAFE.search(text)} == {}


@pytest.mark.parametrize(
    "line",
    [
        "jupyter lab --ServerApp.token=''",
        'jupyter lab --NotebookApp.token="" --no-browser',
        "jupyter lab --IdentityProvider.token= --no-browser",
        'command += ["--ServerApp.token=", "--no-browser"]',
        "c.ServerApp.password = ''",
        "--ServerApp.disable_check_xsrf=True",
        "--ServerApp.allow_remote_access=True",
        "jupyter lab --ip=0.0.0.0",
        "jupyter lab --ip '*'",
        "--ServerApp.allow_origin='*'",
    ],
)
def test_each_of_these_lines_would_be_found(line):
    assert UNSAFE.search(line)


CODE = '__import__("os").system("touch taken")'


def test_a_parameter_that_looks_like_code_stays_a_text_or_is_refused():
    declared = declared_in('name: str = "a"  # a name\nn: int = 1  # 0 to 9\nx: float = 1.0  # 0 to 9\nb: bool = True')
    assert declared["name"].parse(CODE) == CODE
    for name in ("n", "x", "b"):
        with pytest.raises(ParameterError, match=name):
            declared[name].parse(CODE)
    assert declared_in(f"n: int = {CODE}  # 0 to 9") == {}
    assert declared_in(f'name: str = f"{{{CODE}}}"') == {}


@pytest.mark.parametrize(
    "name", ["../escaped", "..", "a/b", "a\\b", "/etc/passwd", "", ".hidden", "a\x00b", "a\nb", "~", "C:x", "x" * 101]
)
def test_a_study_cannot_leave_its_folder(name):
    with pytest.raises(ValueError, match="must consist of letters"):
        paths.study_file(name)


@pytest.mark.parametrize("name", ["../closed", "..", "a/b", "a\\b", "/etc", "", ".x", "a\x00", "a b", "a\n"])
def test_an_exam_cannot_leave_its_folder(name):
    for names in ((name, "closed"), ("cpu", name)):
        with pytest.raises(ValueError, match="must consist of letters"):
            exam_path(*names)
    assert exam_path("cpu", "closed").parent == paths.exam()
    assert paths.study_file("my first search").parent == paths.STUDIES
