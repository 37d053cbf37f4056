"""The lock file holds what requirements.txt asks for, with hashes, and says nothing of where it was made."""

import re

from sutrolib.core.paths import ROOT

LOCK = (ROOT / "tests" / "requirements.lock").read_text(encoding="utf-8")
NOT_LOCKED = {"torch"}  # another file for each graphics card


def locked():
    """The version of each package, and how many hashes it has."""
    found = re.findall(r"^([a-z0-9.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", LOCK, re.M)
    return {name: (version, hashes.count("--hash")) for name, version, hashes in found}


def test_every_line_of_the_lock_file_is_a_package_with_its_hashes():
    lines = [line for line in LOCK.splitlines() if not line.startswith(("#", "    --hash="))]
    assert len(lines) == len(locked()) > 150
    assert list(locked()) == sorted(locked())


def test_what_is_pinned_is_locked_at_the_same_version():
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)(?!.*sys_platform)", (ROOT / "requirements.txt").read_text(), re.M))
    assert len(pinned) > 25
    assert {name for name in pinned if name not in locked()} == NOT_LOCKED
    assert {name: locked()[name][0] for name in pinned if name not in NOT_LOCKED} == {
        name: version for name, version in pinned.items() if name not in NOT_LOCKED
    }


def test_the_lock_file_names_no_host_and_no_folder():
    assert re.findall(r"https?:|file:|--index|--find-links|(?:^|\s)/\w+", LOCK) == []
    assert "torch" not in locked()


def test_the_whole_check_installs_by_the_lock_file():
    check = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "--require-hashes --no-deps -r tests/requirements.lock\n" in check
