"""A work directory that one run has to itself, cleaned of what killed runs have left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mmengine.config import Config
from mmengine.logging import MMLogger

from ..files.lock import folder_lock
from ..files.whole import remove_partial
from ..parallel import on_main_process
from .resume_point import checkpoint_folders


@contextmanager
def own_work_dir(cfg: Config) -> Iterator[None]:
    """Hold ``cfg.work_dir`` for the time of a block, on the main process for all.

    Raises:
        FolderInUseError: Another run that is alive holds it.
    """
    say = MMLogger.get_current_instance().warning
    with ExitStack() as stack:

        def take() -> None:
            stack.enter_context(folder_lock(cfg.work_dir, say))
            for folder in checkpoint_folders(cfg):
                stale = remove_partial(folder)
                if stale:
                    names = ', '.join(path.name for path in stale[:3])
                    say(f'removed what a killed run had begun to write: {names}')

        on_main_process(take)
        yield
