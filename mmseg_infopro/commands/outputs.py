"""Files that a command is asked to write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..files.outputs import check_distinct, check_output

JSON = ('.json',)
PICTURES = ('.png', '.svg', '.pdf')


def check_outputs(
    json: Path | None, picture: Path | None = None, *, inputs: Iterable[str | Path] = ()
) -> None:
    """Check that the files of a command's ``--json`` and ``--picture`` can be written.

    Args:
        json: None writes none.
        picture: None draws none.
        inputs: What the command reads, as its config, and must not replace.

    Raises:
        ValueError: They cannot, or pictures are not of this kind.
    """
    check_output('--json', json, JSON, inputs=inputs)
    check_output('--picture', picture, PICTURES, inputs=inputs)
    check_distinct(json=json, picture=picture)
