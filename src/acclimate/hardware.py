"""What this machine computes fast, and how its memory is handed out."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
from importlib.util import find_spec

# What `mallopt` calls them (malloc.h of glibc).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1
# Instructions that multiply matrices of bf16. Without them torch still takes bf16, and is slower than in fp32.
_BF16 = ("amx_bf16", "amx_tile", "avx512_bf16", "sve_bf16", "bf16")


def has_fast_bf16(*, on_cpu: bool) -> bool:
    """Whether bf16 has instructions of its own here: on NVIDIA's GPUs from Ampere on, on CPUs with AMX, AVX512-BF16 or
    Arm's. What is merely emulated does not count, nor do other accelerators, of which we know nothing."""
    import torch

    if not on_cpu:
        return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
    capabilities = cpu_capabilities()
    return any(capabilities.get(name) for name in _BF16)


def cpu_capabilities() -> dict[str, object]:
    """Instruction sets of the CPU by name, as torch tells them; empty where this version of torch tells none."""
    import torch

    tell = getattr(torch.cpu, "get_capabilities", None)
    if tell is not None:
        return dict(tell())
    # torch 2.9 has no public way.
    names = {"amx_tile": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}
    return {name: getattr(torch.cpu, function)() for name, function in names.items() if hasattr(torch.cpu, function)}


def can_compile() -> bool:
    """Whether `torch.compile` finds what it makes a GPU's kernels with: Triton, and a C compiler."""
    compilers = (os.environ.get("CC"), "gcc", "clang", "cc")
    return find_spec("triton") is not None and any(name and shutil.which(name) for name in compilers)


def keep_memory() -> bool:
    """Let this process keep freed memory for what it needs next, instead of giving it back to the system each time.

    A training step frees and asks for the same large blocks again; the system would clear every page anew. The process
    then stays as large as it once was. Only with glibc; elsewhere nothing is changed, and False is returned.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, _NEVER))
