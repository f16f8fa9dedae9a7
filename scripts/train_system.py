"""Train one variant of a system for one target on one fold."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths, systems
    from wildaffect.job import device, launch_processes
    from wildaffect.manifests import files_by_trial, read_lists, video_of_trial
    from wildaffect.training.inputs import FoldData, JobInputs, Runtime
    from wildaffect.training.origin import Origin
    from wildaffect.training.runtime import leave_group
    from wildaffect.training.train import train

    if not launch_processes(snakemake.resources.get("tasks", 1), snakemake.resources.get("nodes", 1)):
        what, how, trials = snakemake.wildcards, snakemake.params, Path(snakemake.input.trials)
        files = (read_lists(snakemake.input.get(part, [])) for part in ("frames", "crops", "features", "persons"))
        train(
            systems.set_up(what.system, what.variant, what.target, how.mode, how.recipe, how.base),
            FoldData(
                fold=int(what.fold),
                folds=Path(snakemake.input.folds),
                labels=paths.keyed(paths.LABELS, snakemake.input.labels),
                videos=video_of_trial(trials),
            ),
            JobInputs(**files_by_trial(trials, *files), subjects=how.subjects),
            Runtime(
                device=device(snakemake.resources.gpu),
                precision=how.training["precision"],
                deterministic=how.training["deterministic"],
                compiled=how.training["compile"],
                threads=snakemake.threads,
                cache_mib=how.cache_mib,
            ),
            seed=how.training["seed"],
            block=how.training["block"],
            output=Path(snakemake.output.model).parent,
            state=Path(how.state),
            code=snakemake.params.code + how.package,
            origin=Origin(**how.origin),
        )
        leave_group()
