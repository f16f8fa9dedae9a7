"""Find every face of every frame."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.detect import detect_faces
    from wildaffect.faces.detectors import detector_options
    from wildaffect.job import device

    detect_faces(
        Path(snakemake.input.video),
        Path(snakemake.input.frames),
        Path(snakemake.output.detections),
        backend=snakemake.params.backend,
        model=snakemake.params.model,
        models_dir=Path(snakemake.params.models_dir),
        options=detector_options(snakemake.params.backend, snakemake.params.options),
        device=device(snakemake.resources.gpu),
        threads=snakemake.threads,
    )
