# ContSup E: modules also get the image.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
context = dict(type='ContextSupply', image=True, history=0)
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task], context=context))
