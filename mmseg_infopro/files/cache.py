"""What was computed once and need not be again: values by key, in the user's cache folder.

Any of its files may be deleted at any time. What cannot be read or written is computed anew.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from .whole import write_whole

VARIABLE = 'MMSEG_INFOPRO_CACHE'
"""In the environment: another folder, or ``off`` for none."""
MOST_FILES = 2000
"""Beyond which those that were not read for longest are deleted: about 20 MB."""


def cache_folder() -> Path | None:
    """Return the folder, which need not exist; None if nothing is to be kept."""
    wish = os.environ.get(VARIABLE, '')
    if wish.lower() in ('off', '0', 'no', 'false'):
        return None
    if wish:
        return Path(wish).expanduser()
    own = os.environ.get('XDG_CACHE_HOME', '')
    # The standard has relative paths ignored.
    return Path(own if os.path.isabs(own) else Path.home() / '.cache') / 'mmseg_infopro'


def recall(key: str) -> Any:
    """Return the value that was kept; None if there is none, or what is there cannot be read."""
    folder = cache_folder()
    if folder is None:
        return None
    file = _file(folder, key)
    try:
        value = json.loads(gzip.decompress(file.read_bytes()))
        os.utime(file)  # for those that are deleted some day
        return value
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        MMLogger.get_current_instance().warning(
            f'{file} cannot be read ({error}), and is ignored: it is measured anew'
        )
        return None


def keep(key: str, value: Any) -> None:
    """Keep a value that JSON can write; a folder that cannot be written to is no error."""
    folder = cache_folder()
    if folder is None:
        return
    content = gzip.compress(json.dumps(value, separators=(',', ':')).encode(), compresslevel=1)
    try:
        write_whole(_file(folder, key), content)
        _remove_oldest(folder)
    except OSError as error:
        MMLogger.get_current_instance().warning(
            f'measurements cannot be kept for the next command: {error}; {VARIABLE}=off says not '
            'to try'
        )


def _file(folder: Path, key: str) -> Path:
    return folder / f'{key}.json.gz'


def _remove_oldest(folder: Path) -> None:
    files = list(folder.glob('*.json.gz'))
    if len(files) > MOST_FILES:
        files.sort(key=_last_used)
        for file in files[: len(files) // 2]:
            file.unlink(missing_ok=True)


def _last_used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # another process was faster
        return 0.0
