"""The tutorial as it is kept: with what every cell printed, on a machine that is not named."""

import json

from docs.run_tutorial import TUTORIAL


def test_every_cell_has_run_in_order():
    cells = [c for c in json.loads(TUTORIAL.read_text())['cells'] if c['cell_type'] == 'code']
    assert [cell['execution_count'] for cell in cells] == list(range(1, len(cells) + 1))


def test_no_folder_of_a_machine_is_named():
    text = TUTORIAL.read_text()
    assert not [name for name in ('/tmp/', '/root/', '/home/') if name in text]
