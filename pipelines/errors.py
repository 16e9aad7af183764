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
    """The caller's own file, flag or setting is wrong, in a way that no subclass names: to whoever gave it."""

    exit_code, status = 2, 422


class SettingsError(InputError):
    """A setting is unknown or out of range, or does not fit the others, the data or this machine.

    To whoever wrote the flag or the YAML file.
    """


class BandError(InputError):
    """A band is unknown, missing or given twice: to whoever chose the bands, or brought data without names for them."""


class LabelError(InputError):
    """A class is unknown, has no name, or has that of another: to whoever labelled the data, or asks about a class."""


class ArchiveError(InputError):
    """No archive is there, or it is damaged, unsafe or contradicts itself: to whoever unpacks or ingests it."""


class PatchError(InputError):
    """One patch cannot be decoded.

    To whoever uploads it; an ingest leaves it out instead, and counts it under this reason.
    """


class UnsupportedError(PatchError):
    """Not the kind of file that is taken here, by its bytes, name or content type: to whoever sends it."""

    status = 415


class TooLargeError(PatchError):
    """More bytes, bands or pixels, there or claimed, than are read here: to whoever sends the file."""

    status = 413


class ShardError(InputError):
    """No dataset folder is there, or it is damaged, lacks what is asked for, or is another than was meant.

    To whoever packs it or reads it.
    """


class BundleError(InputError):
    """No bundle is there, or it is damaged, too new, or does not fit: to whoever serves it, scores it or exports it."""


class PredictionsError(InputError):
    """No predictions are there, or they are damaged, or do not fit the dataset: to whoever wants a report of them."""


class StudyError(InputError):
    """No such study, or there is one already, or its state is damaged: to whoever searches, or looks at a search."""


class NotFoundError(InputError):
    """A name that the registry, the endpoint or a download's server does not know: to whoever asked for it."""

    status = 404


class BusyError(LandsweepError):
    """Somebody else holds it (a port, a lock, a full queue), or it does not come up: to whoever can try again later."""

    status = 503


class StorageError(LandsweepError):
    """The disk has no room for what is to be written, and what was there is still there: to whoever can make room."""

    status = 507


class ServiceError(LandsweepError):
    """A server does not answer, or answers with an error: the endpoint, an object store, timm's hub, a download's.

    To whoever runs it, or gave its address.
    """

    status = 503


class TrainingError(LandsweepError):
    """Training cannot go on: it diverged, ran out of memory, has a damaged checkpoint, or came to no result.

    To whoever trains. What a trial of a search raises becomes its reason, and the other trials go on.
    """


def shown(word: str, most: int = 80) -> str:
    """A word from outside as it may stand in a message: cut where it is long, and what is not for print is escaped."""
    cut = word if len(word) <= most else f"{word[: most - 1]}…"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut)


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, as a sentence for a hint; else list what there is."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return "Known: " + ", ".join(known) + "."
