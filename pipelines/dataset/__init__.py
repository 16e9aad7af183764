"""The dataset folder, which is the one thing that packing writes and everything after it reads.

Flows in: patches to write, or a folder to open. Flows out: `manifest.json`, written last, and Parquet parts.

Front: band_sums, manifest, part_file.
"""
