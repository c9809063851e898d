"""The rows of a report on a card, in a file that is whole after each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...files.whole import write_whole

STARTED, DONE, FAILED, SKIPPED = 'started', 'done', 'failed', 'skipped'


@dataclass
class CardRow:
    """What became of one task.

    Attributes:
        section: Of the report.
        name: Within it.
        state: ``started``, as long as it runs, and if the process ended meanwhile; ``done``;
            ``failed``, with an error; ``skipped``, where it needs a GPU and there is none.
        seconds: That it took.
        figures: What it found.
        failure: Why there are none, in a sentence.
        traceback: Of the error.
    """

    section: str
    name: str
    state: str = STARTED
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None
    traceback: str | None = None


class Ledger:
    """The rows of one card, written to a JSON file whenever one changes.

    Args:
        file: May exist, with rows of the same machine.
        machine: Its ``name``, ``torch``, and whether the report is ``small``.

    Raises:
        ValueError: The file is of another machine or version of torch, or no such file.
    """

    def __init__(self, file: Path, machine: Mapping[str, Any]) -> None:
        self.file = file
        self.machine = dict(machine)
        self.rows: list[CardRow] = []
        if file.is_file():
            self._read()

    def _read(self) -> None:
        try:
            content = json.loads(self.file.read_text())
            machine, rows = content['machine'], [CardRow(**row) for row in content['rows']]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{self.file} holds no rows of a report: {error}') from error
        for key in ('name', 'torch', 'small'):
            if machine.get(key) != self.machine[key]:
                raise ValueError(
                    f'{self.file} holds rows of {key}={machine.get(key)!r}, and this call has '
                    f'{self.machine[key]!r}: name another folder with --out'
                )
        self.rows = rows

    def find(self, section: str, name: str) -> CardRow | None:
        """Return a row, if there is one."""
        return next((row for row in self.rows if (row.section, row.name) == (section, name)), None)

    def put(self, row: CardRow, order: Sequence[tuple[str, str]]) -> None:
        """Write a row in place of an earlier one of this name.

        Args:
            row: To write.
            order: Sections and names of all rows of a report, in order.
        """
        places = {place: number for number, place in enumerate(order)}
        own = (row.section, row.name)
        others = [other for other in self.rows if (other.section, other.name) != own]
        last = len(places)
        self.rows = sorted(
            [*others, row], key=lambda row: places.get((row.section, row.name), last)
        )
        self.write()

    def write(self) -> None:
        """Write the file: a process that ends meanwhile leaves the last one."""
        rows = [asdict(row) for row in self.rows]
        text = json.dumps(dict(machine=self.machine, rows=rows), indent=1) + '\n'
        write_whole(self.file, text)
