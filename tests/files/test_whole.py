"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mmseg_infopro.files import whole
from mmseg_infopro.files.whole import remove_partial, whole_file, write_whole


def test_a_file_is_replaced_with_its_rights(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'a.json'
    write_whole(path, 'one')
    path.chmod(0o640)
    write_whole(path, b'two')
    assert path.read_bytes() == b'two'
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    write_whole(tmp_path / 'link', 'text')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'real').read_text() == 'text'


def test_what_is_no_file_is_written_in_place() -> None:
    write_whole('/dev/null', 'text')
    assert Path('/dev/null').is_char_device()


def test_an_error_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.json'
    write_whole(path, 'old')

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(whole.os, 'fsync', full)
    with pytest.raises(OSError, match=r'No space left on device .*as it was\): .*a\.json'):
        write_whole(path, 'new')
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / 'a'
    with whole_file(path) as one:
        one.write_text('one')
        write_whole(path, 'another')
        assert path.read_text() == 'another'
    assert path.read_text() == 'one'


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    for name in ('iter_2.pth', 'iter_4.pth.partial', 'iter_4.pth.0a1b2c3d.partial', '.partial'):
        (tmp_path / name).touch()
    assert len(remove_partial(tmp_path)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.partial', 'iter_2.pth']
