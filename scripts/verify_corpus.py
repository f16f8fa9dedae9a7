"""Last of all: end with an error if the corpus had errors that nobody accepted."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.report.audit import verify_corpus

    verify_corpus(
        Path(snakemake.input.audit),
        Path(snakemake.output.verdict),
        snakemake.params.accepted,
    )
