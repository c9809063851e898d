"""The demo on tiny scenes: what a person gets from it, the first time and after."""

import re

import pytest
from PIL import Image

TINY = '--train', 4, '--val', 2, '--size', 64, 128, '--iters', 4
WAYS = {'e2e-s0': 5, 'infopro-k2-s0': 6}
"""Pictures in the report of each: only local modules have a partition."""

pytestmark = pytest.mark.campaign


@pytest.fixture
def demo(run):
    def once(*arguments):
        outcome = run('demo', *TINY, *arguments)
        assert outcome.status == 0, outcome.err
        return ' '.join(outcome.out.replace('│', ' ').split())

    return once


def test_it_compares_both_and_trains_neither_again(demo, tmp_path):
    said = demo()
    assert re.search(r'mIoU, validation scenes [\d.]+ % [\d.]+ %', said)
    assert re.search(r' peak [\d.]+ MiB [\d.]+ MiB [\d.]+%', said)
    assert re.search(r' step [\d.]+ s [\d.]+ s [\d.]+%', said)
    assert re.search(r'peak, R101 on Cityscapes [\d.]+ GiB [\d.]+ GiB [\d.]+%', said)
    folder = tmp_path / 'work_dirs/demo'
    with Image.open(folder / 'demo.png') as picture:
        assert picture.width > 1000
        assert picture.height > 400
    checkpoints = [folder / way / 'iter_4.pth' for way in WAYS]
    before = [checkpoint.stat().st_mtime_ns for checkpoint in checkpoints]
    for way, pictures in WAYS.items():
        assert (folder / way / 'report.html').read_text().count('<img ') == pictures
        (folder / way / 'report.html').unlink()
    assert 'not trained again' in demo()
    assert [checkpoint.stat().st_mtime_ns for checkpoint in checkpoints] == before
    assert all((folder / way / 'report.html').is_file() for way in WAYS)
    demo('--fresh')
    assert (tmp_path / 'work_dirs/demo_2/demo.png').is_file()
    assert [checkpoint.stat().st_mtime_ns for checkpoint in checkpoints] == before
