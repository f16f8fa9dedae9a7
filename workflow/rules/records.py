"""What results were made of, recorded beside them.

Snakemake keeps its records (params, inputs, locks, jobs under way) in ``.snakemake`` of the folder where it is called. Then two checkouts
with one results folder know nothing of each other, and results that are moved are unknown. Here the records lie in ``<results>/.snakemake``
and say what holds everywhere: results by their names below the folder, given files by what is in them.

Conda environments and containers, logs and scripts under way stay where Snakemake is called.
"""

import getpass
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import snakemake.workflow
from snakemake.exceptions import WorkflowError
from snakemake.io import ancient
from snakemake.persistence import NO_PARAMS_CHANGE, MetadataRecord, ParamsChange
from snakemake.persistence.file import FilePersistence
from snakemake_interface_executor_plugins.settings import ExecMode

from wildaffect.content import RECORDS, Contents
from wildaffect.errors import InputError
from wildaffect.files import atomic, in_words
from wildaffect.provenance import code_fingerprint, stable_hash
from wildaffect.workflow.status import JOBS, LOCK, plain_job

FOLDER = RECORDS


def keep_records(results: str) -> None:
    """Let Snakemake keep its records in the folder ``results``; it makes their keeper after it has read the rules."""
    snakemake.workflow.FilePersistence = partial(Records, results)


def run_code_in(scripts: str) -> None:
    """Let jobs import the code in ``scripts``, whatever copy of it is installed: Snakemake puts that folder last."""
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, [scripts, *before])))


def planned_code(results: str) -> dict[str, str]:
    """``params.code`` of the jobs that the run which writes ``results`` has planned, by script and modules; empty where none does."""
    try:
        found = json.loads(_lock_file(Path(results) / FOLDER).read_text())["code"]
    except (OSError, ValueError, KeyError):
        return {}
    return {code.rpartition(" ")[0]: code for code in found}


def run_code(planned: Mapping[str, str], script: str, modules: Iterable[str] = ()) -> str:
    """What a job runs: ``script``, the modules it picks by name, and a fingerprint of both and all they import; or what was ``planned``."""
    name = " ".join([script, *modules])
    return planned.get(name) or f"{name} {code_fingerprint(script, modules)}"


def given(results: str, files: str | Iterable[str]) -> str | list:
    """Files that a job reads. Those that no rule makes count by what is in them, not by their time stamps."""
    if not isinstance(files, str):
        return [given(results, file) for file in files]
    return files if is_made(results, files) else ancient(files)


def is_made(results: str, file: str) -> bool:
    """Some rule makes ``file``, in the folder ``results``."""
    return file.startswith(f"{results}/")


def unrecorded(value: Any) -> Callable[..., Any]:
    """A param that says where something is. What is there is an input and counts, not where: Snakemake records no function of inputs."""
    return lambda wildcards, input: value(wildcards) if callable(value) else value


