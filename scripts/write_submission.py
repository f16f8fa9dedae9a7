"""Write the fused test predictions in the organisers' format."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.manifests import read_lists
    from wildaffect.scoring.tasks import task_of
    from wildaffect.submission.writer import write_submission

    write_submission(
        Path(snakemake.output.record),
        predictions=paths.prediction_entries(snakemake.input.predictions),
        trials=Path(snakemake.input.trials),
        frames=paths.keyed(paths.FRAMES, read_lists(snakemake.input.frames)),
        task=task_of(snakemake.params.rules),
        sample=next(map(Path, snakemake.input.get("sample", [])), None),
        allow_partial=snakemake.params.allow_partial,
    )
