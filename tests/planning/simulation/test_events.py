"""Tasks on resources, by hand."""

import pytest

from mmseg_infopro.planning.simulation.events import Task, run_tasks


def test_a_resource_does_one_thing_at_a_time_in_order():
    spans = run_tasks([Task('a', 0, 2.0), Task('b', 1, 1.0), Task('c', 1, 4.0), Task('d', 0, 3.0)])
    assert {name: (span.start, span.end) for name, span in spans.items()} == {
        'a': (0, 2),
        'd': (2, 5),
        'b': (0, 1),
        'c': (1, 5),
    }


def test_a_task_waits_for_others_and_for_the_latency_of_a_link():
    sends = [Task('send', 'link', 1.0, ('work',), delay=0.5), Task('next', 'link', 1.0)]
    spans = run_tasks([Task('work', 0, 2.0), *sends, Task('read', 1, 1.0, ('send',))])
    assert spans['send'].start == 2.0
    assert spans['next'].start == 3.0  # the link is free while the message is on its way
    assert spans['read'].start == 3.5


def test_tasks_that_wait_for_each_other_are_an_error():
    with pytest.raises(ValueError, match='waits for what never ends'):
        run_tasks([Task('a', 0, 1.0, ('b',)), Task('b', 1, 1.0, ('a',))])
