"""What a benchmark runs on: names, instruction sets, and how fast a matrix product can be at best."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
LIBRARIES = ("acclimate", "torch", "transformers", "tokenizers", "accelerate", "peft", "numpy")

# Dense bf16 TFLOP/s by the makers' data sheets; found by a part of the name that torch gives.
GPU_PEAKS: Mapping[str, float] = {"H200": 989e12, "H100": 989e12, "A100": 312e12}

# [tokens, inputs] x [inputs, outputs]: the products of a BERT-base layer at 16 x 128 tokens, and a large square one.
CPU_SHAPES = ((2048, 768, 768), (2048, 768, 3072), (2048, 3072, 768), (2048, 2048, 2048))
GPU_SHAPES = ((32768, 768, 3072), (32768, 3072, 768), (8192, 8192, 8192))


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().split("\n\n")[0].splitlines() if path.exists() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def instruction_sets() -> list[str]:
    """Those of `INSTRUCTIONS` that the CPU has, as far as Linux tells."""
    flags = _cpuinfo().get("flags", "").split()
    return [name for name in INSTRUCTIONS if name in flags]


def versions() -> dict[str, str]:
    """Of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(device: str) -> dict[str, Any]:
    """The hardware with its measured GEMM peaks, in FLOP/s. Imports torch: run it in a process of its own."""
    import torch

    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    peaks = {name: gemm_peak(device, getattr(torch, name)) for name in ("float32", "bfloat16")}
    return {
        "cpu": _cpuinfo().get("model name") or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "instructions": instruction_sets(),
        "gpu": gpu,
        "gemm_peak": peaks,
        "data_sheet_peak": next((peak for name, peak in GPU_PEAKS.items() if gpu and name in gpu), None),
    }


def peak(hardware: Mapping[str, Any]) -> float:
    """What utilisation is measured by: a GPU's data sheet, else the fastest product measured, of either type."""
    return float(hardware["data_sheet_peak"] or max(hardware["gemm_peak"].values()))


def gemm_peak(device: str, dtype: Any) -> float:
    """FLOP/s of the fastest of the model's matrix products: the best shape's median of seven."""
    return max(_flops_per_second(device, dtype, *shape) for shape in (GPU_SHAPES if device == "cuda" else CPU_SHAPES))


def _flops_per_second(device: str, dtype: Any, tokens: int, inputs: int, outputs: int) -> float:
    import torch

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    left = torch.randn(tokens, inputs, device=device).to(dtype)
    right = torch.randn(inputs, outputs, device=device).to(dtype)
    took = []
    for _ in range(10):
        wait()
        start = time.perf_counter()
        left @ right
        wait()
        took.append(time.perf_counter() - start)
    return 2 * tokens * inputs * outputs / statistics.median(took[3:])
