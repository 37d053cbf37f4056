"""The cube's selectors, driven by keyboard in a real JupyterLab in a real headless browser."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from sutrolib.places import NOTEBOOKS, ROOT

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not both installed"),
]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A JupyterLab on a copy of the checkout, so that its autosave changes nothing here; yields its address."""
    shutil.copytree(ROOT / "sutrolib", tmp_path / "sutrolib")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(NOTEBOOKS / "00_the_cube.ipynb", tmp_path / "notebooks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", "--LabApp.news_url=None"]
    # Jupyter keeps settings and workspaces of its own: fresh ones here.
    homes = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env=os.environ | homes)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(lambda: _answers(f"{address}/api?token={token}"), "JupyterLab did not answer", 60)
            yield f"{address}/lab/tree/notebooks/00_the_cube.ipynb?token={token}"
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture
def browser(tmp_path):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--window-size=1300,2600",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "SEVERE"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    if os.environ.get("SUTRO_SCREENSHOT"):
        driver.save_screenshot(os.environ["SUTRO_SCREENSHOT"])
    driver.quit()


def test_the_selectors_of_the_cube_answer_to_the_keyboard(lab, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def selectors():
        return browser.find_elements(By.CSS_SELECTOR, ".jupyter-widgets select")

    def explorer_text():
        return browser.find_element(By.CSS_SELECTOR, ".jupyter-widgets.widget-vbox").text

    def picture():
        images = browser.find_elements(By.CSS_SELECTOR, ".jupyter-widgets.widget-vbox img")
        return images[0].get_attribute("src") if images else ""

    def ready():
        with contextlib.suppress(Exception):
            for button in browser.find_elements(By.XPATH, "//div[contains(@class,'jp-Dialog')]//button"):
                button.click()
        return browser.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell")

    browser.get(lab)
    _wait(ready, "the notebook did not open", 90)
    _wait(lambda: "| Idle" in browser.find_element(By.TAG_NAME, "body").text, "the kernel did not start", 120)
    _run_all(browser)
    _wait(lambda: len(selectors()) == 3 and picture(), "the three selectors did not appear", 120)
    # Until its last cell has run, the notebook moves the focus.
    _wait(lambda: "Sign of life" in browser.find_element(By.TAG_NAME, "body").text, "the run did not end", 120)
    assert "metric: ard -> dmd" in explorer_text()
    before = picture()
    metric = selectors()[1]
    metric.send_keys(Keys.ARROW_DOWN)
    _wait(lambda: "metric: dmd -> cache-energy" in explorer_text(), "the table did not follow the selector", 30)
    _wait(lambda: picture() != before, "the picture did not follow the selector", 30)
    errors = [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]
    assert not errors, json.dumps(errors, indent=1)


def _run_all(browser):
    from selenium.webdriver.common.by import By

    def click(selector, text):
        found = [e for e in browser.find_elements(By.CSS_SELECTOR, selector) if e.text == text]
        if found:
            found[0].click()
        return bool(found)

    _wait(lambda: click(".lm-MenuBar-itemLabel", "Run"), "no Run menu", 30)
    _wait(lambda: click(".lm-Menu-itemLabel", "Run All Cells"), "no Run All Cells", 30)


def _answers(url):
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status == 200
    return False


def _wait(condition, otherwise, limit):
    """Wait until ``condition`` is true, and fail with ``otherwise`` after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if condition():
                return
        time.sleep(0.3)
    pytest.fail(otherwise)
