"""Checkpoints that are written whole or not at all."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ..files.whole import write_whole


@register_backend('atomic', force=True)
class AtomicBackend(LocalBackend):
    """mmengine's local files, but a file appears under its name only once it is complete.

    :class:`WholeCheckpointHook` uses it; other hooks take ``backend_args=dict(backend='atomic')``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes the bytes beside the file and renames; a failure leaves the old file as it was."""
        write_whole(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Writes a text in the same way."""
        write_whole(filepath, obj.encode(encoding))
