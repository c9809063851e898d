"""The demo on tiny scenes: what a person gets from it, the first time and after."""

from __future__ import annotations

import shutil
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image

from infopro import command
from mmseg_infopro.commands import demo

TINY = '--train', '4', '--val', '2', '--size', '64', '128'


def run_demo(folder: Path, *args: str, whole: bool = False) -> str:
    """Run it in this process; without `whole`, no dry steps are taken."""
    patch = pytest.MonkeyPatch()
    if not whole:
        patch.setattr(demo, 'peaks', lambda cfg: (1, 2))
    where = '--data-root', str(folder / 'streets'), '--work-dir', str(folder / 'demo')
    argv, threads = sys.argv, torch.get_num_threads()
    sys.argv = ['demo.py', *where, *TINY, *args]
    try:
        with DefaultScope.overwrite_default_scope(None), redirect_stdout(StringIO()) as said:
            command.run('demo')
    finally:
        patch.undo()
        sys.argv = argv
        torch.set_num_threads(threads)
    return said.getvalue()


@pytest.fixture(scope='module')
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a first run, to be read only, and what it printed."""
    folder = tmp_path_factory.mktemp('demo')
    return folder, run_demo(folder, '--iters', '4', whole=True)


@pytest.fixture
def folder(first: tuple[Path, str], tmp_path: Path) -> Path:
    """A first run of one's own."""
    return Path(shutil.copytree(first[0], tmp_path / 'copy'))


@pytest.mark.slow
def test_it_ends_with_a_table_and_a_picture(first: tuple[Path, str]) -> None:
    folder, said = first
    words = ' '.join(said.replace('│', ' ').split())
    for expected in ('mIoU', 'aAcc', 'predicted on fake tensors', 'R101', ' MiB', ' GiB', ' %'):
        assert expected in words
    with Image.open(folder / 'demo/demo.png') as picture:
        assert picture.width > 1000
        assert picture.height > 400


@pytest.mark.slow
def test_the_console_stays_readable_and_the_log_is_in_a_file(first: tuple[Path, str]) -> None:
    folder, said = first
    (log,) = (folder / 'demo').glob('*/*.log')
    assert 'Iter(train)' not in said
    assert 'Config:' in log.read_text()


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(folder: Path) -> None:
    checkpoint = folder / 'demo/iter_4.pth'
    before = checkpoint.stat().st_mtime_ns
    (folder / 'demo/demo.png').unlink()
    said = run_demo(folder, '--iters', '4')
    assert 'not trained again' in ' '.join(said.split())
    assert checkpoint.stat().st_mtime_ns == before
    assert (folder / 'demo/demo.png').is_file()


@pytest.mark.slow
def test_an_unfinished_run_goes_on(folder: Path) -> None:
    run_demo(folder, '--iters', '5')
    resumed = torch.load(folder / 'demo/iter_5.pth', weights_only=False)
    assert len(resumed['message_hub']['log_scalars']['train/loss'].data[0]) == 5


@pytest.mark.slow
def test_fresh_trains_beside_the_older_run(folder: Path) -> None:
    before = (folder / 'demo/iter_4.pth').stat().st_mtime_ns
    run_demo(folder, '--iters', '4', '--fresh')
    assert (folder / 'demo_2/demo.png').is_file()
    assert (folder / 'demo/iter_4.pth').stat().st_mtime_ns == before


def test_another_folder_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'mine.txt').touch()
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--data-root', str(tmp_path)])
    assert command.run('demo') == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert len(errors) == 1
    assert 'is not empty and holds no streets.json' in errors[0]


def test_help_has_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--help'])
    with pytest.raises(SystemExit, match='0'):
        command.run('demo')
    assert 'infopro demo' in capsys.readouterr().out
