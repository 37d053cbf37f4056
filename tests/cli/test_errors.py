"""What a user meets when something goes wrong: a sentence with what to do, status 2 (130: Ctrl-C), no traceback."""

import errno
import json
import os
import subprocess
import sys
import textwrap

import pytest
from packaging.markers import default_environment

from sutrolib.__main__ import main
from sutrolib.cli import doctor
from sutrolib.cli.errors import sentence
from sutrolib.core import paths
from sutrolib.meters import NoReading

MISSING = "No module named 'rich.console'"


def sutrolib(*arguments, stdout=subprocess.PIPE, path=None, timeout=120, **options):
    """The command as a process of its own, with ``path`` in front of what Python finds modules in."""
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, "-m", "sutrolib", *arguments]
    return subprocess.run(
        command,
        cwd=paths.ROOT,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=timeout,
        **options,
    )


@pytest.fixture
def fails(monkeypatch):
    """Make the command ``doctor`` end in this error."""

    def arrange(error):
        def raised(options):
            raise error

        monkeypatch.setattr(doctor, "run", raised)

    return arrange


def wrapped(code):
    """An error of the library that was raised from one of the system, as the ledger's is."""
    error = OSError("the measurement could not be kept in data/ledger")
    error.__cause__ = OSError(code, os.strerror(code))
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x"),
            "runs/x: No space left on device; the disk is full",
        ),
        (wrapped(errno.ENOSPC), "could not be kept in data/ledger; the disk is full: free some space"),
        (OSError(errno.EROFS, "Read-only file system", "/srv"), "/srv: Read-only file system; it is read-only: name"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/srv"),
            "you may not write there: change the permissions",
        ),
        (FileExistsError(errno.EEXIST, "File exists", "figures"), "figures: File exists; a file of that name is in"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "git"),
            "git: No such file; it does not exist: check its name",
        ),
        (ModuleNotFoundError("No module named 'numba'", name="numba"), "run `pip install -r requirements.txt`"),
        (ImportError("libgomp.so.1: cannot open shared object file"), "run `pip install -r requirements.txt`"),
        (NoReading("joules: no power counter"), "sutrolib: joules: no power counter\n"),
        (MemoryError(), "the memory is full: take smaller parameters"),
        (KeyError("x"), "KeyError: 'x'. This is a bug: please report it; the same command with --debug shows where"),
        (ImportError("cannot import name 'f'", name="sutrolib.core.cube"), "This is a bug"),
    ],
)
def test_an_error_ends_in_one_sentence_and_with_debug_in_its_traceback(error, said, fails, capsys):
    fails(error)
    assert main(["doctor"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("sutrolib: ")
    assert told.count("\n") == 1
    for arguments in (["doctor", "--debug"], ["--debug", "doctor"]):
        with pytest.raises(type(error)):
            main(arguments)


def test_a_package_without_its_content_is_half_an_installation(tmp_path, monkeypatch):
    (tmp_path / "emptied").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    import emptied

    with pytest.raises(AttributeError) as met:
        emptied.Tensor  # noqa: B018 - it is the access that fails
    assert "run `pip install -r requirements.txt`" in sentence(met.value)
    with pytest.raises(AttributeError) as met:
        paths.nothing  # noqa: B018
    assert "This is a bug" in sentence(met.value)


def test_a_value_error_from_elsewhere_says_how_to_see_where():
    with pytest.raises(ValueError, match="Expecting") as met:
        json.loads("{")
    assert "--debug shows where" in sentence(met.value)
    with pytest.raises(ValueError, match="name must consist of") as met:
        paths.study_file("../x")
    assert "--debug" not in sentence(met.value)


@pytest.mark.parametrize("content", ["", "raise ImportError('librich.so: cannot open shared object file')"])
def test_an_interrupted_install_is_told_by_the_command_itself(content, tmp_path):
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text(content)
    done = sutrolib("doctor", path=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "a package is missing or incomplete; run `pip install -r requirements.txt`" in done.stderr
    assert "Traceback" in sutrolib("--debug", "doctor", path=tmp_path).stderr


def test_a_run_without_a_kernel_is_refused_before_it_begins(tmp_path):
    (tmp_path / "ipykernel").mkdir()
    (tmp_path / "ipykernel" / "__init__.py").write_text("")
    done = sutrolib("run", "00", "-o", str(tmp_path / "run"), path=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("sutrolib: there is no kernel to run notebooks on (ipykernel is incomplete)")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def limited(what, most, *arguments):
    """The command where a process may have only so much of something."""
    resource = pytest.importorskip("resource")
    limit = getattr(resource, what), (most, most)
    return sutrolib(*arguments, timeout=600, preexec_fn=lambda: resource.setrlimit(*limit))


def test_where_few_files_may_be_open_list_works_and_a_run_is_refused_before_it_begins(tmp_path):
    assert "31_digits" in limited("RLIMIT_NOFILE", 48, "list").stdout
    done = limited("RLIMIT_NOFILE", 48, "run", "10", "-o", str(tmp_path / "run"))
    assert done.returncode == 2
    assert done.stderr.startswith("sutrolib: this shell lets a process open 48 files, and a notebook's kernel needs")
    assert "raise the limit with `ulimit -n 1024`" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to a limit of addresses")
def test_three_gigabytes_of_addresses_are_enough_or_there_is_no_traceback(tmp_path):
    for arguments in (["list"], ["run", "31", "-o", str(tmp_path / "run")]):
        done = limited("RLIMIT_AS", 3_000_000 * 1024, *arguments)
        assert "Traceback" not in done.stdout + done.stderr
        assert done.returncode == 0 or done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("ignored", [False, True], ids=["", "in a shell's background"])
def test_ctrl_c_and_sigterm_end_any_command_with_130_and_no_traceback(tmp_path, number, ignored):
    if number == "SIGINT" and ignored:
        pytest.skip("then it is ignored")
    (tmp_path / "rich").mkdir()
    interrupt = "import os, signal, time\n"
    interrupt += "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if ignored else ""
    interrupt += f"os.kill(os.getpid(), signal.{number}); time.sleep(60)"
    (tmp_path / "rich" / "__init__.py").write_text(interrupt)
    done = sutrolib("doctor", path=tmp_path)
    assert done.returncode == 130
    assert done.stderr == "sutrolib: interrupted; what was finished before is kept\n"


def test_an_older_python_is_refused_before_anything_else():
    older = """
        import runpy, sys
        sys.version_info = (3, 10, 12, "final", 0)
        sys.argv = ["sutrolib", "list"]
        runpy.run_module("sutrolib", run_name="__main__")
    """
    command = [sys.executable, "-c", textwrap.dedent(older)]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "sutrolib: Python must be 3.11 or newer (this is 3.10.12): make a virtual environment with a newer one\n"
    )


def test_a_reader_who_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)  # as head does, when it has its lines
    try:
        done = sutrolib("list", stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")  # noqa: PTH110
def test_a_full_disk_is_told_where_the_output_goes():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = sutrolib("list", stdout=full)
    assert done.returncode == 2
    assert "the disk is full: free some space" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_in_place_of_the_run_folder_is_told_with_what_to_do(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["run", "00", "-o", str(tmp_path / "file" / "run")]) == 2
    assert "in the way" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["run"], ["list"], ["new", "notebook", "--axis", "metric", "--title", "A"], ["deck"]]
)
def test_without_the_notebooks_folder_a_command_says_so(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    assert main(arguments) == 2
    assert f"there is no folder {tmp_path / 'notebooks'}: restore it with `git restore" in capsys.readouterr().err


def test_a_damaged_file_of_the_ledger_is_a_line_and_the_rest_is_read(tmp_path):
    reads = """
        import sys
        from sutrolib.cli import doctor
        from sutrolib.__main__ import main
        from sutrolib.measurement.ledger import Ledger
        doctor.run = lambda options: len(Ledger().measurements())
        sys.exit(main(["doctor"]))
    """
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "ledger.jsonl").write_text('{"cut off')
    command = [sys.executable, "-c", textwrap.dedent(reads)]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr.startswith("sutrolib: ledger.jsonl was skipped in part: line 1 ")
    assert done.stderr.count("\n") == 1


def test_the_exam_on_a_graphics_card_that_is_not_there_says_what_is(capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a graphics card")
    assert main(["exam", "--scale", "gpu"]) == 2
    assert "torch finds no graphics card; use device='cpu'" in capsys.readouterr().err


def test_the_doctor_tells_what_is_not_installed_and_that_no_kernel_is_there(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("# all\npytest==0.0.1\nno-such-package==1.0  # a comment\n")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    monkeypatch.setattr(doctor, "MIN_FREE_GIB", 1e9)
    found = {check.topic: check for check in doctor.examine()}
    assert (found["packages"].ok, found["kernel"].ok, found["disk"].ok) == (False, False, False)
    assert found["packages"].what.startswith("missing: no-such-package; run `pip install")
    assert "there is no kernel to run notebooks on" in found["kernel"].what
    (tmp_path / "requirements.txt").write_text("pytest==0.0.1\n")
    packages = {check.topic: check for check in doctor.examine()}["packages"]
    assert packages.ok
    assert "other versions than pinned: pytest " in packages.what


@pytest.mark.parametrize(("system", "processor", "missing"), [("darwin", "arm64", True), ("linux", "x86_64", False)])
def test_the_doctor_asks_for_the_reader_of_a_macs_counters_on_macs_only(monkeypatch, system, processor, missing):
    here = default_environment() | {"sys_platform": system, "platform_machine": processor}
    monkeypatch.setattr("packaging.markers.default_environment", lambda: dict(here))
    found = doctor._check_packages()
    assert ("missing: zeus-apple-silicon; run `pip install" in found.what) == missing
    assert found.ok != missing
