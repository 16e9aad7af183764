"""One net trained, resumable to the bit, and everything that comes of it: `landsweep train`.

Flows in: settings and rows. Flows out: a run's folder with checkpoints, logs and results.

Front: checkpoint, fit_state, fresh_net, kept_bundle, logs, loop, patience, run_folder, score_epoch, train.
"""
