"""Predict the held-out or the test trials of one instance, a row per decoded frame."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths, systems
    from wildaffect.job import device
    from wildaffect.manifests import files_by_trial, read_lists
    from wildaffect.training.inputs import JobInputs, Runtime
    from wildaffect.training.origin import Origin
    from wildaffect.training.predict import predict

    what, how = snakemake.wildcards, snakemake.params
    files = (read_lists(snakemake.input.get(part, [])) for part in ("frames", "crops", "features", "persons"))
    predict(
        systems.set_up(what.system, what.variant, what.target, how.mode, how.recipe, how.base),
        Path(snakemake.input.model),
        how.names,
        JobInputs(**files_by_trial(Path(snakemake.input.trials), *files), subjects=how.subjects),
        Runtime(
            device=device(snakemake.resources.gpu),
            precision=snakemake.params.prediction["precision"],
            threads=snakemake.threads,
            cache_mib=snakemake.params.cache_mib,
        ),
        batch=snakemake.params.prediction["batch"],
        labels=paths.keyed(paths.LABELS, snakemake.input.get("labels", [])),
        output=Path(snakemake.output.predictions),
        state=Path(how.state),
        code=snakemake.params.code + how.package,
        origin=Origin(**how.origin),
        accept=how.accept,
        notes=how.notes,
    )
