"""What comes of a search: the floor it has to beat, the finals, the winner and the ensemble, and what is told of them.

Flows in: a study whose trials are over. Flows out: bundles, results, and plain values for a terminal.

Front: ensemble, finals, measure_floor, show, winner.
"""
