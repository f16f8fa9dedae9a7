"""Files of the insightface model packs; imports nothing heavy, so a run can check them before it starts."""

from pathlib import Path

from wildaffect.errors import InputError

# Files of the packs: detector, 68 landmarks, identity.
PACKS = {
    "buffalo_l": ("det_10g.onnx", "1k3d68.onnx", "w600k_r50.onnx"),
    "buffalo_m": ("det_2.5g.onnx", "1k3d68.onnx", "w600k_r50.onnx"),
    "buffalo_s": ("det_500m.onnx", "1k3d68.onnx", "w600k_mbf.onnx"),
    "antelopev2": ("scrfd_10g_bnkps.onnx", "1k3d68.onnx", "glintr100.onnx"),
}


def pack_files(model: str, models_dir: Path | None) -> dict[str, Path]:
    """Files by role (detector, landmarks, identity) of a pack below ``models_dir``, or of one ONNX file (detector alone).

    Raises `InputError` for an unknown name and for a file that is not there.
    """
    if model not in PACKS:
        path = Path(model)
        if path.suffix != ".onnx":
            raise InputError(
                f"faces.model: {model!r} is neither a pack ({', '.join(PACKS)}) nor the path of a .onnx file."
            )
        files = {"detector": path}
    else:
        if models_dir is None:
            raise InputError(f"faces.model: the pack {model!r} needs models_dir, the folder that holds {model}/.")
        folder = Path(models_dir) / model
        files = {
            role: folder / name for role, name in zip(("detector", "landmarks", "identity"), PACKS[model], strict=True)
        }
    for path in files.values():
        if not path.is_file():
            raise InputError(f"{path}: model file not found. Put it there or name another model in faces.model.")
    return files
