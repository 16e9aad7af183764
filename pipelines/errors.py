"""One error tree for the whole project, so that every door can turn any failure into one clear message.

Flows in: what is wrong, where, and how to mend it.  Flows out: an exception whose `str()` is that message
and whose class says which exit code (command line) and which status (HTTP) it maps to.

    LandsweepError                  exit 1   500
    ├── InputError                  exit 2   422   the caller's file, flag or setting is wrong
    │   ├── SettingsError           exit 2   422   unknown key, value out of range, unreadable YAML
    │   ├── BandError               exit 2   422   unknown, missing or repeated band
    │   ├── LabelError              exit 2   422   unknown or missing class name
    │   ├── ArchiveError            exit 2   422   no archive there, or its metadata is inconsistent
    │   ├── PatchError              exit 2   422   one patch cannot be decoded
    │   │   ├── UnsupportedError    exit 2   415   not the kind of file that is taken here
    │   │   └── TooLargeError       exit 2   413   claims more bytes or pixels than allowed
    │   ├── ShardError              exit 2   422   no dataset folder there, or it is damaged
    │   ├── BundleError             exit 2   422   no bundle there, or it does not fit or is damaged
    │   ├── PredictionsError        exit 2   422   no predictions there, or they are damaged or do not fit
    │   ├── StudyError              exit 2   422   no such study, or its state is damaged
    │   └── NotFoundError           exit 2   404   a name that the registry or the endpoint does not know
    ├── BusyError                   exit 1   503   somebody else holds it: a port, a lock, a full queue
    ├── StorageError                exit 1   507   no room for what is to be written
    ├── ServiceError                exit 1   503   the endpoint does not answer, or answers with an error
    └── TrainingError               exit 1   500   training diverged or ran out of memory
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class LandsweepError(Exception):
    """Something the user should read.

    Args:
        what: what is wrong, as a phrase in lower case without a full stop.
        where: the file, flag, field or band it concerns; never a path of the server in an HTTP answer.
        hint: how to mend it, as a whole sentence.
    """

    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}. {self.hint}" if self.hint else head

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders: Ray pickles exceptions, and keyword arguments would be lost."""
        return _rebuild, (type(self), self.what, self.where, self.hint)


def _rebuild(kind: type[LandsweepError], what: str, where: str, hint: str) -> LandsweepError:
    return kind(what, where=where, hint=hint)


class InputError(LandsweepError):
    exit_code, status = 2, 422


class SettingsError(InputError):
    pass


class BandError(InputError):
    pass


class LabelError(InputError):
    pass


class ArchiveError(InputError):
    pass


class PatchError(InputError):
    pass


class UnsupportedError(PatchError):
    status = 415


class TooLargeError(PatchError):
    status = 413


class ShardError(InputError):
    pass


class BundleError(InputError):
    pass


class PredictionsError(InputError):
    pass


class StudyError(InputError):
    pass


class NotFoundError(InputError):
    status = 404


class BusyError(LandsweepError):
    status = 503


class StorageError(LandsweepError):
    status = 507


class ServiceError(LandsweepError):
    status = 503


class TrainingError(LandsweepError):
    pass


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, as a sentence for a hint; else list what there is."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return "Known: " + ", ".join(known) + "."
