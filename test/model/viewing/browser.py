"""Pages opened from disk in a real browser, Debian's Chromium without a window."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

BROWSER = next((found for name in ("chromium-headless-shell", "chromium") if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium: tools/system_packages.sh browser, on Debian")
LIMIT_S = 300


def results_of(page: Path, script: str, fragment: str = "") -> dict:
    """What a script leaves in `results` after it ran at the end of the page, and the errors that the page made."""
    tried = page.with_name(f"tried_{page.name}")
    errors = "<script>const errors = []; window.onerror = (message) => { errors.push(message); };</script>"
    last = f"""<script>window.addEventListener("load", async () => {{
      const results = {{}};
      await Promise.all([...document.images].map((picture) => picture.decode()));
      {script}
      document.body.insertAdjacentHTML("beforeend", "<pre id=results></pre>");
      document.getElementById("results").textContent = JSON.stringify({{ ...results, errors }});
    }});</script>"""
    text = page.read_text()
    tried.write_text(text.replace("<head>", f"<head>{errors}", 1).replace("</body>", f"{last}</body>"))
    printed = _run("--virtual-time-budget=2000", "--dump-dom", f"{tried.as_uri()}{fragment}")
    found = re.search(r'<pre id="results">(.*?)</pre>', printed, re.DOTALL)
    assert found, printed[-2000:]
    return json.loads(unescape(found[1]))


def screenshot(page: Path, picture: Path, fragment: str = "") -> None:
    _run(
        "--virtual-time-budget=2000", f"--screenshot={picture}", "--window-size=1200,900", f"{page.as_uri()}{fragment}"
    )


def _run(*arguments: str) -> str:
    # Its sandbox needs rights that containers do not give; names are not looked up, so that a page that asks for the
    # network does not get it.
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout
