"""The report of an export as one HTML file: does each artifact answer as its checkpoint does, and how to run it.

No scripts and no requests: styles are inline, pictures are data URIs. The same report gives the same bytes.
"""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from PIL import Image

from visionport.verification.checks import Check
from visionport.verification.summary import Row, notes_of, pictures_of, show_bound, show_number, summarize, verdict_of

PICTURE_SIDE = 960  # the longer side of an embedded picture, at most

MARKS = {"good": "✓", "bad": "✗", "unknown": "?", "design": "≠"}
WORDS = {"good": "agrees", "bad": "disagrees", "unknown": "not verified", "design": "differs by design"}
# The state of a check -> the look of its badge, and the word.
STATES = {
    "agrees": ("good", "within"),
    "disagrees": ("bad", "outside"),
    "not judged": ("unknown", "not judged"),
    "differs by design": ("design", "by design"),
}


@dataclass(frozen=True, kw_only=True)
class TensorView:
    """One input or output of a signature."""

    name: str
    dtype: str
    shape: str  # as it is to be read: "[1, 320, 320, 3]", "[?, 100, 4]"


@dataclass(frozen=True, kw_only=True)
class SignatureView:
    """One way to call an artifact."""

    name: str
    inputs: tuple[TensorView, ...]
    outputs: tuple[TensorView, ...]


@dataclass(frozen=True, kw_only=True)
class ArtifactView:
    """One exported artifact."""

    title: str  # what it is, for people
    path: str  # relative to the export directory
    size: int  # bytes
    checks: tuple[Check, ...] = ()  # none: not verified
    signatures: tuple[SignatureView, ...] = ()
    snippet: str = ""  # Python that loads and runs it


