"""Values that commands leave each other."""

import gzip

import pytest
from mmengine.logging import MMLogger

from mmseg_infopro.files import cache


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'mmseg_infopro'


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', found.append)
    return found


def test_a_value_is_there_again_until_its_file_is_deleted(folder):
    assert cache.recall('key') is None
    cache.keep('key', [1, {'a': None}])
    assert cache.recall('key') == [1, {'a': None}]
    (file,) = folder.iterdir()
    file.unlink()
    assert cache.recall('key') is None


@pytest.mark.parametrize(
    'content',
    [b'', b'{', gzip.compress(b'{'), gzip.compress(b'[1]' * 99)[:20]],
    ids=['empty', 'not compressed', 'not JSON', 'cut off'],  # a compressed file holds its time
)
def test_a_corrupt_file_is_ignored_with_a_notice(folder, content, warnings):
    folder.mkdir()
    (folder / 'key.json.gz').write_bytes(content)
    assert cache.recall('key') is None
    assert 'key.json.gz cannot be read' in str(warnings)
    cache.keep('key', 3)
    assert cache.recall('key') == 3


def test_a_folder_that_cannot_be_written_to_is_no_error(monkeypatch, tmp_path, warnings):
    (tmp_path / 'file').touch()
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / 'file'))
    cache.keep('key', 3)
    assert 'MMSEG_INFOPRO_CACHE=off says not to try' in str(warnings)
    assert cache.recall('key') is None


def test_it_can_be_off_or_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / 'mine'))
    cache.keep('key', 3)
    assert [file.name for file in (tmp_path / 'mine').iterdir()] == ['key.json.gz']
    monkeypatch.setenv(cache.VARIABLE, 'off')
    cache.keep('other', 3)
    assert cache.cache_folder() is None
    assert cache.recall('key') is None
    monkeypatch.setenv(cache.VARIABLE, '')
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
    assert cache.cache_folder().is_absolute()


def test_it_does_not_grow_for_ever(folder, monkeypatch):
    monkeypatch.setattr(cache, 'MOST_FILES', 4)
    for number in range(12):
        cache.keep(f'key{number}', number)
    assert len(list(folder.iterdir())) <= 4
    assert cache.recall('key11') == 11
