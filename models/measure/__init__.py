"""What a net says of a split against the truth, as numbers: metrics, calibration, thresholds.

Flows in: a net and rows, or saved predictions. Flows out: probabilities and metrics over the whole split.

Front: calibrate, checks, evaluate, extremes, metrics, operating_points, prediction_file, predictions, shared_classes,
thresholds.
"""