@dataclass(frozen=True, kw_only=True)
class PictureView:
    """One image with the answers of the checkpoint and of each artifact, side by side."""

    name: str
    columns: tuple[tuple[str, Image.Image | bytes], ...]  # (whose answer, the picture, or PNG or JPEG bytes)


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the report tells."""

    title: str
    architecture: str
    config: str  # path
    checkpoint: str  # path
    step: int | None  # None: the checkpoint does not say
    parameters: int
    classes: int
    input: str  # "fixed 320x320, aspect lost"
    warnings: tuple[str, ...] = ()
    artifacts: tuple[ArtifactView, ...] = ()
    pictures: tuple[PictureView, ...] = ()
    noun: str = "answers"  # what the answers are called


def write_report(path: Path, report: Report) -> None:
    """Write `report` to `path` as one HTML file, which needs no other."""
    Path(path).write_bytes(render(report).encode(errors="backslashreplace"))


def render(report: Report) -> str:
    """The report's HTML."""
    names = _names(report.artifacts)
    state, headline, detail = _verdict(report, names)
    css = resources.files("visionport.report").joinpath("report.css").read_text("utf-8")
    sections = (
        _overview(report, names),
        _pictures(report),
        _agreement(report, names),
        *(_artifact(i, artifact, names[i]) for i, artifact in enumerate(report.artifacts)),
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(report.title)}: {escape(headline)}</title>
<style>
{css.strip()}
</style>
</head>
<body>
<header>
<p class="eyebrow">visionport export report</p>
<h1>{escape(report.title)}</h1>
<div class="verdict {state}">
<p class="headline"><span class="mark" aria-hidden="true">{MARKS[state]}</span> <strong>{escape(headline)}</strong></p>
<p class="detail">{escape(detail)}</p>
</div>
{_warnings(report.warnings)}
</header>
<main>
{"".join(sections)}</main>
</body>
</html>
"""


def _state(artifact: ArtifactView) -> str:
    """How the whole artifact looks."""
    if not artifact.checks:
        return "unknown"
    return {"agrees": "good", "disagrees": "bad"}.get(verdict_of(artifact.checks), "unknown")


def _names(artifacts: Sequence[ArtifactView]) -> list[str]:
    """What each artifact is called here: its title, and its path too where titles repeat."""
    count = Counter(artifact.title for artifact in artifacts)
    return [a.title + (f" ({a.path})" if count[a.title] > 1 else "") for a in artifacts]


def _verdict(report: Report, names: Sequence[str]) -> tuple[str, str, str]:
    """The state, the headline and one more sentence."""
    states = [_state(artifact) for artifact in report.artifacts]
    good, bad, unknown = ([n for n, s in zip(names, states, strict=True) if s == x] for x in ("good", "bad", "unknown"))
    checks = [check for artifact in report.artifacts for check in artifact.checks]
    done = _counts(checks)
    outside = sum(not check.ok for check in checks)
    agree = f"{_list(good)} {_verb(good, 'agrees', 'agree')}"
    skipped = f"{_list(unknown)} {_verb(unknown, 'was', 'were')} not verified"
    if bad:
        said = f"{_count(outside, 'measurement')} {'is' if outside == 1 else 'are'} outside the bound: {done}"
        detail = (said, f"{agree}." if good else "", f"{skipped}." if unknown else "")
        headline = f"{_list(bad)} {_verb(bad, 'disagrees', 'disagree')} with the checkpoint"
        return "bad", headline, " ".join(filter(None, detail))
    if not good:
        return "unknown", "Not verified", "Nothing here was compared with the checkpoint's own answers."
    if unknown:
        return "unknown", f"{agree} with the checkpoint, {skipped}", done
    if len(good) > 1:
        agree = f"All {len(good)} artifacts agree"
    return "good", f"{agree} with the checkpoint", done


def _counts(checks: Sequence[Check]) -> str:
    """How many measurements there are of each state, and on how many pictures."""
    count = Counter(check.state for check in checks)
    parts = [f"{count['agrees']:,} within {'its' if count['agrees'] == 1 else 'their'} bound"]
    parts += [f"{count['disagrees']:,} outside"] * bool(count["disagrees"])
    parts += [f"{count['differs by design']:,} different by design"] * bool(count["differs by design"])
    parts += [f"{count['not judged']:,} reported, not judged"] * bool(count["not judged"])
    return f"{_count(len(checks), 'measurement')} on {_count(len(pictures_of(checks)), 'picture')}: {', '.join(parts)}."


def _warnings(warnings: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings"><h2>Warnings</h2><ul>{items}</ul></div>' if items else ""


def _overview(report: Report, names: Sequence[str]) -> str:
    cards = "".join(
        f'<li><a href="#artifact-{i}"><span class="name">{escape(names[i])}</span>{_badge(_state(artifact))}'
        f'<span class="size">{_size(artifact.size)}</span><span class="path">{escape(artifact.path)}</span></a></li>\n'
        for i, artifact in enumerate(report.artifacts)
    )
    facts = {
        "Architecture": report.architecture,
        "Input": report.input,
        "Classes": f"{report.classes:,}",
        "Parameters": f"{report.parameters:,}",
        "Config": report.config,
        "Checkpoint": report.checkpoint,
        "Training step": "not recorded" if report.step is None else f"{report.step:,}",
    }
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>\n" for name, value in facts.items())
    return (
        f'<section><h2>Artifacts</h2>\n<ul class="cards">\n{cards}</ul>\n</section>\n'
        f'<section><h2>Source</h2>\n<dl class="facts">\n{rows}</dl>\n</section>\n'
    )


def _pictures(report: Report) -> str:
    rows = ""
    for picture in report.pictures:
        figures = "".join(
            f"<figure><figcaption>{escape(title)}</figcaption>"
            f'<img src="{_data_uri(image)}" alt="{escape(f"{picture.name}: {report.noun} of {title}")}"></figure>\n'
            for title, image in picture.columns
        )
        rows += f'<div class="row"><h3>{escape(picture.name)}</h3>\n<div class="figures">\n{figures}</div></div>\n'
    return f'<section class="pictures"><h2>{escape(report.noun.capitalize())}</h2>\n{rows}</section>\n' if rows else ""


def _agreement(report: Report, names: Sequence[str]) -> str:
    """The worst of each kind of check, a group an artifact; every single measurement folded below."""
    bodies, every = "", ""
    for name, artifact in zip(names, report.artifacts, strict=True):
        rows = "".join(_check_row(row.worst, _result(row)) for row in summarize(artifact.checks))
        rows = rows or '<tr><td colspan="4" class="none">no measurements</td></tr>\n'
        head = f'<tr class="group"><th colspan="4" scope="rowgroup">{escape(name)}</th></tr>\n'
        bodies += f"<tbody>\n{head}{rows}</tbody>\n"
        if artifact.checks:
            single = "".join(_check_row(check) for check in artifact.checks)
            every += f"<tbody>\n{head}{single}</tbody>\n"
    if not every:
        return ""
    return (
        '<section><h2>Agreement with the checkpoint</h2>\n<p class="lead">The worst over all pictures.</p>\n'
        f"{_table(('Check', 'Worst', 'Bound', 'Result'), bodies, 'checks')}"
        f"<details><summary>Every measurement</summary>\n"
        f"{_table(('Check', 'Measured', 'Bound', 'Result'), every, 'checks')}</details>\n</section>\n"
    )


def _result(row: Row) -> str:
    return f"{row.disagreeing} of {row.count} outside" if row.disagreeing else ""


def _check_row(check: Check, result: str = "") -> str:
    look, word = STATES[check.state]
    note = " · ".join(escape(text) for text in (check.picture or check.data, notes_of(check)) if text)
    return (
        f'<tr><th scope="row">{escape(check.what)}<span class="note">{note}</span></th>'
        f'<td class="number">{show_number(check.measured)}</td>'
        f'<td class="number">{escape(show_bound(check)).replace("&gt;=", "≥").replace("&lt;=", "≤")}</td>'
        f"<td>{_badge(look, result or word)}</td></tr>\n"
    )


def _artifact(i: int, artifact: ArtifactView, name: str) -> str:
    tables = ""
    for signature in artifact.signatures:
        bodies = "".join(
            f'<tbody>\n<tr class="group"><th colspan="3" scope="rowgroup">{title}</th></tr>\n'
            f"{_tensor_rows(tensors)}</tbody>\n"
            for title, tensors in (("Inputs", signature.inputs), ("Outputs", signature.outputs))
            if tensors
        )
        table = _table(("Name", "Type", "Shape"), bodies, "tensors")
        tables += f"<h3>Signature <code>{escape(signature.name)}</code></h3>\n{table}"
    snippet = artifact.snippet.strip("\n")
    code = f'<h3>Load and run</h3>\n<pre tabindex="0"><code>{escape(snippet)}</code></pre>\n' if snippet else ""
    return (
        f'<section class="artifact" id="artifact-{i}"><h2>{escape(name)} {_badge(_state(artifact))}</h2>\n'
        f'<p class="lead"><code>{escape(artifact.path)}</code>, {artifact.size:,} bytes</p>\n{code}{tables}</section>\n'
    )


def _tensor_rows(tensors: Iterable[TensorView]) -> str:
    return "".join(
        f'<tr><th scope="row"><code>{escape(tensor.name)}</code></th><td>{escape(tensor.dtype)}</td>'
        f'<td class="shape">{escape(tensor.shape)}</td></tr>\n'
        for tensor in tensors
    )


def _table(heads: Iterable[str], bodies: str, kind: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return f'<table class="{kind}">\n<thead><tr>{cells}</tr></thead>\n{bodies}</table>\n'


def _badge(state: str, word: str = "") -> str:
    return f'<span class="badge {state}"><span aria-hidden="true">{MARKS[state]}</span> {word or WORDS[state]}</span>'


def _data_uri(image: Image.Image | bytes) -> str:
    picture = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
    picture = picture.convert("RGB")
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _verb(names: Sequence[str], one: str, more: str) -> str:
    return one if len(names) == 1 else more


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
