"""What the machine computes fast is told by its instructions, not by what torch emulates."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from acclimate import hardware


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"avx512_f": True, "avx512_vnni": True, "amx_bf16": False, "avx512_bf16": False}, False),
        ({"avx512_f": True, "amx_bf16": True, "amx_tile": True}, True),
        ({"avx512_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),
        ({}, False),
    ],
)
def test_bf16_on_cpus(capabilities: dict[str, object], fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cpu_capabilities", lambda: capabilities)
    assert hardware.has_fast_bf16(on_cpu=True) is fast


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_on_gpus(capability: tuple[int, int], fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert hardware.has_fast_bf16(on_cpu=False) is fast


def test_an_older_torch_tells_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert hardware.cpu_capabilities()["amx_tile"] is True
    assert hardware.has_fast_bf16(on_cpu=True)


def test_memory_is_only_kept_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.platform, "libc_ver", lambda: ("", ""))
    assert not hardware.keep_memory()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page faults are counted on Linux")
def test_kept_memory_is_used_again() -> None:
    """A block of 64 MiB that is freed and asked for again: its pages are cleared each time, or once."""
    script = """
import resource, sys, torch
from acclimate.hardware import keep_memory
if sys.argv[1] == "keep" and not keep_memory():
    sys.exit(3)
for _ in range(20):  # until the heap has found its places
    torch.ones(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {}
    for name in ("keep", "give back"):
        done = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True)
        if done.returncode == 3:
            pytest.skip("no glibc")
        faults[name] = int(done.stdout)
    assert faults["keep"] * 5 < faults["give back"]
