"""The tutorial of the documentation, run from its first cell to its last."""

import re

import pytest

from docs.run_tutorial import run


@pytest.mark.campaign
def test_the_tutorial_runs_and_its_model_has_learned(tmp_path):
    notebook = run(tmp_path)
    printed = [output.text for output in notebook.cells[-2].outputs if 'text' in output]
    (percent,) = re.findall(r'^([\d.]+)% of the pixels are right', '\n'.join(printed), re.MULTILINE)
    assert float(percent) > 80
