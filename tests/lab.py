"""A real JupyterLab on loopback, on a copy of the checkout, and its notebooks in a real headless Chromium."""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sutrolib.core.paths import DATA, NOTEBOOKS, ROOT
from sutrolib.measurement.ledger import Ledger

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
WIDTH, HEIGHT = 1300, 1600  # of the window
# A folder: a picture of every panel, as its test left it, goes there.
SCREENSHOTS = os.environ.get("SUTRO_SCREENSHOT")


class Server:
    """JupyterLab on a copy of the checkout in ``folder``, so that its autosave changes nothing here."""

    def __init__(self, folder):
        self.folder, self.token = folder, secrets.token_hex(16)
        shutil.copytree(ROOT / "sutrolib", folder / "sutrolib", ignore=shutil.ignore_patterns("__pycache__"))
        for kept in ("exam", "results", "shakespeare"):
            if (DATA / kept).exists():
                shutil.copytree(DATA / kept, folder / "data" / kept)
        (folder / "notebooks").mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={self.port}"]
        command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}", "--LabApp.news_url=None"]
        command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        settings = folder / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False}  # or it asks, and that covers a corner of the page
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        # Jupyter keeps settings and workspaces of its own: fresh ones here. No ledger but that of the copy.
        homes = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SUTRO_")} | homes
        environment |= {"PYTHONPATH": str(folder)}  # the copy's library, and with it the copy's ledger
        environment |= {"OMP_NUM_THREADS": "1"}  # more of them wait for each other if other tests compute too
        with (folder / "lab.log").open("w") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
        try:
            wait(self._answers, "JupyterLab did not answer", 60)
        except BaseException:  # the caller has no server yet that it could stop
            self.stop()
            raise

    def write(self, name, parameters):
        """A copy of this notebook without its outputs, with some of its parameters changed."""
        notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for cell in code:
            cell["outputs"], cell["execution_count"] = [], None
        source = "".join(code[0]["source"])
        for parameter, value in parameters.items():
            source, found = re.subn(rf"(?m)^({parameter}: \w+ = ).*?(  #)", rf"\g<1>{value}\2", source)
            assert found == 1, f"{name} has no parameter {parameter}"
        code[0]["source"] = source
        (self.folder / "notebooks" / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")

    def address(self, name):
        """A notebook in a workspace of its own: another one would open what was open in it before."""
        return f"http://127.0.0.1:{self.port}/lab/workspaces/{name}/tree/notebooks/{name}.ipynb?token={self.token}"

    def kept_runs(self):
        """How many measurements the ledger of the copy holds."""
        return len(Ledger(self.folder / "data" / "runs" / "interactive").measurements())

    def end_kernels(self):
        for kernel in json.loads(self._ask("GET", "kernels")):
            self._ask("DELETE", f"kernels/{kernel['id']}")

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self):
        return self._ask("GET", "status")

    def _ask(self, method, path):
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()


