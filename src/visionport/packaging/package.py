"""`visionport package`: an export becomes what a model server takes, and what was written is read again."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from visionport import manifest
from visionport.errors import OptionError
from visionport.formats import FORMATS
from visionport.lineage import LABELS
from visionport.packaging import TARGETS, requests
from visionport.packaging.source import Source, copy_file, read_source
from visionport.packaging.target import Job, Target
from visionport.prediction import check_signature
from visionport.staging import check_target, staged

README = "README.md"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be packaged, and how. name: of the model, the folder's by default; version: the checkpoint's step, or
    1, by default. kind: which of the export's formats. images: of which warm-up requests are made, bundled ones by
    default; warmup: whether there are any. signature: of the README's request, and of Triton's config. more: options of
    one target."""

    folder: Path
    target: str
    out: Path
    name: str | None = None
    version: int | None = None
    kind: str | None = None
    images: Sequence[Path] = ()
    warmup: bool = True
    signature: str | None = None
    overwrite: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


def package(request: Request) -> list[str]:
    """Writes the package to `request.out`: what was checked of it, in words."""
    target = target_of(request.target)
    check_target(request.out, overwrite=request.overwrite, inputs=[request.folder, *request.images])
    source = find_source(request, target)
    if request.signature is not None:
        check_signature(request.folder, request.signature, source.signatures)
    signature = find_signature(request, source)
    warmed = request.warmup and source.format == "saved_model"
    job = Job(
        source=source,
        logs=requests.make_logs(source, request.images) if warmed else (),
        signature=signature,
        feeds=requests.example_feeds(source, signature),
        more=request.more,
    )
    with staged(request.out, overwrite=request.overwrite) as folder:
        write(job, target, folder)
        return target.check(job, folder)


def target_of(name: str) -> Target:
    return cast(Target, importlib.import_module(TARGETS[name]))


def find_source(request: Request, target: Target) -> Source:
    """The artifact: of the format that is asked for, or the first that the target takes."""
    content = manifest.read(request.folder) if request.folder.exists() else {"artifacts": []}
    there = [a["format"] for a in content["artifacts"]]
    kind = request.kind or next((f for f in there if f in target.FORMATS), next(iter(there), None))
    source = read_source(request.folder, kind, request.name, request.version)
    if source.format not in target.FORMATS:
        why = target.WHY
        why = why.get(source.format, why.get("", "")) if isinstance(why, Mapping) else why
        formats = " or ".join(f for f in target.FORMATS if f in FORMATS)
        raise OptionError(
            f"{request.folder / source.artifact['path']} is {source.format}, and cannot be packaged --for "
            f"{request.target}: {why}. Export with --format {formats} and package that."
        )
    return target.settle(source)


def find_signature(request: Request, source: Source) -> str:
    if request.target == "vertex":  # asks no other
        if request.signature not in (None, "serving_default"):
            raise OptionError("--signature: Vertex AI asks serving_default alone.")
        return "serving_default"
    wanted = request.signature or (source.default if request.target == "triton" else None)
    return requests.choose_signature(source, wanted)


def write(job: Job, target: Target, folder: Path) -> None:
    """The layout, a README, and a manifest by which the package is an export itself, of one artifact."""
    source = job.source
    path = target.write(job, folder)
    if LABELS in source.content["files"]:
        copy_file(source.folder, LABELS, source.content["files"][LABELS], folder / LABELS)
    title = f"# {source.name}, version {source.version}, for {target.TITLE}\n\n"
    (folder / README).write_text(title + target.explain(job), "utf-8")
    artifacts = [{**source.artifact, "path": path}] if path else []
    content = {k: v for k, v in source.content.items() if k != "files"}
    manifest.write(folder, {**content, "artifacts": artifacts, "package": package_record(job, target)})


def package_record(job: Job, target: Target) -> dict[str, Any]:
    return {
        "for": target.NAME,
        "name": job.source.name,
        "version": job.source.version,
        "format": job.source.format,
        "signature": job.signature,
        "warmup_requests": len(job.logs),
    }
