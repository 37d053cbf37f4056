"""Every panel, worked by keyboard in a real JupyterLab in a real headless browser."""

import json
import re

import pytest
from lab import CHROMIUM, DRIVER, Page, Server, start_browser
from selenium.webdriver.common.keys import Keys

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not both installed"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = Server(tmp_path_factory.mktemp("lab"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def notebook(server, browser):
    """Opens a notebook by its name, with as few repeats as it allows, and runs all its cells."""
    pages = []

    def opened(name, **parameters):
        page = Page(server, browser, name)
        pages.append(page)
        page.open(**parameters)
        page.run_all()
        return page

    yield opened
    errors, too_wide = [], []
    for page in pages:
        try:
            too_wide += page.too_wide() if page.ran else []
        finally:
            errors += page.close()
    assert not errors, json.dumps(errors, indent=1)
    assert not too_wide


def test_the_selectors_of_the_cube_answer_to_the_keyboard(notebook):
    page = notebook("00_the_cube")
    assert page.tab_through("process", 3) == ["process", "metric", "problem"]
    assert "metric: ard -> dmd" in page.text
    before = page.pictures
    page.press("metric", Keys.ARROW_DOWN)
    page.sees("metric: dmd -> cache-energy")
    page.sees_change(before)


def test_a_run_beside_the_baseline_can_be_cancelled_and_its_finished_seeds_are_kept(notebook, server):
    page = notebook("10_baseline", runs=3)
    page.press("candidate", Keys.ARROW_DOWN)
    page.sees("extra_samples, samples")  # a field of the model that was chosen
    before = server.kept_runs()
    page.type("seeds", "90")
    page.press("Run both", Keys.SPACE)
    page.sees("Seed 0 (1 of 90), ")
    page.sees_change([])
    page.sees_change(page.pictures)
    page.press("Cancel", Keys.SPACE)
    page.sees(" of 90 seeds are finished and kept.")
    finished = int(re.search(r"Cancelled. (\d+) of 90 seeds", page.text)[1])
    assert 0 < finished < 90
    assert server.kept_runs() - before in (2 * finished, 2 * finished + 1)  # of both, or of the baseline alone
    assert page.control("Run both").is_enabled()


def test_a_step_by_hand_can_be_cancelled_and_tried_again(notebook):
    page = notebook("11_one_change_at_a_time", pairs=5, n_train=200, n_bits=10)
    assert page.tab_through("field", 4) == ["field", "value", "expected", "Try"]
    page.press("field", Keys.ARROW_DOWN)
    page.type("value", "1")
    page.press("Try", Keys.SPACE)
    page.sees("first write what you expect")
    page.type("expected", "a rate of 1 learns faster")
    page.press("Try", Keys.SPACE)
    page.sees("Measuring the change and the best so far on 5 seeds.")
    page.press("Cancel", Keys.SPACE)
    page.sees("Cancelled: the step is dropped")
    page.press("Try", Keys.SPACE)
    page.sees("a rate of 1 learns faster")
    page.sees("lr = 1")


def test_a_search_can_be_started_paused_continued_and_ended(notebook):
    page = notebook("12_search", joules=10.0, searches=1, pairs=1)
    assert page.tab_through("process", 4) == ["process", "trials", "seed", "Start"]
    page.type("trials", "900")
    page.press("Start", Keys.SPACE)
    page.sees_change([])
    page.sees_change(page.pictures)
    page.press("Pause", Keys.SPACE)
    page.sees("trials, which are kept.")
    paused = trials_of(page)
    before = page.pictures
    page.press("Continue", Keys.SPACE)
    page.sees_change(before)
    page.press("Pause", Keys.SPACE)
    page.sees("trials, which are kept")
    assert trials_of(page) > paused > 0


def trials_of(page):
    return int(re.search(r"Paused after (\d+) trials", page.text)[1])


def test_the_cache_of_the_reuse_histogram_moves_by_keyboard_and_misses_and_joules_follow(notebook):
    page = notebook("21_data_movement")
    assert page.tab_through("program", 3) == ["program", "machine", "cache"]
    page.sees("miss a cache of 8 KiB (the machine's own is 1 MiB)")
    assert page.control("cache").get_attribute("aria-valuetext") == "8 KiB"
    before = page.pictures
    page.press("cache", *[Keys.ARROW_RIGHT] * 3)
    page.sees("miss a cache of 64 KiB (the machine's own is 1 MiB)")
    page.sees_change(before)
    assert page.control("cache").get_attribute("aria-valuetext") == "64 KiB"
    before = page.pictures
    page.press("machine", *[Keys.ARROW_DOWN] * 3)
    page.sees("miss a cache of 40 MiB (the machine's own)")
    page.sees_change(before)
    before = page.pictures
    page.press("program", Keys.ARROW_DOWN)
    page.sees_change(before)


def test_a_run_of_the_touch_test_can_be_cancelled_and_a_whole_one_is_recorded_and_drawn(notebook):
    page = notebook("23_warm_to_the_touch", rounds=1, run_s=20.0)  # 5 % of it is what a busy machine may end too late
    page.type("before", "30")
    assert page.tab_through("before", 2) == ["before", "Start the run"]
    page.press_here(Keys.SPACE)
    page.sees("Running: ")
    page.press_here(Keys.TAB)
    assert page.focused == "Cancel"
    page.press_here(Keys.SPACE)
    page.sees("Please repeat: the run was cancelled.")
    assert "Round 1 of 1, first run" in page.text
    for slot, after in (("first", "34.5"), ("second", "31")):
        page.sees(f"Round 1 of 1, {slot} run")
        before = page.pictures
        for _ in range(8):  # a run that a busy machine ended too late is to be repeated, and the panel says so
            page.type("before", "30")
            page.press("Start the run", Keys.SPACE)
            page.sees("Running: ")
            page.sees_no_more("Running: ")
            if "too late" not in page.text:
                break
        page.sees("Read the device now.")
        page.type("after", after)
        page.press("Record", Keys.SPACE)
        page.sees_change(before)
    page.sees("readings = '30 34.5; 30 31'")


def test_the_frontier_shows_the_axes_and_the_entry_that_the_keyboard_chose(notebook):
    page = notebook("40_final_exam")
    assert page.tab_through("exam", 4) == ["exam", "cost", "score", "entry"]
    page.sees("GPT from counts: passed.")
    for name in ("cost", "score", "entry"):
        before = page.pictures
        page.press(name, Keys.ARROW_DOWN)
        page.sees_change(before)
    page.sees("distilled GPT: passed.")
    before = page.pictures
    page.press("exam", Keys.ARROW_DOWN)
    page.sees("Kneser-Ney 4-gram: passed.")
    page.sees_change(before)


def test_the_slides_of_the_meeting_are_chosen_reordered_and_shown_by_keyboard(notebook, server):
    page = notebook("50_weekly_meeting")
    page.press("Preview", Keys.SPACE)
    page.sees(" slides, below; scroll through them.")
    chosen = int(re.search(r"(\d+) slides, below", page.text)[1])
    page.press(page.names("checkbox")[0], Keys.SPACE)
    page.press("Preview", Keys.SPACE)
    page.sees(f"{chosen - 1} slides, below; scroll through them.")
    page.press("Move down", Keys.SPACE)
    page.sees(f"Slide 2 of {chosen}: ")
    page.press("Export", Keys.SPACE)
    page.sees("Written to ")
    (deck,) = (server.folder / "data" / "decks").iterdir()
    assert deck.stat().st_size > 1000