def start_browser(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        f"--window-size={WIDTH},{HEIGHT}",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "SEVERE"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


class Page:
    """One notebook in JupyterLab, and the panel in it."""

    def __init__(self, server, browser, name):
        self.server, self.browser, self.name = server, browser, name
        self.ran = False

    def open(self, **parameters):
        self.server.write(self.name, parameters)
        self.browser.get(self.server.address(self.name))
        wait(self._ready, "the notebook did not open", 90)
        wait(lambda: "| Idle" in self._text("body"), "the kernel did not start", 120)

    def run_all(self, limit=180):
        """Run > Run All Cells, and wait for the last one."""
        wait(lambda: self._click(".lm-MenuBar-itemLabel", "Run"), "no Run menu", 30)
        wait(lambda: self._click(".lm-Menu-itemLabel", "Run All Cells"), "no Run All Cells", 30)
        # Until its last cell has run, the notebook moves the focus.
        wait(lambda: "Sign of life" in self._text(".jp-Notebook") or self._failed(), "the run did not end", limit)
        assert not self._failed(), self._failed()
        wait(lambda: self.panel, "the panel did not appear", 30)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.panel)
        self.ran = True

    @property
    def panel(self):
        return self.browser.find_element(By.CSS_SELECTOR, ".sutro-panel")

    @property
    def text(self):
        return self.panel.text

    @property
    def pictures(self):
        """The source of every picture of the panel."""
        return [image.get_attribute("src") for image in self.panel.find_elements(By.TAG_NAME, "img")]

    def control(self, name):
        """The control that a screen reader calls so, once it is there and can be used."""
        found = []
        wait(lambda: found.extend(self._usable(name)) or found, f"no control {name!r} to use", 15, lambda: self.text)
        return found[0]

    def _usable(self, name):
        for control in self.panel.find_elements(By.CSS_SELECTOR, "select, input, button, textarea, [role=slider]"):
            # What is out of view has no name there, and cells above that are still drawn push the panel out of it.
            self.browser.execute_script("arguments[0].scrollIntoView({block: 'nearest'})", control)
            if control.get_attribute("role") == "slider":  # its name comes with the focus
                self.browser.execute_script("arguments[0].focus({preventScroll: true})", control)
            if control.accessible_name == name and control.is_enabled():
                yield control

    def names(self, role):
        """The names of all controls of this role."""
        return [c.accessible_name for c in self.panel.find_elements(By.TAG_NAME, "input") if c.aria_role == role]

    def press(self, name, *keys):
        self.control(name).send_keys(*keys)

    def type(self, name, text):
        """Type over what stands in a field."""
        self.press(name, Keys.CONTROL, "a")
        self.press(name, text)

    def tab_through(self, first, count):
        """The names of ``count`` controls in the order in which the tab key comes to them, from ``first`` on."""
        self.browser.execute_script("arguments[0].focus()", self.control(first))
        names = [first]
        for _ in range(count - 1):
            self.press_here(Keys.TAB)
            names.append(self.focused)
        return names

    @property
    def focused(self):
        """The name of the control that has the focus."""
        return self.browser.switch_to.active_element.accessible_name

    def press_here(self, key):
        """Press a key wherever the focus is."""
        webdriver.ActionChains(self.browser).send_keys(key).perform()

    def sees(self, words, limit=60):
        """Wait for these words in the panel."""
        wait(lambda: words in self.text, f"the panel never said {words!r}", limit, lambda: self.text)

    def sees_no_more(self, words, limit=60):
        """Wait until these words are gone from the panel."""
        wait(lambda: words not in self.text, f"the panel went on saying {words!r}", limit, lambda: self.text)

    def sees_change(self, before, limit=60):
        """Wait for other pictures than those ``before``, each with words for whoever does not see it."""
        wait(lambda: self.pictures and self.pictures != before, "the figure did not follow", limit)
        assert all(image.get_attribute("alt") for image in self.panel.find_elements(By.TAG_NAME, "img"))

    def too_wide(self):
        """What of the panel is cut off at its right."""
        found = []
        for element in [self.panel, *self.panel.find_elements(By.CSS_SELECTOR, "img, table, select, button, input")]:
            right, edge = self.browser.execute_script(
                "const ends = (element) => element.getBoundingClientRect().right;"
                "return [ends(arguments[0]), ends(arguments[0].closest('.jp-OutputArea-output'))]",
                element,
            )
            if right > edge + 1:
                found.append(f"{element.tag_name} {element.text[:40]!r} ends at {right:.0f} and the page at {edge:.0f}")
        return found

    def close(self):
        """A picture of the panel, the errors in the console, and an end to the kernel, whatever else went wrong."""
        try:
            self._picture()
            return [entry for entry in self.browser.get_log("browser") if "favicon" not in entry["message"]]
        finally:
            try:
                self.browser.get("about:blank")
            finally:
                self.server.end_kernels()

    def _picture(self):
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.browser.set_window_size(WIDTH, 3 * HEIGHT)  # the whole panel, however long
            with contextlib.suppress(Exception):
                self.panel.screenshot(str(Path(SCREENSHOTS) / f"{self.name}.png"))
            self.browser.set_window_size(WIDTH, HEIGHT)
            self.browser.save_screenshot(str(Path(SCREENSHOTS) / f"{self.name}_page.png"))

    def _text(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector).text

    def _ready(self):
        for button in self.browser.find_elements(By.CSS_SELECTOR, ".jp-Dialog button.jp-mod-accept"):
            button.click()
        return self.browser.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell")

    def _failed(self):
        """The traceback of a cell that failed."""
        outputs = self.browser.find_elements(By.CSS_SELECTOR, "[data-mime-type='application/vnd.jupyter.stderr']")
        return "\n".join(output.text for output in outputs if "Traceback (most recent call last)" in output.text)

    def _click(self, selector, text):
        found = [e for e in self.browser.find_elements(By.CSS_SELECTOR, selector) if e.text == text]
        if found:
            found[0].click()
        return bool(found)


def wait(condition, otherwise, limit, more=lambda: ""):
    """Wait until ``condition`` is true, and fail with ``otherwise`` after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if condition():
                return
        time.sleep(0.2)
    pytest.fail(f"{otherwise} within {limit} s {more()}")
