"""Set-up and description of the machine that trains or measures."""

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
    """Configure a process for fast training and measuring; call this before any other use of torch.

    When the loss is very small, gradients and Adam's second moments fall below 1.2e-38, the smallest normal float32. Many CPUs
    compute up to ten times slower with such numbers, so these numbers are set to zero. On Linux with glibc, the
    memory allocator is set to reuse buffers of up to 32 MiB. By default it would return the large buffers of an update to the
    system, and each update would cause 2,000 page faults.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("highest")  # no TF32, no bf16 on a GPU
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # numbers of these parameters in malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # bytes; the largest value that glibc accepts
        libc.mallopt(M_TRIM_THRESHOLD, 2**30)  # bytes


def resolve_device(requested: str) -> str:
    """Return `cpu` or `cuda`; for `auto`, `cuda` if torch finds a GPU on this machine.

    Raises:
        UserError: `cuda` is requested and torch finds no GPU.
    """
    available = torch.cuda.is_available()
    if requested == "cuda" and not available:
        raise UserError("--device cuda: torch finds no usable GPU on this machine; use --device cpu or auto.")
    return ("cuda" if available else "cpu") if requested == "auto" else requested


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Describe the machine for the record of a computation that ends now: the time, the hardware and the software."""
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
        "gemm": library(),  # name of the library that multiplies matrices on the CPU
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def peak_memory_mib() -> float:
    """Return the peak memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike ru_maxrss, VmHWM excludes the parent process's memory before the fork
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS, the system without /proc
