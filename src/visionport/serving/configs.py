"""Which models to serve: folders by name, and TensorFlow Serving's ModelServerConfig, from a file or a request."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionport.errors import InputError, OptionError
from visionport.serving.messages import message
from visionport.serving.repository import ModelConfig, check_names
from visionport.serving.statuses import RequestError, invalid


def config_of_folder(given: str) -> ModelConfig:
    """The model of NAME=DIR, or of DIR, whose name it has."""
    name, mark, folder = given.partition("=")
    if not mark or os.path.exists(given):
        name, folder = "", given
    base = Path(folder)
    if not base.exists():
        raise InputError(f"{folder}: no such folder of versions, export directory or model.")
    return ModelConfig(name=name or Path(os.path.abspath(base)).name, base=base)


def read_configs(path: Path) -> list[ModelConfig]:
    """The models of a --model-config-file: the text of a ModelServerConfig."""
    from google.protobuf import text_format

    try:
        given = text_format.Parse(path.read_text("utf-8"), message("ModelServerConfig")())
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read: {getattr(e, 'strerror', None) or e}.") from None
    except text_format.ParseError as e:
        example = 'model_config_list { config { name: "m" base_path: "/models/m" } }'
        raise InputError(f"{path}: {e}. It holds {example}") from None
    if given.WhichOneof("config") != "model_config_list":
        raise InputError(f"{path}: only model_config_list is read, and it has none.")
    configs = [config_of(one, path.parent) for one in given.model_config_list.config]
    for config in configs:
        if not config.base.exists():
            raise InputError(f"{path}: {config.name}: there is no {config.base}.")
    check_names(configs)
    return configs


def config_of(one: Any, folder: Path) -> ModelConfig:
    """A ModelConfig's. folder: what a relative path is relative to."""
    if not one.base_path:
        raise InputError(f"the model {one.name!r} has no base_path.")
    policy = one.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    return ModelConfig(
        name=one.name,
        base=folder / one.base_path,
        latest={"all": 0, "latest": policy.latest.num_versions or 1}.get(choice, 1),
        specific=tuple(policy.specific.versions),
        labels=dict(one.version_labels),
    )


def requested_configs(given: Any, roots: Sequence[Path]) -> list[ModelConfig]:
    """The models of a request's ModelServerConfig. Raises RequestError where one lies elsewhere than in `roots`."""
    if given.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    configs = []
    for one in given.model_config_list.config:
        real = Path(os.path.realpath(one.base_path)) if os.path.isabs(one.base_path) else None
        if real is None or not any(real.is_relative_to(root) for root in roots):
            raise RequestError(
                "PERMISSION_DENIED",
                f"The base_path of model {one.name[:100]} is not in a folder that this server was started with.",
            )
        configs.append(config_of(one, Path("/")))
    try:
        check_names(configs)
    except InputError:
        raise invalid("Names of models are not empty, differ, and have no '/' and no ':'.") from None
    return configs


def with_labels(configs: Sequence[ModelConfig], labels: Mapping[str, Mapping[str, int]]) -> list[ModelConfig]:
    """Models with labels for their versions: model -> label -> number."""
    from dataclasses import replace

    for name in labels:
        if name not in {c.name for c in configs}:
            raise OptionError(f"--label: no model is called {name}. There: {', '.join(c.name for c in configs)}.")
    return [replace(c, labels={**c.labels, **labels.get(c.name, {})}) for c in configs]


def read_token(path: Path) -> str:
    """The token in a file: its one line."""
    try:
        token = path.read_text("ascii").strip()
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is no text'}.") from None
    if not token or len(token.split()) != 1:
        raise InputError(f"{path}: a token is one word on one line.")
    return token
