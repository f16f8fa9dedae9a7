"""List every anomaly of the corpus: one line each."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.manifests import read_lists
    from wildaffect.paths import by_stem, by_video
    from wildaffect.report.audit import write_audit

    write_audit(
        Path(snakemake.output.audit),
        trials=Path(snakemake.input.trials),
        frames=by_video(read_lists(snakemake.input.frames)),
        audio=by_video(read_lists(snakemake.input.audio)),
        persons=by_video(read_lists(snakemake.input.persons)),
        labels=by_stem(snakemake.input.labels),
    )
