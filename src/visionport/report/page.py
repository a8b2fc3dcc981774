"""The report of an export as one HTML file: can it be shipped, does each artifact answer as its checkpoint does?

No requests: styles are inline, pictures are data URIs. The one script adds buttons that copy, and is allowed by its
hash alone; the page works without. The same report gives the same bytes.
"""

import base64
import hashlib
import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from PIL import Image

from visionport import terminal
from visionport.progress import size_text, time_text
from visionport.staging import write_file
from visionport.verification.checks import Check
from visionport.verification.summary import Row, notes_of, pictures_of, show_bound, show_number, summarize, verdict_of

BENCHMARK = ("<!-- benchmark -->", "<!-- /benchmark -->")  # `visionport benchmark --into-report` writes between them
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
    seconds: float | None = None  # that a picture takes; None: not to be told
    accuracy: str = ""  # on labelled pictures, in words
    sha256: str = ""
    hashed: str = ""  # the file that it is of

    @property
    def input(self) -> str:
        """What its first input takes: "uint8 [?, ?, ?, 3]"."""
        first = [s.inputs[0] for s in self.signatures if s.inputs]
        return f"{first[0].dtype} {first[0].shape}" if first else ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One answer, drawn, and whose it is: all those that give it."""

    titles: tuple[str, ...]
    image: Image.Image | bytes  # or PNG or JPEG bytes
    note: str = ""  # what the drawing leaves out


@dataclass(frozen=True, kw_only=True)
class PictureView:
    """One image with the answers of the checkpoint and of each artifact; one drawing where they are the same."""

    name: str
    columns: tuple[Column, ...]


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
    layers: tuple[tuple[str, str, str], ...] = ()  # that compute most: (name, float operations, share)
    versions: str = ""  # of what made it
    date: str = ""  # "": not told, so that two exports are the same bytes
    command: str = ""  # that makes it again


def write_report(path: Path, report: Report, *, overwrite: bool = False) -> None:
    """Write `report` to `path` as one HTML file, which needs no other."""
    page = render(report).encode(errors="backslashreplace")
    write_file(Path(path), [page], overwrite=overwrite, option="--report")


def render(report: Report) -> str:
    """The report's HTML."""
    names = _names(report.artifacts)
    state, headline, detail = _verdict(report, names)
    css, script = (f"\n{read_resource(name).strip()}\n" for name in ("report.css", "report.js"))
    sections = (
        _overview(report, names),
        "".join(BENCHMARK) + "\n",
        _pictures(report),
        _agreement(report, names),
        _operations(report.layers),
        _source(report),
        *(_artifact(i, artifact, names[i]) for i, artifact in enumerate(report.artifacts)),
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy(css, script)}">
<title>{escape(report.title)}: {escape(headline)}</title>
<style>{css}</style>
</head>
<body>
<header>
<p class="eyebrow">visionport: can this be shipped?</p>
<h1>{soft(report.title)}</h1>
<div class="verdict {state}">
<p class="headline"><span class="mark" aria-hidden="true">{MARKS[state]}</span> <strong>{escape(headline)}</strong></p>
<p class="detail">{escape(detail)}</p>
</div>
{_warnings(report.warnings)}
</header>
<main>
{"".join(sections)}</main>
{_footer(report)}
<script>{script}</script>
</body>
</html>
"""


def read_resource(name: str) -> str:
    return resources.files("visionport.report").joinpath(name).read_text("utf-8")


def policy(css: str, script: str) -> str:
    """The Content-Security-Policy: nothing but data URIs, this style and this script."""
    style, code = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script))
    return f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{code}'"


def escape(text: str) -> str:
    """Text from outside as the page shows it: no markup, nothing hidden, and in its own direction."""
    return html.escape(terminal.escaped(text))


def soft(text: str) -> str:
    """Escaped, and where it is long, as paths and names of tensors are, it may break behind its separators alone."""
    return re.sub(r"([/_.=,:-])(?=\w)", r"\1<wbr>", escape(text))


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
    items = "".join(f"<li>{soft(warning)}</li>" for warning in warnings)
    return f'<div class="warnings"><h2>Warnings</h2><ul>{items}</ul></div>' if items else ""


def _overview(report: Report, names: Sequence[str]) -> str:
    """A card an artifact, and where there are more, the same side by side in a table."""
    cards = "".join(_card(i, artifact, names[i]) for i, artifact in enumerate(report.artifacts))
    table = _side_by_side(report.artifacts, names) if len(report.artifacts) > 1 else ""
    return f'<section><h2>Artifacts</h2>\n<ul class="cards">\n{cards}</ul>\n{table}</section>\n'


def _card(i: int, artifact: ArtifactView, name: str) -> str:
    facts = [("Input", f"<code>{escape(artifact.input)}</code>")] if artifact.input else []
    facts += [("Accuracy", escape(artifact.accuracy))] if artifact.accuracy else []
    if artifact.sha256:
        facts.append(("SHA-256", _hash(artifact)))
    rows = "".join(f"<div><dt>{title}</dt><dd>{text}</dd></div>" for title, text in facts)
    time = f' <span class="time">{time_text(artifact.seconds)} a picture</span>' if artifact.seconds else ""
    return (
        f'<li class="{_state(artifact)}-card"><p class="name"><a href="#artifact-{i}">{escape(name)}</a> '
        f"{_badge(_state(artifact))}</p>\n"
        f'<p class="size">{size_text(artifact.size)}{time}</p>\n<p class="path">{soft(artifact.path)}</p>\n'
        f"<dl>{rows}</dl></li>\n"
    )


def _hash(artifact: ArtifactView) -> str:
    of = f' <span class="of">of {escape(artifact.hashed)}</span>' if artifact.hashed not in ("", artifact.path) else ""
    return f'<code data-copy="{artifact.sha256}">{artifact.sha256[:12]}…</code>{of}'


def _side_by_side(artifacts: Sequence[ArtifactView], names: Sequence[str]) -> str:
    columns = {
        "Artifact": [f'<a href="#artifact-{i}">{escape(name)}</a>' for i, name in enumerate(names)],
        "Verdict": [_badge(_state(a)) for a in artifacts],
        "Size": [size_text(a.size) for a in artifacts],
        "Time a picture": [time_text(a.seconds) if a.seconds else "" for a in artifacts],
        "Input": [f"<code>{escape(a.input)}</code>" if a.input else "" for a in artifacts],
        "Accuracy": [escape(a.accuracy) for a in artifacts],
        "SHA-256": [f"<code>{a.sha256[:12]}</code>" if a.sha256 else "" for a in artifacts],
    }
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    rows = "".join(
        f'<tr><th scope="row">{cells[0]}</th>{"".join(f"<td>{cell}</td>" for cell in cells[1:])}</tr>\n'
        for cells in zip(*columns.values(), strict=True)
    )
    return table_of(columns, f"<tbody>\n{rows}</tbody>\n", "artifacts")


def _source(report: Report) -> str:
    facts = {
        "Architecture": report.architecture,
        "Input": report.input,
        "Classes": f"{report.classes:,}",
        "Parameters": f"{report.parameters:,}",
        "Config": report.config,
        "Checkpoint": report.checkpoint,
        "Training step": "not recorded" if report.step is None else f"{report.step:,}",
    }
    rows = "".join(f"<div><dt>{name}</dt><dd>{soft(value)}</dd></div>\n" for name, value in facts.items())
    return f'<section><h2>Source</h2>\n<dl class="facts">\n{rows}</dl>\n</section>\n'


def _pictures(report: Report) -> str:
    rows = ""
    for picture in report.pictures:
        count = sum(len(column.titles) for column in picture.columns)
        figures = "".join(_figure(report, picture, column, count) for column in picture.columns)
        kind = "one" if len(picture.columns) == 1 else "several"
        rows += f'<div class="row {kind}"><h3>{soft(picture.name)}</h3>\n<div class="figures">\n{figures}</div></div>\n'
    if not rows:
        return ""
    head = f"<h2>{escape(report.noun.capitalize())}</h2>"
    return f'<section class="pictures">{head}\n<div class="rows">\n{rows}</div></section>\n'


def _figure(report: Report, picture: PictureView, column: Column, count: int) -> str:
    whose = _list(column.titles)
    same = f"<strong>same in all {count}</strong>: " if len(column.titles) == count > 1 else ""
    note = f"; {escape(column.note)}" if column.note else ""
    return (
        f'<figure><img src="{_data_uri(column.image)}" alt="{escape(f"{picture.name}: {report.noun} of {whose}")}">'
        f"<figcaption>{same}{escape(whose)}{note}</figcaption></figure>\n"
    )


def _footer(report: Report) -> str:
    again = (
        f'<h2>Made by</h2>\n<pre tabindex="0"><code>{escape(report.command)}</code></pre>\n' if report.command else ""
    )
    when = report.date or (
        "Date and times are left out, so that two exports are the same bytes: visionport verify --report measures them"
    )
    told = " · ".join(filter(None, (report.versions, when)))
    return f"<footer>\n{again}<p>{escape(told)}.</p>\n</footer>"


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
        f"{table_of(('Check', 'Worst', 'Bound', 'Result'), bodies, 'checks')}"
        f"<details><summary>Every measurement</summary>\n"
        f"{table_of(('Check', 'Measured', 'Bound', 'Result'), every, 'checks')}</details>\n</section>\n"
    )


def _operations(layers: Sequence[tuple[str, str, str]]) -> str:
    """Which layers compute most, folded."""
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td class="number">{count}</td>'
        f'<td class="number">{share}</td></tr>\n'
        for name, count, share in layers
    )
    table = table_of(("Layer", "Float operations", "Share"), f"<tbody>\n{rows}</tbody>\n", "tensors")
    return f"<section><details><summary>Float operations</summary>\n{table}</details>\n</section>\n" if rows else ""


def _result(row: Row) -> str:
    return f"{row.disagreeing} of {row.count} outside" if row.disagreeing else ""


def _check_row(check: Check, result: str = "") -> str:
    look, word = STATES[check.state]
    note = " · ".join(soft(text) for text in (check.picture or check.data, notes_of(check)) if text)
    return (
        f'<tr><th scope="row">{soft(check.what)}<span class="note">{note}</span></th>'
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
        table = table_of(("Name", "Type", "Shape"), bodies, "tensors")
        ends = f"{_count(len(signature.inputs), 'input')}, {_count(len(signature.outputs), 'output')}"
        tables += (
            f"<details><summary>Signature <code>{soft(signature.name)}</code>: {ends}</summary>\n{table}</details>\n"
        )
    snippet = artifact.snippet.strip("\n")
    code = f'<h3>Load and run</h3>\n<pre tabindex="0"><code>{escape(snippet)}</code></pre>\n' if snippet else ""
    return (
        f'<section class="artifact" id="artifact-{i}"><h2>{escape(name)} {_badge(_state(artifact))}</h2>\n'
        f'<p class="lead"><code>{soft(artifact.path)}</code>, {artifact.size:,} bytes</p>\n{code}{tables}</section>\n'
    )


def _tensor_rows(tensors: Iterable[TensorView]) -> str:
    return "".join(
        f'<tr><th scope="row"><code>{soft(tensor.name)}</code></th><td>{escape(tensor.dtype)}</td>'
        f'<td class="shape">{escape(tensor.shape)}</td></tr>\n'
        for tensor in tensors
    )


def table_of(heads: Iterable[str], bodies: str, kind: str) -> str:
    """HTML of a table that is moved sideways where it is too wide. kind: its class in report.css."""
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    table = f'<table class="{kind}">\n<thead><tr>{cells}</tr></thead>\n{bodies}</table>'
    return f'<div class="scroll" tabindex="0">{table}</div>\n'


def _badge(state: str, word: str = "") -> str:
    return f'<span class="badge {state}"><span aria-hidden="true">{MARKS[state]}</span> {word or WORDS[state]}</span>'


def _data_uri(image: Image.Image | bytes) -> str:
    picture = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
    picture = picture.convert("RGB")
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _verb(names: Sequence[str], one: str, more: str) -> str:
    return one if len(names) == 1 else more


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
