"""Run the tutorial in a folder of its own, and keep it with what it printed.

Example:
    python docs/run_tutorial.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

TUTORIAL = Path(__file__).with_name('tutorial.ipynb')


def run(folder: Path) -> Any:
    """Return the tutorial as it is after a run; the names of its folders are left out of it.

    Args:
        folder: Where it trains.

    Raises:
        CellExecutionError: A cell has failed.
    """
    notebook = nbformat.read(TUTORIAL, as_version=4)
    resources = {'metadata': {'path': str(folder)}}
    client = NotebookClient(notebook, timeout=1800, coalesce_streams=True, resources=resources)
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop('execution', None)
        for output in cell.get('outputs', ()):
            if 'text' in output:
                output.text = output.text.replace(f'{folder}/', '')
            elif 'image/jpeg' in output.get('data', ()):
                output.data.pop('image/png', None)
    return notebook


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as name:
        nbformat.write(run(Path(name).resolve()), TUTORIAL)
