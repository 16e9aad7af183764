"""Archives from where they are published, over whatever the network does: resumed, verified, never spliced.

Flows in: a name or a URL. Flows out: verified files in a folder, unpacked where wanted.

Front: download, transfer.
"""
