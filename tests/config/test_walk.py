"""Through any nest of configs."""

from mmengine.config import ConfigDict

from mmseg_infopro.config.walk import DROPPED, replaced, type_name, walk

NEST = dict(neck=[dict(type='A'), (dict(type='B'),)], heads=dict(norm=dict(type='A', size=2)))


def test_every_mapping_is_found_with_its_path():
    found = {path: part.get('type') for path, part in walk(NEST, 'model')}
    assert found == {
        'model': None,
        'model.neck[0]': 'A',
        'model.neck[1][0]': 'B',
        'model.heads': None,
        'model.heads.norm': 'A',
    }
    assert [path for path, _ in walk(NEST['neck'])] == ['[0]', '[1][0]']


def test_a_copy_has_other_mappings_and_the_nest_stays_as_it_is():
    def change(part):
        return DROPPED if part.get('type') == 'B' else {**part, 'seen': True}

    assert replaced(NEST, change) == dict(
        neck=[dict(type='A', seen=True), ()],
        heads=dict(norm=dict(type='A', size=2, seen=True), seen=True),
        seen=True,
    )
    assert 'seen' not in NEST


def test_a_copy_is_of_the_same_types():
    copy = replaced(ConfigDict(heads=[dict(type='A')]), lambda part: part)
    assert type(copy) is ConfigDict
    assert copy.heads[0].type == 'A'


def test_a_type_is_a_name_one_with_its_scope_or_a_class():
    assert [type_name(dict(type=kind)) for kind in ('A', 'mmseg.A', dict)] == ['A', 'A', 'dict']
