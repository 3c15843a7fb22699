"""Pages as a browser shows them: no sideways scrolling on a phone, nothing that axe finds serious.

They need Chromium on PATH.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from reporting.comparing.front import Point, judged
from reporting.comparing.page import comparison_page, plan_page
from reporting.html import render
from reporting.report import parse_report
from tests.unit.test_comparing_output import dearer, planned, run
from tests.unit.test_reporting_output import sample

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
AXE = resources.files("axe_playwright_python") / "axe.min.js"
PHONE_PX = 360

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium on PATH")


def pages() -> dict[str, str]:
    points = judged([Point("own", 80, planned().usd, "chosen"), Point("other", 90, planned().usd)])
    return {
        "plan": plan_page(planned(), "It is so.", points),
        "comparison": comparison_page([planned(), dearer()]),
        "run": comparison_page([planned(), dearer(), run()]),
        "report": render(parse_report(sample())),
    }


def unfolded(page: str) -> str:
    return re.sub(r"<details( class=\"tree\")?>", r"<details\1 open>", page)


def answer(folder: Path, page: str, *options: str) -> Any:
    """Return what a page's script leaves as JSON in its `<pre id="answer">`."""
    path = folder / "page.html"
    path.write_text(page)
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *options]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=60000"]
    done = subprocess.run(
        [*command, "--dump-dom", f"file://{path}"],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def with_script(page: str, script: str) -> str:
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    return free.replace("</body>", f"<script>{script}</script></body>")


def leave(value: str) -> str:
    """Write the JavaScript that leaves a value as the page's answer."""
    return (
        "const pre = document.createElement('pre'); pre.id = 'answer';"
        f"pre.textContent = JSON.stringify({value}); document.body.replaceChildren(pre);"
    )


@pytest.mark.parametrize("which", pages())
def test_a_page_does_not_scroll_sideways_on_a_phone(tmp_path: Path, which: str) -> None:
    phone = html.escape(unfolded(pages()[which]))
    frame = f'<iframe style="border:0;width:{PHONE_PX}px;height:800px" srcdoc="{phone}"></iframe>'
    script = (
        "onload = () => { const root = document.querySelector('iframe').contentDocument"
        f".documentElement; {leave('[root.scrollWidth, root.clientWidth]')} }}"
    )
    needs, has = answer(tmp_path, with_script(f"<html><body>{frame}</body></html>", script))
    assert needs <= has


@pytest.mark.parametrize("scheme", ["0", "1"], ids=["dark", "light"])
@pytest.mark.parametrize("which", pages())
def test_axe_finds_nothing_serious(tmp_path: Path, which: str, scheme: str) -> None:
    found = "found.violations.map(each => [each.impact, each.id, each.nodes[0].html])"
    script = AXE.read_text().replace("</script>", "<\\/script>")
    script += f";axe.run(document).then(found => {{ {leave(found)} }})"
    page = with_script(unfolded(pages()[which]), script)
    violations = answer(tmp_path, page, f"--blink-settings=preferredColorScheme={scheme}")
    assert [each for each in violations if each[0] in ("serious", "critical")] == []
