"""The machine that trains: how its cores are set up, and how it is described."""

import ctypes
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from progress_measures.errors import UserError
from progress_measures.models.gemm import library


def set_up(threads: int) -> None:
    """Make a process fast at training; call it before any other work of torch.

    Where the loss gets very small, gradients and Adam's second moments fall below 1e-38, where many CPUs compute up to
    ten times slower: they are flushed to zero. And the big buffers of a step are kept by the allocator rather than handed back to
    the system and faulted in again, 2,000 pages a step.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("highest")  # no TF32, no bf16 on a GPU
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_threshold = -1, -3
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, 32 << 20)
        libc.mallopt(trim_threshold, 1 << 30)


def usable(wanted: str) -> str:
    """`cpu` or `cuda`; for `auto` what torch finds here.

    Raises:
        UserError: `cuda` is asked for and torch finds none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError("--device cuda: torch finds no usable GPU on this machine; use --device cpu or auto.")
    return ("cuda" if available else "cpu") if wanted == "auto" else wanted


def machine(device: torch.device) -> dict[str, Any]:
    """What was computed on, with what: for records that travel with results."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gemm": library(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
