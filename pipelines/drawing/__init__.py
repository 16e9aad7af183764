"""What every picture of the project is drawn on, so that all look alike and names in any script can be read.

Flows in: sizes, numbers, names. Flows out: matplotlib figures, and PNG files of them.

Front: canvas, fonts.
"""
