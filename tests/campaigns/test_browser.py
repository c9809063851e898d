"""A real browser shows the report of a run, without a network."""

import shutil
import subprocess

import pytest

from tests.parallel.test_killed_process import train
from tests.tools.conftest import write_config
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
    check_page(tmp_path, made_report(run, tmp_path, streets), PICTURES, 8)


@pytest.mark.campaign
@pytest.mark.skipif(BROWSER is None, reason='needs a browser: apt-get install chromium')
def test_a_browser_shows_what_each_process_of_a_pipeline_did(run, tmp_path, streets):
    logs = 'train_cfg.update(max_iters=6)\ndefault_hooks.update(logger=dict(interval=2))\n'
    config = write_config(tmp_path, streets, logs)
    outcome = train(config, '--placement', 'pipeline')
    assert outcome.returncode == 0, outcome.stderr
    (log,) = (tmp_path / 'run').glob('*/*.log')
    said = log.read_text()
    assert 'the 2 processes of a pipeline load the same batches: they waited for' in said
    assert said.count('measured shares of the time, by local module: ') == 1
    outcome = run('report', 'run')
    assert outcome.status == 0, outcome.err
    text = (tmp_path / 'run/report.html').read_text()
    assert 'Measured from iteration 2 to 6.' in text
    check_page(tmp_path, text, PICTURES, 9)  # those of no validation images


def check_page(tmp_path, text, num_pictures, num_sections):
    copy = tmp_path / 'copy.html'
    copy.write_text(text.replace('<head>', f'<head>{SCRIPT}', 1))
    assert SCRIPT in copy.read_text()
    shown = browse(copy, '--dump-dom').stdout
    pictures = f'{num_pictures} pictures of {num_pictures}'
    assert f'<title>{pictures}; {num_sections} sections; fits</title>' in shown
    picture = tmp_path / 'report.png'
    browse(copy, f'--screenshot={picture}', '--window-size=1200,4000')
    assert picture.stat().st_size > 50_000


def browse(page, *wishes):
    command = BROWSER, *FLAGS, f'--user-data-dir={page.parent / "profile"}', *wishes
    return subprocess.run(
        [*command, f'file://{page}'], capture_output=True, text=True, timeout=120, check=True
    )
