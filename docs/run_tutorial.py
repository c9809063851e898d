"""Run the tutorial in a folder of its own, and keep it with what it printed.

Example:
    python docs/run_tutorial.py
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

TUTORIAL = Path(__file__).with_name('tutorial.ipynb')
TERMINAL_CODE = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')


def run(folder: Path) -> Any:
    """Return the tutorial as it is after a run; the names of its folders are left out of it.

    Args:
        folder: Where it trains.

    Raises:
        RuntimeError: A command has failed.
    """
    notebook = nbformat.read(TUTORIAL, as_version=4)
    client = NotebookClient(notebook, timeout=1800, resources={'metadata': {'path': str(folder)}})
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop('execution', None)
        for output in cell.get('outputs', ()):
            if 'text' in output:
                output.text = last_states(output.text.replace(f'{folder}/', ''))
                if re.search(r'^(error|Traceback)', output.text, re.M):
                    raise RuntimeError(f'{cell.source}\nprinted\n{output.text}')
    return notebook


def last_states(text: str) -> str:
    """Return what a terminal shows in the end: of a line that was written over, the last form."""
    lines = TERMINAL_CODE.sub('', text).replace('\r\n', '\n').split('\n')
    return '\n'.join(line.rpartition('\r')[2].rstrip() for line in lines)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as name:
        nbformat.write(run(Path(name).resolve()), TUTORIAL)
