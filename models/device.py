"""Where a net runs and in which precision, and what is said when its memory is full.

Flows in: what the settings ask for. Flows out: a torch device; blocks in which torch computes in that precision, and
in which running out of memory, or failing to compile, becomes an error that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from pipelines.errors import SettingsError, TrainingError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "STATUS_ALLOC_FAILED")
"""How torch says so where it raises nothing but a RuntimeError."""


def pick_device(name: str) -> torch.device:
    """`auto` takes a GPU if there is one; anything else is torch's own name.

    Raises:
        SettingsError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError):
        raise SettingsError(f'no device "{name}" here', where="device", hint="Use cpu, or auto.") from None
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Compute in `precision` inside the block where that is safe; weights stay float32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


@contextmanager
def tuned_kernels(device: torch.device) -> Iterator[None]:
    """Have cuDNN try which of its kernels is quickest: batches of a fit are all alike. On a CPU nothing changes."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def own_memory_errors(what: str, hint: str) -> Iterator[None]:
    """Raise what says that memory is full as a TrainingError.

    Args:
        what: what did not fit, such as `a step of 32 patches`.
        hint: what to lower.

    Raises:
        TrainingError: memory was full.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise TrainingError(f"out of memory: {what} does not fit", hint=hint) from None
    except RuntimeError as error:
        if any(text in str(error) for text in _NO_MEMORY):
            raise TrainingError(f"out of memory: {what} does not fit", hint=hint) from None
        raise


@contextmanager
def own_compile_errors() -> Iterator[None]:
    """Raise what torch.compile says as a SettingsError.

    Raises:
        SettingsError: the net could not be compiled.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = str(error).strip().splitlines()[0]
        hint = "It needs a C++ compiler, and Triton on a GPU; without --compile nothing is missed but speed."
        raise SettingsError(f"the net cannot be compiled ({reason})", where="compile", hint=hint) from None
