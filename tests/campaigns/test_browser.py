"""A real browser shows the report of a run, without a network."""

import shutil
import subprocess

import pytest

from tests.tools.test_report import PICTURES, made_report

BROWSERS = 'chromium', 'chromium-browser', 'google-chrome', 'chrome'
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync')
FLAGS += ('--disable-background-networking', '--disable-component-update')
FLAGS += ('--host-resolver-rules=MAP * ~NOTFOUND',)
SCRIPT = """<script>
const faults = [];
addEventListener('error', event => faults.push(event.message || event.target.src), true);
onload = () => document.title = [
  [...document.images].filter(i => i.complete && i.naturalWidth > 100 && i.width > 100).length,
  'pictures of',
  document.images.length + ';',
  document.querySelectorAll('h2').length,
  'sections;',
  document.documentElement.scrollWidth <= innerWidth ? 'fits' : 'too wide;',
  ...faults,
].join(' ')
</script>"""
"""Says in the page's title what is shown."""


@pytest.mark.campaign
@pytest.mark.skipif(BROWSER is None, reason='needs a browser: apt-get install chromium')
def test_a_browser_shows_all_of_a_report(run, tmp_path, streets):
    text = made_report(run, tmp_path, streets)
    copy = tmp_path / 'copy.html'
    copy.write_text(text.replace('<head>', f'<head>{SCRIPT}', 1))
    assert SCRIPT in copy.read_text()
    shown = browse(copy, '--dump-dom').stdout
    assert f'<title>{PICTURES} pictures of {PICTURES}; 8 sections; fits</title>' in shown
    picture = tmp_path / 'report.png'
    browse(copy, f'--screenshot={picture}', '--window-size=1200,4000')
    assert picture.stat().st_size > 50_000


def browse(page, *wishes):
    command = BROWSER, *FLAGS, f'--user-data-dir={page.parent / "profile"}', *wishes
    return subprocess.run(
        [*command, f'file://{page}'], capture_output=True, text=True, timeout=120, check=True
    )
