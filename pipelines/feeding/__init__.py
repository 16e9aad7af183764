"""Rows of a dataset to batches on the device, wherever the pixels are: in memory, in Ray's object store, in the shards.

Flows in: a dataset folder, splits, bands. Flows out: `Rows`, and from them shuffled batches on one grid.

Front: batches, epoch_order, open_rows, rows, shared, streamed.
"""
