# HPFF's overlap: neighbours share a graph in pairs, K=4.
_base_ = './infopro_deeplabv3_r101.py'
task = dict(type='MLPHead')
schedule = dict(type='Overlapping')
model = dict(local=dict(num_modules=4, heads=[task], schedule=schedule))
