"""Checkpoints that are written whole or not at all."""

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


@register_backend('atomic', force=True)
class AtomicBackend(LocalBackend):
    """mmengine's local files, but a file appears under its name only once it is complete.

    Used by ``checkpoint=dict(type='CheckpointHook', backend_args=dict(backend='atomic'))``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes the bytes beside the file and renames; a failure leaves the old file as it was."""
        target = Path(filepath)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f'{target.name}.partial')
        try:
            with partial.open('wb') as file:
                file.write(obj)
                file.flush()
                # Else a power cut could keep the new name and lose the bytes.
                os.fsync(file.fileno())
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