class Records(FilePersistence):
    """Snakemake's records of the folder ``results``."""

    def __init__(
        self,
        results: str,
        *,
        path: Path | None = None,
        conda_prefix: str | None = None,
        singularity_prefix: str | None = None,
        **options: Any,
    ) -> None:
        here = Path(FOLDER).absolute()
        self._results = results
        with self._disk_in_words():
            super().__init__(
                path=path or Path(results).absolute() / FOLDER,
                conda_prefix=conda_prefix or here / "conda",
                singularity_prefix=singularity_prefix or here / "singularity",
                **options,
            )
        self._contents = Contents(self.path / "contents.jsonl")

    # Names that hold everywhere.

    def _get_key(self, f) -> str:
        return self._name(super()._get_key(f))

    @lru_cache(maxsize=1)  # noqa: B019  # asked for once per output of a job; there is one keeper in a process
    def _input(self, job) -> list[str]:
        return [self._name(path) for path in super()._input(job) if self._is_result(path)]

    def _log(self, job) -> list[str]:
        return [self._name(path) for path in super()._log(job)]

    def _params(self, job) -> list[Any]:
        given = [path for path in job.input if not self._is_result(path)]
        try:
            return super()._params(job) + ([f"given: {self._given(given)}"] if given else [])
        except InputError as error:
            raise WorkflowError(str(error)) from None

    def _write_record(self, key: str, record: MetadataRecord) -> None:
        checksums = record.input_checksums or {}
        record.input_checksums = {self._name(k): value for k, value in checksums.items() if self._is_result(k)}
        with self._disk_in_words():
            super()._write_record(key, record)
            # Snakemake keeps it private, but results may be shared.
            file = Path(self._record_path(self._metadata_path, key))
            file.chmod(file.parent.stat().st_mode & 0o666)

    @contextmanager
    def _disk_in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkflowError(
                f"{self._results}: the records of results cannot be written: {in_words(error)}"
            ) from None

    def input_checksums(self, job, input_path) -> set[Any]:
        return super().input_checksums(job, self._name(str(input_path)))

    def _given(self, paths: list[str]) -> str:
        hashes = [self._contents.hash(path) for path in paths]
        return hashes[0] if len(hashes) == 1 else stable_hash(hashes)

    def _is_result(self, path: str) -> bool:
        return is_made(self._results, path)

    def _name(self, path: str) -> str:
        return path[len(self._results) + 1 :] if self._is_result(path) else os.path.relpath(path, self._results)

    # Files of unknown origin.

    def has_metadata(self, job) -> bool:
        """There is something to compare: a record, or a file that lacks one."""
        return super().has_metadata(job) or any(Path(f).exists() for f in job.output)

    def params_changed(self, job, file=None):
        """An output that nobody recorded is taken for changed, unless a run asks that has planned it already."""
        files = [file] if file is not None else job.output
        planning = self.dag.workflow.exec_mode == ExecMode.DEFAULT
        unknown = {f for f in files if planning and self.metadata(f) is None and Path(f).exists()}
        if unknown:
            return ParamsChange({"not recorded"}, set(), unknown)
        # Without a change Snakemake still names the files, and --list-changes lists them.
        return super().params_changed(job, file) or NO_PARAMS_CHANGE

    def started(self, job, external_jobid: str | None = None) -> None:
        with self._disk_in_words():
            super().started(job, external_jobid)
        if self.dag.workflow.exec_mode == ExecMode.DEFAULT:
            self._params(job)  # given files as they are now; they may be changed while the job runs

    # One writer at a time.

    @property
    def locked(self) -> bool:
        return _lock_file(self.path).exists()

    @contextmanager
    def lock(self) -> Iterator[None]:
        owner = {
            "user": _user(), "host": socket.gethostname(), "process": os.getpid(), "folder": str(Path.cwd()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"), "code": self._code_of_jobs(),
        }  # fmt: skip
        file = _lock_file(self.path)
        try:
            file.parent.mkdir(exist_ok=True)
            with file.open("x") as handle:
                json.dump(owner, handle)
        except FileExistsError:
            raise WorkflowError(_in_use(self._results, file)) from None
        except OSError as error:
            with suppress(OSError):
                file.unlink()  # of no words, where the disk is full
            raise WorkflowError(f"{self._results}: cannot be written: {in_words(error)}") from None
        try:
            self._list_jobs(owner)
            yield
        finally:
            self.unlock()

    def _list_jobs(self, owner: Mapping[str, Any]) -> None:
        """Write down what will run, for those who follow the run (`wildaffect.workflow.status`)."""
        if self.dag.workflow.touch:
            return
        jobs = [
            plain_job(
                Path(str(job.rule.snakefile)).stem.partition("_")[0],
                job.rule.name,
                job.wildcards,
                self._name(str(job.log[0])),
            )
            for job in self.dag.needrun_jobs()
            if job.log and not job.is_group() and not job.rule.name.startswith("list_")
        ]
        try:
            with atomic(Path(self._results) / JOBS) as partial:
                partial.write_text(json.dumps({"owner": {k: v for k, v in owner.items() if k != "code"}, "jobs": jobs}))
        except InputError as error:
            raise WorkflowError(str(error)) from None

    def _code_of_jobs(self) -> list[str]:
        """``params.code`` of all jobs that will run: it is the same for most jobs of a rule."""
        functions = ((job.rule.params.get("code"), job.wildcards) for job in self.dag.needrun_jobs())
        return sorted({function(wildcards) for function, wildcards in functions if function})


def _lock_file(folder: Path) -> Path:
    return folder.parent / LOCK


def _in_use(results: str, file: Path) -> str:
    """Who writes to ``results``, whether it still runs as far as this machine knows, and what to do."""
    try:
        owner: Mapping[str, Any] = json.loads(file.read_text())
        who = f"process {owner['process']} on {owner['host']}, of {owner['user']} since {owner['since']}, started in {owner['folder']}"
        gone = owner["host"] == socket.gethostname() and not Path(f"/proc/{owner['process']}").exists()
    except (OSError, ValueError, KeyError, TypeError):
        who, gone = f"unknown: {file} is not readable", False
    if gone:
        advice = "That process does not run any more. When no job of it is left on a cluster, remove what it left with: snakemake --unlock"
    else:
        advice = (
            "Wait for it, or choose another results_dir. If it was killed, remove what it left with: snakemake --unlock"
        )
    return f"{results}: another run ({who}) writes there, and only one may. {advice}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        return str(os.getuid())
