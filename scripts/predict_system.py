"""Predict the held-out or the test trials of one instance, a row per decoded frame."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.job import device
    from wildaffect.manifests import files_by_trial, read_lists
    from wildaffect.training.predict import predict_from

    predict_from(
        Path(snakemake.input.model),
        system=snakemake.wildcards.system,
        variant=snakemake.wildcards.variant,
        target=snakemake.wildcards.target,
        mode=snakemake.params.mode,
        recipe=snakemake.params.recipe,
        trials=snakemake.params.names,
        **files_by_trial(
            Path(snakemake.input.trials),
            *(read_lists(snakemake.input.get(part, [])) for part in ("frames", "crops", "features", "persons")),
        ),
        labels=paths.keyed(paths.LABELS, snakemake.input.get("labels", [])),
        output=Path(snakemake.output.predictions),
        device=device(snakemake.resources.gpu),
        threads=snakemake.threads,
    )
