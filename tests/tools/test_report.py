"""The report of a run: one file with all that it shows."""

import re

from tests.tools.conftest import write_config

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
PICTURES = 6


def test_a_report_holds_all_that_it_shows(run, tmp_path, streets):
    text = made_report(run, tmp_path, streets)
    assert re.findall('<h2>(.*?)</h2>', text) == list(HEADINGS)
    assert text.count('<img ') == PICTURES
    assert all(source.startswith('data:image/') for source in re.findall(r'src="(.{12})', text))
    assert not re.search(r'(href|src)="(?!data:|#)', text)
    assert '<th>iterations</th><td>2 of 2</td>' in text
    assert 'iter_2.pth' in text


def made_report(run, folder, streets):
    """Train for two iterations, and return the report."""
    own = f'visualizer = dict(name={folder.name!r})\n'  # mmengine keeps one of each name a process
    config = write_config(folder, streets, own)
    settings = '--cfg-options', 'train_cfg.val_interval=2', 'default_hooks.logger.interval=1'
    for arguments in (
        ('train', config, '--pictures', 1, '--work-dir', 'run', *settings),
        ('report', 'run'),
    ):
        outcome = run(*arguments)
        assert outcome.status == 0, outcome.err
    return (folder / 'run/report.html').read_text()


def test_an_empty_work_dir_is_a_sentence(run, tmp_path):
    outcome = run('report', tmp_path)
    assert (outcome.status, outcome.err.count('\n')) == (2, 1)
    assert 'holds no config: it is not the work dir of a training run' in outcome.err
    assert not list(tmp_path.iterdir())
