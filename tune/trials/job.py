"""What a job is told, by name: a trial of the study, from where it stands to its next rung or its end.

Flows in: nothing. Flows out: the words that the searcher writes and the worker reads.
"""

from __future__ import annotations

NUMBER, PARAMETERS, TO_END, REPORTED = "number", "parameters", "to_end", "reported"
"""Number and parameters of its trial, whether it goes to the end whatever the rungs say, and patches that the study
knows of: a state may have been saved whose report was lost with its search."""
