"""What training hands to serving: a folder that says everything about the model in it, checked before it is believed.

Flows in: a net with its calibration, or a folder. Flows out: `config.json`, safetensors and a card, or the net again.

Front: config, locate, onnx_export, weights.
"""
