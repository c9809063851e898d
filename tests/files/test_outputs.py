"""Outputs are checked before the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmseg_infopro.files import outputs
from mmseg_infopro.files.outputs import check_distinct, check_folder, check_output


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('folder', {}, r'--out .*folder is a folder; name a file in it'),
        ('new/', {}, None),
        ('none/a.json', {}, r'--out .*a\.json: there is no folder .*none'),
        ('none/a.json', dict(makes_folder=True), None),
        ('file/a.json', dict(makes_folder=True), r'there is no folder .*file'),
        ('a.txt', dict(suffixes=('.json', '.md')), r'--out must end in \.json, \.md, got .*a\.txt'),
        ('file', {}, None),
        ('file', dict(force=False), r'file already exists: name another file, or say --force'),
        ('link', dict(inputs=['file']), r'link is what the command reads'),
        ('new', dict(inputs=['file', 'no']), None),
    ],
)
def test_an_output(tmp_path: Path, name: str, settings: dict[str, Any], message: str) -> None:
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to('file')
    if 'inputs' in settings:
        settings = {'inputs': [tmp_path / read for read in settings['inputs']]}
    if message is None:
        check_output('--out', tmp_path / name, **settings)
        return
    with pytest.raises(ValueError, match=message):
        check_output('--out', tmp_path / name, **settings)


def test_no_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**where: Path) -> None:
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(outputs.tempfile, 'TemporaryFile', refuse)
    with pytest.raises(ValueError, match='cannot be written'):
        check_output('--out', tmp_path / 'a')
    with pytest.raises(ValueError, match='cannot be written'):
        check_folder('--out', tmp_path / 'a')


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    check_folder('--out', tmp_path / 'a/b')
    with pytest.raises(ValueError, match=r'--out .*file/a: .*file is a file, no folder'):
        check_folder('--out', tmp_path / 'file/a')


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    check_distinct(json=tmp_path / 'a', picture=None, out=tmp_path / 'b')
    with pytest.raises(ValueError, match='--json and --out name the same file'):
        check_distinct(json=tmp_path / 'a', out=tmp_path / 'x/../a')


def test_a_dead_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / 'link').symlink_to('nowhere')
    with pytest.raises(ValueError, match='link is a dead link, no folder'):
        check_folder('--out', tmp_path / 'link')


def test_a_device_is_written_in_its_place() -> None:
    check_output('--json', Path('/dev/null'), ('.json',))
