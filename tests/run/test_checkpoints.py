import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch.serialization import get_safe_globals

from mmseg_infopro.run.checkpoints import check_checkpoint

WEIGHTS = dict(state_dict=dict(weight=torch.arange(3.0)))


def save(checkpoint: Any, path: Path, **kwargs: Any) -> Path:
    torch.save(checkpoint, path, **kwargs)
    return path


class CreatesFile:
    """Unpickling it would run a shell command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f'touch {self.path}',)


class CallsGetattr:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[type, str]]:
        return getattr, (HistoryBuffer, '__init__')


@pytest.mark.parametrize('checkpoint', [WEIGHTS, WEIGHTS['state_dict']])
@pytest.mark.parametrize('zipped', [True, False])
def test_weights_are_opened(tmp_path: Path, checkpoint: dict[str, Any], zipped: bool) -> None:
    path = save(checkpoint, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    opened = check_checkpoint(path)
    assert torch.equal(opened.get('state_dict', opened)['weight'], torch.arange(3.0))


@pytest.mark.parametrize('dtype', ['float32', 'float64', 'int64', 'uint8', 'bool'])
def test_log_histories_and_numpy_are_opened(tmp_path: Path, dtype: str) -> None:
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    data = dict(array=np.ones(2, dtype), scalar=np.ones((), dtype)[()], history=history)
    opened = check_checkpoint(save({**WEIGHTS, **data}, tmp_path / 'a.pth'))
    assert opened['array'].dtype == opened['scalar'].dtype == dtype
    assert opened['history'].mean() == 1.5


def test_names_of_other_numpy_versions_are_known(tmp_path: Path) -> None:
    path = save(
        {**WEIGHTS, 'array': np.ones(2)}, tmp_path / 'a.pth', _use_new_zipfile_serialization=False
    )
    content = path.read_bytes()
    assert b'numpy._core.' in content or b'numpy.core.' in content
    ours, other = (b'._core.', b'.core.') if b'numpy._core.' in content else (b'.core.', b'._core.')
    path.write_bytes(content.replace(b'numpy' + ours, b'numpy' + other))
    assert check_checkpoint(path)['array'].tolist() == [1.0, 1.0]


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_not_run(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / 'trace'
    path = save(
        {**WEIGHTS, 'x': CreatesFile(trace)}, tmp_path / 'a.pth',
        _use_new_zipfile_serialization=zipped,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r'a\.pth contains pickled code \(posix\.system\)'):
        check_checkpoint(path)
    assert not trace.exists()
    # The file is a real threat: plain unpickling does run the command.
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_plain_pickle_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / 'a.pth'
    path.write_bytes(pickle.dumps(CreatesFile(tmp_path / 'trace'), protocol=2))
    with pytest.raises(ValueError, match=r'contains pickled code \(posix\.system\)'):
        check_checkpoint(path)
    assert not (tmp_path / 'trace').exists()


def test_getattr_serves_log_histories_only(tmp_path: Path) -> None:
    path = save({**WEIGHTS, 'x': CallsGetattr()}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'contains pickled code \(builtins\.getattr\)'):
        check_checkpoint(path)


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    path = save({**WEIGHTS, 'x': np.array([{}], dtype=object)}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'contains pickled code \(numpy\.dtypes\.ObjectDType\)'):
        check_checkpoint(path)


def test_forged_object_arrays_are_refused(tmp_path: Path) -> None:
    class Forged:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return np.ndarray, ((1,), 'O', b'A' * 8)

    path = save({'state_dict': {'a': torch.zeros(1)}, 'message_hub': [Forged()]}, tmp_path / 'a')
    with pytest.raises(ValueError, match='holds numpy arrays of objects'):
        check_checkpoint(path)


def test_safe_globals_are_left_as_they_were(tmp_path: Path) -> None:
    before = set(get_safe_globals())
    check_checkpoint(save(WEIGHTS, tmp_path / 'a.pth'))
    assert set(get_safe_globals()) == before


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'none\.pth is neither a file nor an http\(s\) URL'):
        check_checkpoint(tmp_path / 'none.pth')


@pytest.mark.parametrize('kept', [0.0, 0.1, 0.5, 0.95])
@pytest.mark.parametrize('zipped', [True, False])
def test_truncated_file_is_named(tmp_path: Path, kept: float, zipped: bool) -> None:
    path = save(
        dict(state_dict=dict(a=torch.rand(99))), tmp_path / 'a.pth',
        _use_new_zipfile_serialization=zipped,
    )  # fmt: skip
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r'a\.pth is damaged or not a PyTorch file: .'):
        check_checkpoint(path)


def test_other_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.pth'
    path.write_text('<html>404</html>')
    with pytest.raises(ValueError, match=r'a\.pth is damaged or not a PyTorch file: .'):
        check_checkpoint(path)


@pytest.mark.parametrize('content', [{}, [1], dict(state_dict={}), dict(epoch=1)])
def test_file_without_weights_is_named(tmp_path: Path, content: Any) -> None:
    path = save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth is not a checkpoint: it holds no state_dict'):
        check_checkpoint(path)


def test_url_is_downloaded_to_the_cache_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = save(WEIGHTS, tmp_path / 'remote.pth')
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(
        'torch.hub.download_url_to_file', lambda url, file: shutil.copyfile(remote, file)
    )
    assert 'state_dict' in check_checkpoint('https://example.org/models/net.pth?download=1')
    assert (tmp_path / 'hub' / 'checkpoints' / 'net.pth').is_file()


def test_failed_download_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, file: str) -> None:
        raise ConnectionRefusedError('refused')

    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path))
    monkeypatch.setattr('torch.hub.download_url_to_file', refuse)
    with pytest.raises(ValueError, match=r'example\.org/net\.pth cannot be downloaded: refused'):
        check_checkpoint('http://example.org/net.pth')


@pytest.mark.parametrize('where', [0.3, 0.6])
def test_a_changed_bit_is_found(tmp_path: Path, where: float) -> None:
    path = save(dict(state_dict=dict(a=torch.rand(9999))), tmp_path / 'a.pth')
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # which is silent
    with pytest.raises(ValueError, match=r'a\.pth is damaged .* the checksum of \S+ in it'):
        check_checkpoint(path)


def test_files_without_checksums_are_opened(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = save(WEIGHTS, tmp_path / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert check_checkpoint(path).keys() == {'state_dict'}
