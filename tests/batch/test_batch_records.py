"""What of a batch is kept, and what is therefore not run again; nothing that is kept or passed is ever executed."""

import dataclasses
import json

import pytest
from batches import END, FIND, Silent, write_notebook

from sutrolib.__main__ import main
from sutrolib.batch import batch, records
from sutrolib.batch.parameters import declared_in
from sutrolib.batch.plan import Job, Notebook
from sutrolib.core import paths, provenance
from sutrolib.core.dask_cluster import open_cluster


@pytest.fixture
def folder(tmp_path):
    write_notebook(tmp_path / "01_one.ipynb", FIND)
    write_notebook(tmp_path / "02_two.ipynb", FIND)
    return tmp_path


class Executed:
    """Stands in for papermill: notes what is run, and fails for n=2 until it is told otherwise."""

    def __init__(self):
        self.labels, self.failing = [], True

    def __call__(self, run):
        self.labels.append(run.job.label)
        error = "it failed" if self.failing and run.job.parameters.get("n") == 2 else ""
        return run.result(1.0, error, results={} if error else {"q": run.job.values["n"]})


def jobs_of(folder, *values):
    return batch.plan(batch.find_notebooks(folder), {}, {"n": list(values)})


def test_to_resume_skips_what_passed_and_runs_what_failed_or_is_new(folder):
    execute, run = Executed(), folder / "run"
    first = batch.run(jobs_of(folder, "1", "2"), Silent(), run, execute=execute)
    assert [o.passed for o in first] == [True, False, True, False]
    execute.labels.clear()
    execute.failing = False
    outcomes = batch.run(jobs_of(folder, "1", "2", "3"), Silent(), run, resume=True, execute=execute)
    assert execute.labels == ["01_one n=2", "01_one n=3", "02_two n=2", "02_two n=3"]
    assert sorted(o.label for o in outcomes) == [f"{name} n={n}" for name in ("01_one", "02_two") for n in (1, 2, 3)]
    assert all(o.passed for o in outcomes)
    numbers = {o.label: o.number for o in outcomes}
    assert {o.label: o.number for o in first}.items() <= numbers.items(), "no file is taken for another run's"
    assert len(set(numbers.values())) == 6
    assert len((run / "results.csv").read_text().splitlines()) == 7


def test_a_change_of_the_notebook_or_the_library_makes_a_run_another_one(folder, monkeypatch):
    execute, run = Executed(), folder / "run"
    batch.run(jobs_of(folder, "1"), Silent(), run, execute=execute)
    execute.labels.clear()
    write_notebook(folder / "02_two.ipynb", FIND, "n + 1")
    outcomes = batch.run(jobs_of(folder, "1"), Silent(), run, resume=True, execute=execute)
    assert execute.labels == ["02_two n=1"]
    assert [o.label for o in outcomes] == ["01_one n=1", "02_two n=1"]
    assert len(records.read_all(run)) == 3, "what the notebook was before is kept"
    assert len((run / "results.csv").read_text().splitlines()) == 3, "and is not in the table any more"
    execute.labels.clear()
    monkeypatch.setattr(provenance, "library", lambda: "another version")
    batch.run(jobs_of(folder, "1"), Silent(), run, resume=True, execute=execute)
    assert execute.labels == ["01_one n=1", "02_two n=1"]


def test_the_newest_record_is_that_of_the_last_command_where_the_clock_went_backwards(folder, monkeypatch):
    for day, version in ((3, "first"), (2, "second"), (1, "third")):
        monkeypatch.setattr(provenance, "now", lambda day=day: f"2026-01-0{day}T00:00:00.000000+00:00")
        monkeypatch.setattr(provenance, "library", lambda version=version: version)
        ran = batch.run(jobs_of(folder, "1"), Silent(), folder / "run", execute=Executed())
        assert records.read_newest(folder / "run") == ran
    assert [result.sequence for result in records.read_all(folder / "run")] == [1, 1, 2, 2, 3, 3]


def test_a_run_is_known_by_what_was_on_disk_when_it_began(folder):
    jobs = jobs_of(folder, "1")[:1]
    write_notebook(folder / "01_one.ipynb", "edited = 1", FIND)
    (outcome,) = batch.run(jobs, Silent(), folder / "run")
    assert outcome.passed
    library = provenance.library()
    assert outcome.identity == jobs_of(folder, "1")[0].identity(library) != jobs[0].identity(library)


def test_the_identity_is_of_all_parameters_and_of_the_cells_but_not_of_their_outputs(folder):
    (left_out,) = batch.plan(batch.find_notebooks(folder)[:1], {}, {})
    (given,) = batch.plan(batch.find_notebooks(folder)[:1], {"n": "1"}, {})
    assert left_out.identity("") == given.identity(""), "1 is the default"
    assert given.identity("") != jobs_of(folder, "2")[0].identity("")
    content = json.loads((folder / "01_one.ipynb").read_text())
    content["cells"][-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "seen"}]
    content["metadata"]["sutro"]["meter"] = False
    (folder / "01_one.ipynb").write_text(json.dumps(content))
    (again,) = batch.plan(batch.find_notebooks(folder)[:1], {}, {})
    assert (again.identity(""), again.notebook.meter, given.notebook.meter) == (given.identity(""), False, True)


