# A task head, and a head that rebuilds what the module started from.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='FCNHead', num_convs=1, concat_input=False)
reconstruction = dict(type='FeatureReconstructionHead', loss_weight=1.0)
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task, reconstruction]))
