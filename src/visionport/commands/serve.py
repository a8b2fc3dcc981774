"""visionport serve: models behind TensorFlow Serving's own API."""

from pathlib import Path

import click

from visionport.commands.common import Command, allow_unsafe_ops
from visionport.formats import FORMATS


class Port(click.ParamType):
    name = "port"

    def convert(self, value, param, ctx):
        if value == "none" or value is None or isinstance(value, int):
            return None if value == "none" else value
        if not (value.isdecimal() and int(value) < 1 << 16):
            self.fail(f"{value!r} is neither a port nor 'none'", param, ctx)
        return int(value)


class Label(click.ParamType):
    name = "MODEL:LABEL=VERSION"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        model, _, rest = value.rpartition(":")
        label, _, version = rest.partition("=")
        if not (model and label and version.isdecimal()):
            self.fail(f"{value!r} is not MODEL:LABEL=VERSION such as digits:stable=2", param, ctx)
        return model, label, int(version)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport serve exported
  visionport serve --name digits=exported --name cats=models/cats --cors '*'
  curl -d '{"instances": [{"b64": "'$(base64 -w0 photo.jpg)'"}],
    "signature_name": "encoded_image_string_tensor"}' \\
    localhost:8501/v1/models/digits:predict""",
)
@click.argument("models", nargs=-1)
@click.option("--name", "named", multiple=True, metavar="NAME=DIR", help="A model by another name than its folder's.")
@click.option(
    "--model-config-file",
    type=Path,
    help="More models: the text of TensorFlow Serving's ModelServerConfig, with policies and labels.",
)
@click.option(
    "--model-config-poll",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Read that file again so often; 0: never.",
)
@click.option(
    "--model-root",
    "roots",
    multiple=True,
    type=Path,
    help="A folder from which reload requests may name models, beside those that are served.",
)
@click.option("--label", "labels", multiple=True, type=Label(), help="A name for a version of a model. Repeatable.")
@click.option(
    "--versions",
    type=click.Choice(["latest", "all"]),
    default="latest",
    show_default=True,
    help="Which versions of a folder to serve.",
)
@click.option("--format", "kind", type=click.Choice([*FORMATS]), help="Which artifact of exports. Default: the first.")
@allow_unsafe_ops
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to bind; others reach only this one.")
@click.option("--rest-port", type=Port(), default=8501, show_default=True, help="0: a free one, see the ready line.")
@click.option("--grpc-port", type=Port(), default=8500, show_default=True, help="0: a free one; none: no gRPC.")
@click.option(
    "--poll",
    type=click.FloatRange(0),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="Look for new and changed versions so often; 0: never.",
)
@click.option("--threads", type=click.IntRange(1), help="Calls of models at a time. Default: the number of CPUs.")
@click.option("--batching", is_flag=True, help="Answer requests of one shape together.")
@click.option(
    "--batching-parameters-file",
    type=Path,
    help="How: the text of TensorFlow Serving's BatchingParameters. Implies --batching.",
)
@click.option(
    "--max-body", type=click.IntRange(1), default=64, show_default=True, metavar="MB", help="Larger requests: 413."
)
@click.option(
    "--max-pixels",
    type=click.FloatRange(0.001),
    default=40,
    show_default=True,
    metavar="MILLION",
    help="Larger encoded pictures: 400, before they are decoded.",
)
@click.option(
    "--max-requests", type=click.IntRange(1), default=1000, show_default=True, help="More of them at a time: 429."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.001),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="For a body to arrive (408), and again for an answer (504).",
)
@click.option("--cors", "origins", multiple=True, metavar="ORIGIN", help="Web pages that may ask: an origin, or '*'.")
@click.option("--ssl-cert", type=Path, help="TLS: the certificate.")
@click.option("--ssl-key", type=Path, help="TLS: its key.")
@click.option(
    "--ssl-client-ca",
    type=Path,
    help="TLS: who signs the certificates that clients must show.",
)
@click.option(
    "--token-file",
    type=Path,
    help="Ask for the token in that file: Authorization: Bearer TOKEN.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="For running requests to end, when the server is told to stop.",
)
def serve(models, named, labels, versions, batching, batching_parameters_file, **given):
    """Serve models over REST and gRPC as TensorFlow Serving does: its clients work unchanged.

    MODELS are export directories, artifacts of such, SavedModels, .tflite files, or folders of numbered versions of
    these, of which the latest is served; new versions take over while requests are answered. Only this machine reaches
    the server, unless --host says otherwise.
    """
    from visionport.serving import server

    settings = read_settings(models, named, labels, versions, batching, batching_parameters_file, given)
    for warning in server.warn(settings):
        server.print_to_stderr(f"warning: {warning}")
    server.serve(settings, server.print_to_stderr, lambda line: print(line, flush=True))


def read_settings(models, named, labels, versions, batching, batching_file, given):
    from dataclasses import replace

    from visionport.errors import InputError, OptionError
    from visionport.serving import configs
    from visionport.serving.batching import Batching, read_batching
    from visionport.serving.inference import Bounds
    from visionport.serving.repository import check_names
    from visionport.serving.server import Settings, Tls, check_packages

    check_packages()
    found = [configs.config_of_folder(folder) for folder in (*models, *named)]
    if not found and not given["model_config_file"]:
        raise OptionError("nothing to serve. Name an export directory, NAME=DIR with --name, or --model-config-file.")
    if versions == "all":
        found = [replace(c, latest=0) for c in found]
    if bool(given["ssl_cert"]) != bool(given["ssl_key"]):
        raise OptionError("--ssl-cert and --ssl-key go together: give both, or neither.")
    if given["ssl_client_ca"] and not given["ssl_cert"]:
        raise OptionError("--ssl-client-ca needs --ssl-cert and --ssl-key.")
    for name in ("ssl_cert", "ssl_key", "ssl_client_ca"):
        if given[name] and not given[name].is_file():
            raise InputError(f"--{name.replace('_', '-')} {given[name]}: no such file.")
    wanted: dict[str, dict[str, int]] = {}
    for model, label, version in labels:
        wanted.setdefault(model, {})[label] = version
    tls = given["ssl_cert"] and Tls(cert=given["ssl_cert"], key=given["ssl_key"], client_ca=given["ssl_client_ca"])
    settings = Settings(
        models=tuple(configs.with_labels(found, wanted)),
        config_file=given["model_config_file"],
        config_poll=given["model_config_poll"],
        roots=given["roots"],
        kind=given["kind"],
        allow_unsafe_ops=given["allow_unsafe_ops"],
        host=given["host"],
        rest_port=given["rest_port"],
        grpc_port=given["grpc_port"],
        poll=given["poll"],
        batching=read_batching(batching_file) if batching_file else Batching() if batching else None,
        bounds=Bounds(
            body=given["max_body"] << 20,
            pixels=round(given["max_pixels"] * 1e6),
            seconds=given["timeout"],
            waiting=given["max_requests"],
        ),
        origins=given["origins"],
        tls=tls or None,
        token=configs.read_token(given["token_file"]) if given["token_file"] else "",
        grace=given["grace"],
        **({"threads": given["threads"]} if given["threads"] else {}),
    )
    check_names(settings.configs())
    return settings
