"""Opening checkpoints that a user names, without running code that may hide in them."""

import re
import zipfile
from argparse import Namespace  # of the options that publishers trained with
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from .layouts import read_safetensors, with_state_dict

SCHEME = 'tensors://'
"""Before a file's name: mmengine then loads its weights by :func:`load_tensors`."""


def check_checkpoint(path: str | Path, *, for_resume: bool = False) -> dict[str, Any]:
    """Opens a checkpoint with weights-only unpickling, tensors mapped from disk where possible.

    mmengine falls back to full unpickling, which can run any code, so call this first. Weights may
    lie as mmengine has them, as a plain dictionary, or where other publishers put them, see
    :func:`with_state_dict`; safetensors are read too.

    Args:
        path: A file, or an http(s) URL; that is downloaded to where torch and mmengine look it up.
            Either may follow :data:`SCHEME`.
        for_resume: Whether training shall resume from it.

    Raises:
        ValueError: The file is missing, damaged, no checkpoint, or holds more than data.
    """
    file = _local_file(str(path))
    if not file.is_file():
        raise ValueError(f'checkpoint {path} is neither a file nor an http(s) URL')
    try:
        check_sums(file)
        with _only_safe_globals():
            content = (
                read_safetensors(file)
                if file.suffix == '.safetensors'
                else torch.load(
                    file, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(file)
                )
            )
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        raise ValueError(_reason(file, str(error))) from error
    if _holds_object_array(content):
        raise ValueError(
            f'checkpoint {file} holds numpy arrays of objects and was refused: their memory can '
            'be forged'
        )
    checkpoint = with_state_dict(content)
    if checkpoint is None:
        raise ValueError(f'{file} is not a checkpoint: it holds no state_dict{_keys(content)}')
    missing = [k for k in ('meta', 'message_hub', 'optimizer') if k not in checkpoint]
    if for_resume and missing:
        raise ValueError(
            f'cannot resume from {file}: it holds no {", ".join(missing)}; '
            'take a regular checkpoint (iter_N.pth), not a best or published one'
        )
    return checkpoint


def check_sums(file: Path) -> None:
    """Compares a file's bytes with the checksums that its zip format holds; it reads all of it.

    torch does not look at them. Files of before torch 1.6 have none, nor have those that were
    saved with `torch.serialization.set_crc32_options(False)`.

    Raises:
        ValueError: Bytes have changed since it was written.
    """
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        if any(entry.CRC for entry in archive.infolist()):
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f'the checksum of {damaged} in it does not fit its bytes')


def _local_file(path: str) -> Path:
    path = path.removeprefix(SCHEME)
    if not path.startswith(('http://', 'https://')):
        return Path(path).expanduser()
    file = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(path).path).name)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(path, str(file))
        except OSError as error:
            raise ValueError(f'checkpoint {path} cannot be downloaded: {error}') from error
    return file


def loadable(path: str) -> str:
    """What mmengine loads the weights in a file by: its own name, or :data:`SCHEME` before it.

    The latter where they lie in another place than mmengine looks for them, or in safetensors.
    """
    if path.startswith(SCHEME):
        return path
    checkpoint = check_checkpoint(path)
    file = _local_file(path)
    if file.suffix != '.safetensors':
        with _only_safe_globals():
            content = torch.load(
                file, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(file)
            )
        if content.keys() == checkpoint.keys():
            return path
    return SCHEME + path


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_tensors(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Loads for mmengine what :func:`check_checkpoint` opens, never by full unpickling."""
    weights = check_checkpoint(filename)
    state_dict = dict(weights.get('state_dict', weights))
    if isinstance(map_location, (str, torch.device)):
        state_dict = {name: weight.to(map_location) for name, weight in state_dict.items()}
    return {**weights, 'state_dict': state_dict} if 'state_dict' in weights else state_dict


def _keys(content: Any) -> str:
    keys = [str(key) for key in content][:5] if isinstance(content, dict) else []
    return f', but {", ".join(keys)}' if keys else ''


def _reason(file: Path, error: str) -> str:
    forbidden = re.search(r"(?:GLOBAL |add_safe_globals`,? but got <class ')([\w.]+)", error)
    if forbidden:
        return (
            f'checkpoint {file} contains pickled code ({forbidden[1]}) and was not opened; '
            'use a checkpoint that holds only tensors and plain data'
        )
    first_line = (error.splitlines() or ['it ends too early'])[0]
    return f'checkpoint {file} is damaged or not a PyTorch file: {first_line}'


@contextmanager
def _only_safe_globals() -> Iterator[None]:
    """Lets weights-only unpickling read what mmengine saves, and nothing that others allowed."""
    previous = get_safe_globals()
    clear_safe_globals()
    add_safe_globals(_safe_globals())
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(previous)


def _holds_object_array(value: Any) -> bool:
    """Whether any array in a nest points at Python objects; its elements are not touched."""
    if isinstance(value, np.ndarray):
        return value.dtype.hasobject
    if isinstance(value, HistoryBuffer):
        value = vars(value)
    if isinstance(value, dict):
        return any(map(_holds_object_array, [*value.keys(), *value.values()]))
    return isinstance(value, (list, tuple, set)) and any(map(_holds_object_array, value))


def _safe_globals() -> list[Any]:
    """The harmless classes and functions in mmengine's own checkpoints, log histories above all."""
    dtypes = {type(np.dtype(code)) for code in np.typecodes['AllInteger'] + 'efd?'}
    numpy_functions: dict[str, Any] = {
        '_reconstruct': np.empty(0).__reduce__()[0],
        'scalar': np.float64(0).__reduce__()[0],
    }
    functions = [
        _named(f'numpy.{core}.multiarray', name, function)
        for core in ('core', '_core')  # numpy 1 and 2
        for name, function in numpy_functions.items()
    ]
    # Pickle protocol 2 calls builtins by their old name, and newer versions of torch translate it.
    methods = [_named(m, 'getattr', _statistics_method) for m in ('builtins', '__builtin__')]
    return [Namespace, HistoryBuffer, np.ndarray, np.dtype, *dtypes, *functions, *methods]


def _named(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to be found by torch under the given name."""

    def named(*args: Any) -> Any:
        return function(*args)

    named.__module__, named.__name__, named.__qualname__ = module, name, name
    return named


def _statistics_method(owner: type, name: str) -> Callable[..., Any]:
    """Stands in for `getattr`, with which a `HistoryBuffer` pickles its statistics methods."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise ValueError(f'GLOBAL builtins.getattr for {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)
