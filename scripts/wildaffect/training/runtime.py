"""Device, numeric precision and determinism of a job."""

import gc
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.strategies import DDPStrategy
from torch import nn

from wildaffect.errors import InputError
from wildaffect.features.networks import innermost_is_safe
from wildaffect.job import WORKER

PRECISIONS = {"float32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed", "float16": "16-mixed"}
"""Numeric precisions, and what Fabric calls them."""


def open_fabric(device: str, precision: str = "float32") -> Fabric:
    """Lightning Fabric on ``cpu`` or ``cuda``; :class:`InputError` if there is no such device, never another one instead.

    One device, or one in each of the processes that srun or torchrun started together (gloo between CPUs, NCCL between GPUs).
    """
    if device not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is unknown; use cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("a GPU was asked for, but PyTorch finds no CUDA device. Check the driver, or run without GPU.")
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is unknown; use one of {', '.join(PRECISIONS)}.")
    if precision in ("tf32", "float16") and device == "cpu":
        raise InputError(f"precision {precision} needs a GPU; use float32 or bf16 on CPUs.")
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    together = processes()
    if together == (1, 1):
        # Said plainly: inside a job Fabric would take SLURM's variables for those of a group of processes.
        return Fabric(accelerator=device, devices=1, precision=PRECISIONS[precision], plugins=[LightningEnvironment()])
    nodes, each = together
    # Phases freeze parts of a model, which then take no part in the exchange of gradients.
    fabric = Fabric(
        accelerator=device,
        devices=each,
        num_nodes=nodes,
        strategy=DDPStrategy(find_unused_parameters=True),
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def processes() -> tuple[int, int]:
    """Nodes, and processes on each, of the group that this process was started in; ``(1, 1)`` for a process of its own."""
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        each = int(environment["LOCAL_WORLD_SIZE"])
        return int(environment["WORLD_SIZE"]) // each, each
    if WORKER in environment and "SLURM_NTASKS" in environment:
        nodes, tasks = int(environment["SLURM_STEP_NUM_NODES"]), int(environment["SLURM_NTASKS"])
        if tasks % nodes:
            raise InputError(
                f"{tasks} processes on {nodes} nodes: every node needs the same number; set tasks to a multiple of nodes."
            )
        return nodes, tasks // nodes
    return 1, 1


def leave_group() -> None:
    """Leave the group of processes for good, after the function that trained in it has returned; without one, nothing happens.

    Its threads would outlive the interpreter otherwise, and may then abort a process that has done all its work. A model that is still
    wrapped for the group would end it later, and while Python waits: gloo's threads may then wait for Python for ever.
    """
    if torch.distributed.is_initialized():
        gc.collect()  # wrapped models refer to themselves
        torch.distributed.destroy_process_group()


def device_name(device: str) -> str:
    """Name of the processor that really computes."""
    return torch.cuda.get_device_name() if device == "cuda" else (platform.processor() or platform.machine())


def divide_threads(threads: int, device: str) -> tuple[int, int]:
    """Threads that compute, and processes that read samples for them, together ``threads`` if these are enough for both.

    A GPU computes by itself, so all threads but one read. On CPUs one of eight does: networks, also small ones, take many times as long as
    their samples there (``benchmarks/gpu.py --divide``).
    """
    workers = threads - 1 if device == "cuda" else threads // 8
    return max(1, threads - workers), workers


def own_threads(threads: int) -> int:
    """Of a job's threads those of this process: torchrun's processes divide them, srun gives each of its own the full number."""
    return max(1, threads // processes()[1]) if "TORCHELASTIC_RUN_ID" in os.environ else threads


def setup_module(fabric: Fabric, model: nn.Module, *, compiled: bool = False) -> Any:
    """``model`` on the device as ``fabric`` runs it.

    On GPUs weights lie channels innermost, as their matrix units read them.

    Args:
        fabric: As `open_fabric` gives it.
        model: Its parameters stay the same objects.
        compiled: Let torch.compile write kernels for it.
    """
    if fabric.device.type == "cuda":
        channels_innermost(model)
    return fabric.setup_module(torch.compile(model) if compiled else model)


def channels_innermost(model: nn.Module) -> None:
    """Lay out the weights of convolutions so that channels are innermost, which makes their outputs so; no value changes.

    Not in networks where `wildaffect.features.networks.channels_last` does not either.
    """
    if not innermost_is_safe(model):
        return
    formats = {nn.Conv2d: torch.channels_last, nn.Conv3d: torch.channels_last_3d}
    for layer in model.modules():
        if type(layer) in formats:
            layer.weight.data = layer.weight.data.contiguous(memory_format=formats[type(layer)])


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Let a fresh optimiser take each step in one kernel instead of several per tensor, where its kind can."""
    for group in optimizer.param_groups:
        if "fused" in group:
            group.update(fused=True, foreach=False)


@contextmanager
def computing(threads: int, *, deterministic: bool = True, tf32: bool = False) -> Iterator[None]:
    """Run the block with ``threads`` CPU threads; the caller's random state comes back after it.

    Args:
        threads: CPU threads.
        deterministic: Only kernels that always give the same values; CUDA operations without such a form warn and are then the one source
            of differences between runs. Otherwise the fastest for each shape, found by trying.
        tf32: Round the factors of products to 10 bits on GPUs; otherwise float32 is full float32.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn = torch.backends.cudnn
    before = torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    products = torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = deterministic, not deterministic, tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.use_deterministic_algorithms(mode=deterministic, warn_only=True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.use_deterministic_algorithms(mode=False)
        torch.set_float32_matmul_precision(products)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before[1:]
        torch.set_num_threads(before[0])
