# ContSup R1E: modules also get the image, and what the module before started from.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
context = dict(type='ContextSupply', image=True, history=1)
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task], context=context))