def test_the_version_of_the_library_is_that_of_its_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "sutrolib" / "sub").mkdir(parents=True)
    seen = [provenance.library()]
    for name, content in (("a.py", "1"), ("sub/b.py", "1"), ("sub/b.py", "2"), ("notes.txt", "3")):
        (tmp_path / "sutrolib" / name).write_text(content)
        seen.append(provenance.library())
    assert len(set(seen[:4])) == 4
    assert seen[4] == seen[3], "what is no source does not count"


def test_what_was_interrupted_before_any_run_ended_can_be_resumed(folder):
    execute = Executed()

    class Interrupted(Silent):
        def job_started(self, run):
            raise KeyboardInterrupt

    assert batch.run(jobs_of(folder, "1"), Interrupted(), folder / "run", execute=execute) == []
    assert execute.labels == []
    assert len(batch.run(jobs_of(folder, "1"), Silent(), folder / "run", resume=True, execute=execute)) == 2


def test_two_commands_are_not_at_work_in_one_folder(folder):
    jobs, said = jobs_of(folder, "1"), []

    def meanwhile(run):
        begun = (folder / "run").stat().st_mtime_ns
        with pytest.raises(ValueError, match="another command is at work in"):
            batch.run(jobs, Silent(), folder / "run", execute=Executed())
        assert (folder / "run").stat().st_mtime_ns == begun, "what was refused has left no trace"
        said.append(run.job.label)
        return run.result(1.0)

    batch.run(jobs, Silent(), folder / "run", execute=meanwhile)
    assert len(said) == 2
    batch.run(jobs, Silent(), folder / "run", execute=Executed())


def test_equal_jobs_are_run_once(folder):
    execute = Executed()
    jobs = [*jobs_of(folder, "1", "1"), *jobs_of(folder, "1")]
    prepared = batch.prepare(jobs, folder / "run")
    assert (len(prepared.runs), prepared.repeated) == (2, 4)
    assert len(batch.run(jobs, Silent(), folder / "run", execute=execute)) == len(execute.labels) == 2


def test_resume_takes_the_newest_run_and_says_which(folder, monkeypatch, capsys):
    monkeypatch.setattr(paths, "RUNS", folder / "runs")
    found = batch.find_notebooks(folder)[:1]
    monkeypatch.setattr(batch, "find_notebooks", lambda: found)
    assert main(["run", "--resume"]) == 2
    assert "there is no run to resume in" in capsys.readouterr().err
    assert not (folder / "runs").exists()
    assert main(["run", "--resume", "-o", str(folder / "nowhere")]) == 2
    assert "leave out --resume to begin one there" in capsys.readouterr().err
    for name in ("20260101T000000Z", "20260201T000000Z"):
        batch.run(batch.plan(found, {}, {}), Silent(), folder / "runs" / name, execute=Executed())
    assert main(["run", "--resume"]) == 0
    said = capsys.readouterr().out
    assert f"Resuming {folder / 'runs' / '20260201T000000Z'}: 1 of 1 runs are done." in said.replace("\n", "")
    assert "1 of 1 passed" in said


def test_the_newest_run_is_the_one_that_was_recorded_last_whatever_its_name_and_that_has_a_record(folder, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", folder / "runs")
    jobs = jobs_of(folder, "1")
    batch.run(jobs, Silent(), folder / "runs" / "sweep", execute=Executed())
    batch.run(jobs, Silent(), folder / "runs" / "20260101T000000Z", execute=Executed())
    batch.prepare(jobs, folder / "runs" / "zzz")
    assert records.newest_batch().name == "20260101T000000Z"
    batch.run(jobs, Silent(), folder / "runs" / "sweep", execute=Executed())
    assert records.newest_batch().name == "sweep"


def test_what_a_killed_command_left_running_is_called_back_and_not_taken_for_the_next_ones(folder):
    jobs = jobs_of(folder, "1")[:1]
    (old,) = batch.prepare(jobs, folder / "run").runs
    old.attempts.mkdir(parents=True)
    old.attempt_file.touch()
    (new,) = batch.prepare(jobs, folder / "run", resume=True).runs
    assert new.attempt_file != old.attempt_file
    seen = []

    def look(run):
        seen.append((old.attempt_file.exists(), run.attempt_file.exists()))
        return run.result(1.0)

    batch.run(jobs, Silent(), folder / "run", execute=look)
    assert seen == [(False, True)]
    assert not (folder / "run" / "attempts").exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"identity": "x"}', "null"])
