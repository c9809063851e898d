import sys
from pathlib import Path

import pytest

from infopro import command


def run(monkeypatch: pytest.MonkeyPatch, tool: str, *args: object) -> int:
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
    return command.run(tool)


def test_from_nothing_to_a_prepared_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    size = '--train', 2, '--val', 1, '--height', 64, '--width', 128, '--workers', 0
    assert run(monkeypatch, 'make_streets', '--out', tmp_path, *size) == 0
    assert f'python tools/prepare_cityscapes.py {tmp_path}' in capsys.readouterr().out
    assert run(monkeypatch, 'prepare_cityscapes', tmp_path, '--check-only') == 1
    assert '6 of 6 label images are to be made' in capsys.readouterr().out
    assert run(monkeypatch, 'prepare_cityscapes', tmp_path, '--workers', 0) == 0
    assert run(monkeypatch, 'prepare_cityscapes', tmp_path, '--check-only') == 0
    assert run(monkeypatch, 'make_streets', '--out', tmp_path, *size) == 0
    assert 'nothing was done' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('tool', 'args', 'sentence'),
    [
        ('make_streets', ['--train', '0'], 'error: train must be at least 1, got 0'),
        ('make_streets', ['--workers', '-1'], 'error: --workers must be 0'),
        ('prepare_cityscapes', [], 'leftImg8bit is missing'),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tool: str,
    args: list[str],
    sentence: str,
) -> None:
    where = ['--out', tmp_path] if tool == 'make_streets' else [tmp_path]
    assert run(monkeypatch, tool, *where, *args) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ('tool', 'name'), [('make_streets', 'streets'), ('prepare_cityscapes', 'prepare')]
)
def test_help_has_an_example(
    tool: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match='0'):
        run(monkeypatch, tool, '--help')
    assert f'infopro {name} ' in capsys.readouterr().out
