"""TensorFlow Serving: NAME/VERSION/saved_model.pb, and a models.config that names it."""

from pathlib import Path

from google.protobuf import text_format

from visionport.errors import ArtifactError
from visionport.packaging.source import Source
from visionport.packaging.target import (
    Job,
    check_json_request,
    check_saved_model,
    put_saved_model,
    write_json_request,
)
from visionport.serving.configs import read_configs
from visionport.serving.messages import message

NAME, TITLE = "tf-serving", "TensorFlow Serving"
WHY = "TensorFlow Serving loads SavedModels"
FORMATS = ("saved_model",)
CONFIG = "models.config"
EXPLAINED = """\
`{name}/{version}/` is the SavedModel under its version; a higher number beside it takes over when it appears.
`models.config` names it by a path relative to itself, which `visionport serve` reads; in the container it is served by
its folder.

## Run it

```
docker run --rm -p 8500:8500 -p 8501:8501 -v "$PWD/{name}:/models/{name}" -e MODEL_NAME={name} \\
    tensorflow/serving
```

or on this machine, without a container:

```
visionport serve --model-config-file models.config
```

For several models in one container mount this folder at `/models`, and start it with
`--model_config_file=/models/models.config` after `base_path` there is made absolute: `/models/{name}`.

## Ask it

```
curl -d @request.json localhost:8501/v1/models/{name}:predict
```

{python}
```
visionport client http://localhost:8501/v1/models/{name} photo.jpg
```
"""
PYTHON = """\
```python
import json, urllib.request

body = open("request.json", "rb").read()
answer = json.load(urllib.request.urlopen("http://localhost:8501/v1/models/{name}:predict", body))
print(answer["predictions"][0])
```
"""


def settle(source: Source) -> Source:
    return source


def place(source: Source) -> str:
    return f"{source.name}/{source.version}"


def write(job: Job, folder: Path) -> str:
    put_saved_model(job, folder / place(job.source))
    config = message("ModelServerConfig")()
    config.model_config_list.config.add(name=job.source.name, base_path=job.source.name, model_platform="tensorflow")
    (folder / CONFIG).write_text(text_format.MessageToString(config))
    write_json_request(job, folder)
    return place(job.source)


def check(job: Job, folder: Path) -> list[str]:
    lines = check_saved_model(job, folder / place(job.source))
    configs = read_configs(folder / CONFIG)
    if [(c.name, c.base) for c in configs] != [(job.source.name, folder / job.source.name)]:
        raise ArtifactError(f"{folder / CONFIG} does not name the model. Package again.")
    return [*lines, f"{CONFIG}: model {job.source.name}", check_json_request(folder)]


def explain(job: Job) -> str:
    name = job.source.name
    return EXPLAINED.format(name=name, version=job.source.version, python=PYTHON.format(name=name))
