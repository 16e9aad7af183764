"""Every metric and every figure of saved predictions, from the file alone: `landsweep report`.

Flows in: `Predictions`, and where there are any, the run's epochs and the dataset's pixels. Flows out: JSON and PNG.

Front: epoch_table, panels, report.
"""
