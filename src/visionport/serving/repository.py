"""The models that are served: which versions there are, which are loaded, and how they change while requests come in.

A version that is asked is never closed: whoever asks holds it, and it is closed when nobody does. A new version takes
over when it is loaded, and one that cannot be loaded leaves the one before in its place. All of it runs in the event
loop's thread, but for reading the folders and loading.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionport.errors import InputError, VisionportError, nearest
from visionport.serving.servable import Servable, is_model, open_servable
from visionport.serving.statuses import RequestError, invalid

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"
ENDED = 10  # versions that are no more, of which the status still tells
WATCHED = 10_000  # files of a version, by which a change is seen


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model to serve.

    base: a folder of numbered versions, or one model, which is version 1. versions: which of those there are: the
    `latest` highest (0 for all), or these `specific` ones. labels: names for versions.
    """

    name: str
    base: Path
    latest: int = 1
    specific: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)

    def choose(self, found: Iterable[int]) -> list[int]:
        if self.specific:
            return sorted(set(found) & set(self.specific))
        return sorted(found)[-self.latest :] if self.latest else sorted(found)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Which version a request is for: that number, that label, or the latest."""

    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        return f"Latest({self.name})" if self.version is None else f"Specific({self.name}, {self.version})"


class Version:
    """A version and what has become of it. `print` is what its files looked like when they were read."""

    def __init__(self, model: str, number: int, path: Path, print: tuple):
        self.model, self.number, self.path, self.print = model, number, path, print
        self.state, self.error = START, ""
        self.loaded: Servable | None = None
        self.pool: Executor | None = None  # where a call at a time is all that the runner takes
        self.held = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __str__(self) -> str:
        return f"{self.model}, version {self.number}"

    @property
    def servable(self) -> Servable:
        """What is asked, as long as the version is held."""
        if self.loaded is None:
            raise RequestError("UNAVAILABLE", f"{self} is not loaded.")
        return self.loaded

    def hold(self) -> None:
        self.held += 1
        self._idle.clear()

    def release(self) -> None:
        self.held -= 1
        if not self.held:
            self._idle.set()

    async def wait_until_idle(self) -> None:
        await self._idle.wait()


class Model:
    def __init__(self, config: ModelConfig):
        self.config = config
        self.versions: dict[int, Version] = {}
        self.seen: dict[int, tuple] = {}  # what each version's files looked like at the last poll
        self.failed: dict[int, tuple] = {}  # of those that were replaced by what cannot be loaded

    def available(self) -> list[Version]:
        return [v for _, v in sorted(self.versions.items()) if v.state == AVAILABLE]


class Repository:
    """See the module.

    open_version: loads one. roots: where models that a request names may lie. tell: takes what becomes of models.
    """

    def __init__(
        self,
        open_version: Callable[[Path], Servable] = open_servable,
        roots: Sequence[Path] = (),
        tell: Callable[[str], None] = lambda text: None,
    ):
        self._open, self.roots, self._tell = open_version, [Path(os.path.realpath(r)) for r in roots], tell
        self.models: dict[str, Model] = {}
        self.changes = asyncio.Lock()
        self._disk = ThreadPoolExecutor(1, "visionport-load")
        self._closing: set[asyncio.Task] = set()

    # ------------------------------------------------------------ asking

    def model(self, name: str) -> Model:
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if name not in self.models:
            raise RequestError(
                "NOT_FOUND", f"Servable not found for request: Latest({name}){nearest(name, self.models)}"
            )
        return self.models[name]

    def find(self, spec: Spec) -> Version:
        """The version that is meant, loaded. Raises RequestError."""
        model = self.model(spec.name)
        number = self.number_of(spec)
        found = [v for v in model.available() if number in (None, v.number)]
        if not found:
            there = ", ".join(str(v.number) for v in model.available()) or "none"
            meant = spec if number is None else f"Specific({spec.name}, {number})"
            raise RequestError("NOT_FOUND", f"Servable not found for request: {meant}. Versions available: {there}.")
        return found[-1]

    def number_of(self, spec: Spec) -> int | None:
        """The number that is asked for, by label or not; None for the latest."""
        if spec.label is None:
            return spec.version
        labels = self.model(spec.name).config.labels
        if spec.label not in labels:
            raise invalid(f"Unrecognized servable version label: {spec.label}{nearest(spec.label, labels)}")
        return labels[spec.label]

    def statuses(self, spec: Spec) -> list[Version]:
        """The versions of a model whatever their state."""
        if spec.name not in self.models:
            near = nearest(spec.name, self.models)
            raise RequestError("NOT_FOUND", f"Could not find any versions of model {spec.name}{near}")
        number = self.number_of(spec)
        versions = [v for n, v in sorted(self.models[spec.name].versions.items(), reverse=True) if number in (None, n)]
        if not versions:
            missing = f"version {number}" if number is not None else "any versions"
            raise RequestError("NOT_FOUND", f"Could not find {missing} of model {spec.name}")
        return versions

    # ------------------------------------------------------------ changing

    async def set_models(self, configs: Sequence[ModelConfig]) -> list[str]:
        """Serves these models and no others. Gives what is wrong with those of which no version can be loaded."""
        async with self.changes:
            wanted = {c.name: c for c in configs}
            for name in [n for n in self.models if n not in wanted]:
                self._unload(self.models.pop(name).versions.values())
            wrong = []
            for name, config in wanted.items():
                model = self.models.get(name)
                if model is None:
                    model = self.models[name] = Model(config)
                model.config = config
                wrong += await self._update(model, at_once=True)
            return wrong

    async def poll(self, seconds: float) -> None:
        """Looks for changes every so often, for ever. What still changes is left until it has not for one round."""
        while True:
            await asyncio.sleep(seconds)
            async with self.changes:
                for model in list(self.models.values()):
                    try:
                        await self._update(model)
                    except OSError as e:  # a folder that cannot be read for now
                        self._tell(f"{model.config.name}: {model.config.base}: {e.strerror}")

    async def _update(self, model: Model, *, at_once: bool = False) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._disk, look, model.config.base)
        wanted = model.config.choose(found)
        wrong = []
        for number in wanted:
            path, print = found[number]
            settled = at_once or model.seen.get(number) == print
            current = model.versions.get(number)
            known = current is not None and current.state != END and current.print == print
            failed = model.failed.get(number) == print and not at_once
            if settled and not known and not failed:
                await self._load(model, Version(model.config.name, number, path, print))
        model.seen = {number: print for number, (_, print) in found.items()}
        if any(v.number in wanted for v in model.available()):
            self._unload([v for v in model.available() if v.number not in wanted])
        elif not model.available():
            wrong = [f"{v}: {v.error}" for v in model.versions.values() if v.error] or [
                f"{model.config.base} holds no version to serve: no export of visionport, no SavedModel, and no folder "
                "with a number that holds one."
            ]
        for number in sorted(n for n, v in model.versions.items() if v.state == END)[:-ENDED]:
            del model.versions[number]
        return wrong

    async def _load(self, model: Model, version: Version) -> None:
        before = model.versions.get(version.number)
        replaces = before is not None and before.state == AVAILABLE
        version.state = LOADING
        if not replaces:
            model.versions[version.number] = version
        try:
            loop = asyncio.get_running_loop()
            version.loaded = await loop.run_in_executor(self._disk, self._open, version.path)
        except Exception as e:  # whatever a broken file makes a runtime say
            model.failed[version.number] = version.print
            version.state, version.error = END, say(e)
            self._tell(f"{version}: {version.error}")
            return
        if not version.servable.runner.thread_safe:
            version.pool = ThreadPoolExecutor(1, f"visionport-{version.model}")
        version.state = AVAILABLE
        model.failed.pop(version.number, None)
        model.versions[version.number] = version
        self._tell(f"{version}: {version.servable.title} {version.path} is served")
        if replaces and before is not None:
            self._unload([before])

    def _unload(self, versions: Iterable[Version]) -> None:
        for version in versions:
            if version.state == AVAILABLE:
                version.state = UNLOADING
                task = asyncio.get_running_loop().create_task(self._close(version))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def _close(self, version: Version) -> None:
        await version.wait_until_idle()
        servable, version.loaded = version.loaded, None
        if servable is not None:
            await asyncio.get_running_loop().run_in_executor(self._disk, close, servable)
        if version.pool is not None:
            version.pool.shutdown(wait=False)
        version.state = END
        self._tell(f"{version}: no longer served")

    async def close(self) -> None:
        """Unloads everything, when nothing is asked any more."""
        async with self.changes:
            for model in self.models.values():
                self._unload(model.versions.values())
            await asyncio.gather(*self._closing)
        self._disk.shutdown(wait=False)


def close(servable: Servable) -> None:
    import gc

    servable.close()
    gc.collect()  # graphs are full of circles


def say(error: Exception) -> str:
    """What is wrong with a version: our own errors say it in full."""
    if isinstance(error, VisionportError):
        return str(error)
    return f"it cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def look(base: Path) -> dict[int, tuple[Path, tuple]]:
    """Number -> (path, what its files look like) of the versions in a folder; a model itself is version 1."""
    if is_model(base):
        return {1: (base, fingerprint(base))}
    if not base.is_dir():
        return {}
    folders = [f for f in base.iterdir() if is_number(f.name) and f.is_dir()]
    return {int(f.name): (f, fingerprint(f)) for f in folders if any(f.iterdir())}


def is_number(name: str) -> bool:
    """Whether it is a version's: decimal, of 64 bits."""
    return name.isascii() and name.isdecimal() and len(name) < 20 and int(name) < 1 << 63


def fingerprint(path: Path) -> tuple:
    """Name, size, time and place on the disk of each file: another file is another print."""
    files = [path] if path.is_file() else []
    for folder, folders, names in os.walk(path):
        folders.sort()
        files += [Path(folder, name) for name in sorted(names)]
        if len(files) > WATCHED:
            break
    return tuple(_stat(f) for f in files[:WATCHED])


def _stat(file: Path) -> tuple[Any, ...]:
    try:
        found = file.stat()
    except OSError:  # gone meanwhile
        return (str(file),)
    return str(file), found.st_size, found.st_mtime_ns, found.st_ino


def check_names(configs: Sequence[ModelConfig]) -> None:
    """Raises InputError for two models of one name, or a name that no path can hold."""
    names = [c.name for c in configs]
    for name in names:
        if not name or set(name) & {"/", ":"}:
            raise InputError(f"a model cannot be called {name!r}: a name has no '/' and no ':'. Give --name NAME=DIR.")
        if names.count(name) > 1:
            bases = ", ".join(str(c.base) for c in configs if c.name == name)
            raise InputError(f"two models are called {name}: {bases}. Give one another name: --name NAME=DIR.")
