"""What a dataset holds, by split and country: `landsweep data stats`.

Flows in: a dataset folder. Flows out: counts of labels, digital numbers by band, tables and figures of both.

Front: measure, quantiles, summary.
"""
