"""Predict the held-out or the test trials of one instance, a row per decoded frame."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.job import device
    from wildaffect.manifests import read_lists
    from wildaffect.paths import by_stem, samples_by_trial
    from wildaffect.training.predict import predict_from

    predict_from(
        Path(snakemake.input.model),
        system=snakemake.wildcards.system,
        variant=snakemake.wildcards.variant,
        target=snakemake.wildcards.target,
        mode=snakemake.params.mode,
        recipe=snakemake.params.recipe,
        trials=snakemake.params.names,
        **samples_by_trial(
            Path(snakemake.input.trials),
            *(read_lists(snakemake.input.get(part, [])) for part in ("frames", "crops", "features", "persons")),
        ),
        labels=by_stem(snakemake.input.get("labels", [])),
        output=Path(snakemake.output.predictions),
        device=device(snakemake.resources.gpu),
        threads=snakemake.threads,
    )
