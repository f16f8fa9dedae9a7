"""Device, numeric precision and determinism of a job."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.strategies import DDPStrategy

from wildaffect.errors import InputError
from wildaffect.job import WORKER

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def open_fabric(device: str, precision: str = "32-true") -> Fabric:
    """Lightning Fabric on ``cpu`` or ``cuda``; :class:`InputError` if there is no such device, never another one instead.

    One device, or one in each of the processes that srun or torchrun started together (gloo between CPUs, NCCL between GPUs).
    """
    if device not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is unknown; use cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("a GPU was asked for, but PyTorch finds no CUDA device. Check the driver, or run without GPU.")
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is unknown; use one of {', '.join(PRECISIONS)}.")
    if precision == "16-mixed" and device == "cpu":
        raise InputError("precision 16-mixed needs a GPU; use 32-true or bf16-mixed on CPUs.")
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    together = processes()
    if together == (1, 1):
        # Said plainly: inside a job Fabric would take SLURM's variables for those of a group of processes.
        return Fabric(accelerator=device, devices=1, precision=precision, plugins=[LightningEnvironment()])
    nodes, each = together
    # Phases freeze parts of a model, which then take no part in the exchange of gradients.
    fabric = Fabric(
        accelerator=device,
        devices=each,
        num_nodes=nodes,
        strategy=DDPStrategy(find_unused_parameters=True),
        precision=precision,
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


def device_name(device: str) -> str:
    """Name of the processor that really computes."""
    return torch.cuda.get_device_name() if device == "cuda" else (platform.processor() or platform.machine())


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Run the block with ``threads`` CPU threads, deterministic kernels and full float32; the caller's random state comes back after it.

    CUDA operations without a deterministic form warn and are then the one source of differences between runs.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn = torch.backends.cudnn
    before = torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    torch.set_num_threads(threads)
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = True, False, False
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.use_deterministic_algorithms(mode=False)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before[1:]
        torch.set_num_threads(before[0])
