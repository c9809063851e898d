# HPFF's overlap: neighbours share a graph in pairs.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
schedule = dict(type='Overlapping')
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task], schedule=schedule))
