"""ONNX Runtime sessions on exactly the device that was asked for."""

from pathlib import Path

import onnxruntime
from insightface.model_zoo.onnxruntime_utils import preload_cuda_libraries

from wildaffect.errors import InputError

PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


def bind_session(source: Path | bytes, path: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    """A session of ``source`` (file or graph; ``path`` names it in messages).

    ONNX Runtime falls back to the CPU in silence, this does not: "cuda" raises :class:`InputError` where it cannot be had.
    """
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads
    providers = PROVIDERS[device]
    missing = providers[0] not in onnxruntime.get_available_providers()
    if not missing:
        preload_cuda_libraries(providers)
        model = source if isinstance(source, bytes) else str(source)
        try:
            session = onnxruntime.InferenceSession(model, settings, providers=providers)
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf as error:
            raise InputError(f"{path}: not a readable ONNX model ({error}). Fetch it again.") from error
        missing = session.get_providers()[0] != providers[0]
    if missing:
        raise InputError(
            f"device {device}: ONNX Runtime {onnxruntime.__version__} cannot bind {providers[0]} for {path.name}. "
            "Install onnxruntime-gpu in place of onnxruntime with matching CUDA libraries, or use device cpu."
        )
    return session