def test_a_damaged_record_counts_as_none(folder, damage):
    run, execute = folder / "run", Executed()
    batch.run(jobs_of(folder, "1")[:1], Silent(), run, execute=execute)
    (record,) = (run / "records").iterdir()
    record.write_text(damage)
    with pytest.warns(records.UnreadableRecord, match=f"{record.stem}.json was skipped"):
        batch.run(jobs_of(folder, "1")[:1], Silent(), run, resume=True, execute=execute)
    assert len(execute.labels) == 2
    assert len(records.read_all(run)) == 1


def test_a_record_that_speaks_for_another_run_or_leads_elsewhere_is_not_believed(folder):
    run = folder / "run"
    (outcome,) = batch.run(jobs_of(folder, "1")[:1], Silent(), run, execute=Executed())
    content = json.loads((run / "records" / f"{outcome.identity}.json").read_text())
    for changed in ({"identity": "f" * 64}, {"notebook": "../../elsewhere"}, {"number": "1"}, {"results": [1]}):
        (run / "records" / f"{outcome.identity}.json").write_text(json.dumps(content | changed))
        with pytest.warns(records.UnreadableRecord, match="was skipped"):
            assert records.read_all(run) == []


@pytest.mark.parametrize("name", ["../out", "a/b", "..\\out", "/etc/x"])
def test_no_output_leaves_the_folder_of_the_batch(tmp_path, name):
    with pytest.raises(ValueError, match="must not contain a path"):
        records.file_name(1, name)


def test_a_notebook_named_to_lead_elsewhere_is_written_into_its_folder(tmp_path):
    odd = dataclasses.replace(
        Notebook(tmp_path / "x" / "..ipynb", "t", "", "", declared_in("n: int = 1"), 1),
        path=tmp_path / "x" / ".." / "....ipynb",
    )
    (run,) = batch.prepare([Job(odd, {})], tmp_path / "run").runs
    assert run.output.resolve().parent == (tmp_path / "run").resolve()
    assert run.attempt_file.resolve().parent.parent == (tmp_path / "run" / "attempts").resolve()


HOSTILE = [
    '__import__("os").system("touch {path}")',
    "'+__import__(\"os\").system('touch {path}')+'",
    '"); __import__("os").system("touch {path}"); ("',
    "\\\"; import os; os.system('touch {path}') #",
    "line\n__import__('os').system('touch {path}')",
    "{{n}} {path} %(n)s $n",
]


@pytest.mark.parametrize(
    "on_dask", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["in this process", "on Dask"]
)
def test_a_parameter_that_is_code_arrives_as_the_text_it_is(tmp_path, on_dask):
    texts = [text.replace("{path}", str(tmp_path / f"made-{number}")) for number, text in enumerate(HOSTILE)]
    show = f"import json, pathlib\npathlib.Path({str(tmp_path)!r}, f'seen-{{place}}').write_text(json.dumps(text))"
    show += END
    write_notebook(tmp_path / "01_text.ipynb", show, parameters='text: str = "default"\nplace: int = 0')
    (notebook,) = batch.find_notebooks(tmp_path)
    jobs = [job for i, text in enumerate(texts) for job in batch.plan([notebook], {"text": text, "place": str(i)}, {})]
    if on_dask:
        with open_cluster(1, None) as cluster:
            outcomes = batch.run(jobs[:2], Silent(), tmp_path / "run", cluster=cluster)
    else:
        outcomes = batch.run(jobs, Silent(), tmp_path / "run")
    assert [o.error for o in outcomes] == [""] * len(outcomes)
    seen = [json.loads((tmp_path / f"seen-{i}").read_text()) for i in range(len(outcomes))]
    assert seen == texts[: len(outcomes)]
    assert list(tmp_path.glob("made*")) == []


@pytest.mark.parametrize(
    "name",
    ["{n} {nobody}", "$HOME ${HOME} $$ %(n)s", "Zürich 東京", 'it\'s a "quote"', "a\nline", "-p n=2; touch taken"],
)
def test_whatever_a_folder_is_called_it_is_only_a_name(tmp_path, name, monkeypatch):
    place = tmp_path / name
    place.mkdir()
    monkeypatch.setenv("SUTRO_LEDGER", str(place / "ledger"))
    there = "import os, pathlib\nfor name in ('SUTRO_FIGURES', 'SUTRO_LEDGER', 'SUTRO_RUN_LEDGER'):\n"
    there += "    pathlib.Path(os.environ[name], 'here').mkdir(parents=True)"
    write_notebook(place / "01_one.ipynb", there, FIND)
    (outcome,) = batch.run(jobs_of(place, "3"), Silent(), place / "run")
    assert (outcome.error, outcome.finding) == ("", "n is 3")
    assert (place / "run" / "001-01_one.ipynb").exists()
    assert all((place / where / "here").is_dir() for where in ("run/figures", "ledger", "run"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
