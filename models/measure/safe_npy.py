"""Arrays from a file that somebody else wrote: NumPy's own reader believes what a file claims of itself.

A few bytes of an .npz can claim a terabyte, and NumPy asks for the memory before it looks for the data. So each
array's header is held against the size of its data first, and pickles, which run code, are refused by name.

Flows in: the path of an .npz file. Flows out: its arrays by name, none larger than what was allowed.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import LandsweepError, PredictionsError, TooLargeError, UnsupportedError

MAX_BYTES = 2 * 2**30
"""Of all arrays of a file together: predictions of 590,000 patches in 43 classes with their names take 0.3 GB."""

MAX_ARRAYS = 64

_AGAIN = "Write the file again with `np.savez(path, probs=…, labels=…)`."
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_arrays(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file, by name, in the order of the file.

    Raises:
        PredictionsError: no such file, or it is damaged, or holds something other than plain arrays.
        UnsupportedError: not an .npz file.
        TooLargeError: the arrays would take more than `max_bytes`.
    """
    if not path.is_file():
        raise PredictionsError("no such file", where=str(path), hint="Give the path of a predictions.npz.")
    if not zipfile.is_zipfile(path):
        raise UnsupportedError("not an .npz file", where=str(path), hint=_AGAIN)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                names = _check_members(archive, path, max_bytes)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in names}
        except LandsweepError:
            raise
        except Exception as error:  # zipfile and NumPy raise whatever the bytes lead them to
            what = f"file is damaged ({type(error).__name__})"
            raise PredictionsError(what, where=str(path), hint=_AGAIN) from None


def _check_members(archive: zipfile.ZipFile, path: Path, max_bytes: int) -> list[str]:
    members = archive.infolist()
    names = [member.filename.removesuffix(".npy") for member in members]
    if len(set(names)) != len(names):
        raise PredictionsError("an array is there twice", where=str(path), hint=_AGAIN)
    if len(names) > MAX_ARRAYS or sum(member.file_size for member in members) > max_bytes:
        what = f"file claims {len(names)} arrays of {sum(member.file_size for member in members) / 2**20:,.0f} MiB"
        hint = f"At most {MAX_ARRAYS} arrays of {max_bytes / 2**20:,.0f} MiB in all are read."
        raise TooLargeError(what, where=str(path), hint=hint)
    for member, name in zip(members, names, strict=True):
        with archive.open(member) as file:
            _check_header(file, member, name, path)
    return names


def _check_header(file: IO[bytes], member: zipfile.ZipInfo, name: str, path: Path) -> None:
    read = _HEADERS.get(np.lib.format.read_magic(file))
    if read is None or not member.filename.endswith(".npy"):
        raise PredictionsError(f'"{name}" is not a plain array', where=str(path), hint=_AGAIN)
    shape, _, dtype = read(file)
    if dtype.hasobject or dtype.fields or dtype.subdtype:
        hint = f'Store text with `np.array({name}, dtype="U")`, and numbers as numbers.'
        raise PredictionsError(f'"{name}" holds Python objects, not plain values', where=str(path), hint=hint)
    if min(shape, default=0) < 0 or file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
        raise PredictionsError(f'"{name}" is not as large as it says', where=str(path), hint=_AGAIN)
