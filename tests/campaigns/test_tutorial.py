"""The tutorial of the documentation, run from its first cell to its last."""

import pytest

from docs.run_tutorial import run


@pytest.mark.campaign
def test_the_tutorial_runs_and_its_model_has_learned(tmp_path):
    notebook = run(tmp_path)
    (line,) = [
        output.text
        for output in notebook.cells[-2].outputs
        if output.get('name') == 'stdout' and 'of the pixels are right' in output.text
    ]
    assert float(line.split('%')[0]) > 80
