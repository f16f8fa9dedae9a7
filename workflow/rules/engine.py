"""Questions that Snakemake answers anew for every job and that always have the same answer.

Without this a dry run takes a third longer.
"""

from collections.abc import Callable
from functools import cache

import snakemake.common
import snakemake.dag
import snakemake.rules


def remember_answers() -> None:
    """Let Snakemake look once, not once per job, at the arguments of a function in a rule, and whether the rule's script is there."""
    arguments = cache(snakemake.common.get_function_params)
    snakemake.common.get_function_params = snakemake.rules.get_function_params = arguments
    check = snakemake.dag.ScriptProcessor.process_job
    snakemake.dag.ScriptProcessor.process_job = once_per_script(check)


def once_per_script(check: Callable) -> Callable:
    """``check`` of a job's script, unless another job has the same one. Names with wildcards are of the job alone."""
    checked = set()

    def process_job(processor, job) -> None:
        script = str(getattr(job.rule, processor.script_type)), str(job.rule.basedir)
        if script not in checked or "{" in script[0]:
            check(processor, job)
            checked.add(script)

    return process_job
