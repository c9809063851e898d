"""The report of a run: one file, shown by a real browser."""

import re
import shutil
import subprocess

import pytest

from tests.tools.conftest import write_config

BROWSER = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('chrome')
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync')
FLAGS += ('--disable-background-networking', '--disable-component-update')
HEADINGS = (
    'Summary',
    'Losses',
    'Validations',
    'IoU by class, last evaluation',
    'Memory of one training step',
    'Partition',
    'Predictions and reconstructions',
    'Config',
)


def test_a_report_holds_all_that_it_shows(run, tmp_path, streets):
    config = write_config(tmp_path, streets, "visualizer = dict(name='report')\n")
    settings = '--cfg-options', 'train_cfg.val_interval=2', 'default_hooks.logger.interval=1'
    for arguments in (
        ('train', config, '--pictures', 1, '--work-dir', 'run', *settings),
        ('report', 'run'),
    ):
        outcome = run(*arguments)
        assert outcome.status == 0, outcome.err
    text = (tmp_path / 'run/report.html').read_text()
    assert re.findall('<h2>(.*?)</h2>', text) == list(HEADINGS)
    assert text.count('<img ') == 6
    assert all(source.startswith('data:image/') for source in re.findall(r'src="(.{12})', text))
    assert '<th>iterations</th><td>2 of 2</td>' in text
    assert 'iter_2.pth' in text
    if BROWSER is None:
        pytest.skip('whether a browser shows its pictures needs Chromium: apt install chromium')
    assert '<title>6 pictures</title>' in browsed(text, tmp_path)


def browsed(text, folder):
    """Load a page that counts the pictures it shows, and return what became of it."""
    script = (
        '<script>onload = () => document.title = '
        '[...document.images].filter(i => i.naturalWidth > 100).length + " pictures"</script>'
    )
    (folder / 'copy.html').write_text(text.replace('</body>', f'{script}</body>'))
    command = (BROWSER, *FLAGS, f'--user-data-dir={folder / "profile"}', '--dump-dom')
    shown = subprocess.run(
        [*command, f'file://{folder / "copy.html"}'],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return shown.stdout


def test_an_empty_work_dir_is_a_sentence(run, tmp_path):
    outcome = run('report', tmp_path)
    assert (outcome.status, outcome.err.count('\n')) == (2, 1)
    assert 'holds no config: it is not the work dir of a training run' in outcome.err
    assert not list(tmp_path.iterdir())
