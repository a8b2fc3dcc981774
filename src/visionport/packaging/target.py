"""What a target is, and what all of them share: the model's folder with its warm-up requests, and text that is parsed
again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from visionport.errors import ArtifactError
from visionport.filetypes import open_file
from visionport.packaging.source import BLOCK, Source
from visionport.serving.warmup import FILE, read_logs, records


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a target writes. logs: warm-up requests; none to leave the artifact's own. signature, body: of the README's
    request. more: the target's own options."""

    source: Source
    logs: Sequence[Any]
    signature: str
    feeds: Mapping[str, Any]
    more: Mapping[str, Any]


class Target(Protocol):
    """A server whose layout is written. Each is a module with these."""

    NAME: str
    TITLE: str
    FORMATS: tuple[str, ...]  # that it takes
    WHY: str | Mapping[str, str]  # it takes no other

    def settle(self, source: Source) -> Source:
        """The source by a name that the server takes. Raises OptionError for one that it does not."""
        ...

    def write(self, job: Job, folder: Path) -> str:
        """Writes the layout into `folder`; where the artifact lies in it, "" where it is packed."""
        ...

    def check(self, job: Job, folder: Path) -> list[str]:
        """Reads what was written: what was found, in words. Raises ArtifactError for what is not as it should be."""
        ...

    def explain(self, job: Job) -> str:
        """The README below its title."""
        ...


def put_saved_model(job: Job, folder: Path) -> None:
    """A SavedModel's files, and its warm-up requests."""
    job.source.copy(folder, but=FILE if job.logs else "")
    if job.logs:
        file = folder / FILE
        file.parent.mkdir(exist_ok=True)
        with open(file, "xb") as target:
            target.writelines(records(job.logs))


def check_saved_model(job: Job, folder: Path) -> list[str]:
    """That the files are the export's, and the warm-up requests those that were made."""
    wanted = {name for name in job.source.files if name != FILE or not job.logs}
    for name in wanted:
        check_digest(folder / name, job.source.files[name])
    found = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    if strange := found - wanted - {FILE}:
        raise ArtifactError(f"{folder} holds {min(strange)}, which is not the export's. Package again.")
    lines = [f"{len(wanted)} files of the SavedModel: the export's own by SHA-256"]
    if job.logs:
        logs = [*read_logs(folder / FILE, folder)]
        if logs != list(job.logs):
            raise ArtifactError(f"{folder / FILE} does not hold the warm-up requests. Package again.")
        lines.append(f"{FILE}: {len(logs)} requests, of {len({name_of(log) for log in logs})} signatures")
    return lines


def name_of(log: Any) -> str:
    return log.predict_log.request.model_spec.signature_name


def check_digest(path: Path, record: Mapping[str, Any]) -> None:
    digest = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != record["sha256"]:
        raise ArtifactError(f"{path} is not what was copied. Package again.")


def write_json_request(job: Job, folder: Path) -> None:
    """request.json, for TensorFlow Serving's REST API."""
    from visionport.packaging.requests import json_body

    (folder / "request.json").write_bytes(json_body(job.signature, job.feeds))


def check_json_request(folder: Path) -> str:
    body = json.loads((folder / "request.json").read_bytes())
    return f"request.json: {len(body['instances'])} picture for {body.get('signature_name', 'serving_default')}"
