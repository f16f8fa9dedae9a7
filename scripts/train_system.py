"""Train one variant of a system for one target on one fold."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.job import device, launch_processes
    from wildaffect.manifests import files_by_trial, read_lists, video_of_trial
    from wildaffect.training.train import train

    if not launch_processes(snakemake.resources.get("tasks", 1), snakemake.resources.get("nodes", 1)):
        train(
            system=snakemake.wildcards.system,
            variant=snakemake.wildcards.variant,
            target=snakemake.wildcards.target,
            fold=int(snakemake.wildcards.fold),
            mode=snakemake.params.mode,
            recipe=snakemake.params.recipe,
            seed=snakemake.params.training["seed"],
            precision=snakemake.params.training["precision"],
            folds=Path(snakemake.input.folds),
            labels=paths.keyed(paths.LABELS, snakemake.input.labels),
            **files_by_trial(
                Path(snakemake.input.trials),
                *(read_lists(snakemake.input.get(part, [])) for part in ("frames", "crops", "features", "persons")),
            ),
            videos=video_of_trial(Path(snakemake.input.trials)),
            output=Path(snakemake.output.model).parent,
            state=Path(snakemake.params.state),
            device=device(snakemake.resources.gpu),
            threads=snakemake.threads,
            code=snakemake.params.code,
        )
