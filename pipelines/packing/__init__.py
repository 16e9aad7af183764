"""An archive to a dataset folder, in parallel and restartable: `landsweep data ingest`.

Flows in: a `Catalogue`. Flows out: parts, each committed once or not at all, and the manifest that counts every patch.

Front: ingest, left_out.
"""
