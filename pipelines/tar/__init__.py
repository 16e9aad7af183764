"""Tar archives from anybody, as streams: Python's own reader is slow on millions of members and lenient with bad ones.

Flows in: a `.tar`, `.tar.gz` or `.tar.zst`, here or by URL. Flows out: checked members, or files in a folder.

Front: members, unpack.
"""
