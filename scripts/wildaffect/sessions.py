"""Sessions of ONNX Runtime. Its telemetry is off since `import wildaffect`."""

from pathlib import Path

import onnxruntime

from wildaffect.errors import InputError
from wildaffect.integrity import foreign

PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


def bind_session(source: Path | bytes, path: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    """A session of ``source`` (file or graph; ``path`` names it in messages).

    ONNX Runtime silently falls back to the CPU, this does not: "cuda" raises `InputError` where it cannot be had.
    """
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads
    providers = PROVIDERS[device]
    missing = providers[0] not in onnxruntime.get_available_providers()
    if not missing:
        if device == "cuda":
            from insightface.model_zoo.onnxruntime_utils import preload_cuda_libraries

            preload_cuda_libraries(providers)
        model = source if isinstance(source, bytes) else str(source)
        with foreign(path, "a readable ONNX model", "Fetch it again."):
            session = onnxruntime.InferenceSession(model, settings, providers=providers)
        missing = session.get_providers()[0] != providers[0]
    if missing:
        raise InputError(
            f"device {device}: ONNX Runtime {onnxruntime.__version__} cannot bind {providers[0]} for {path.name}. "
            "Install onnxruntime-gpu in place of onnxruntime with matching CUDA libraries, or use device cpu."
        )
    return session
