"""KServe: an InferenceService and the folder that its storageUri names, with NAME/VERSION/saved_model.pb."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import yaml

from visionport.errors import ArtifactError, OptionError
from visionport.packaging.source import Source
from visionport.packaging.target import Job, check_json_request, check_saved_model, put_saved_model, write_json_request
from visionport.packaging.tf_serving import place

NAME, TITLE = "kserve", "KServe"
FORMATS = ("saved_model",)
MANIFEST = "inference-service.yaml"
DNS = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")  # what Kubernetes takes as a service's name
URI = re.compile(r"(gs|s3|pvc|https?|hdfs|webhdfs|oci|hf|azure)://[^\s\"']+")
WHY = (
    "KServe's TensorFlow runtime is TensorFlow Serving, which loads SavedModels; for others take --for triton, whose "
    "layout KServe's Triton runtime reads"
)
EXPLAINED = """\
`{name}/` is what the `storageUri` of `inference-service.yaml` names: `{name}/{version}/saved_model.pb`. The request
goes to TensorFlow Serving's API, which KServe calls V1.

## Deploy it

Upload the folder, and say where it lies where the manifest was not made with `--storage-uri`:

```
{upload}
kubectl apply -f inference-service.yaml
kubectl wait --for=condition=Ready inferenceservice/{name}
```

## Ask it

```
HOST=$(kubectl get inferenceservice {name} -o jsonpath='{{.status.url}}' | cut -d/ -f3)
curl -H "Host: $HOST" -d @request.json http://INGRESS/v1/models/{name}:predict
```

```python
import json, urllib.request

body = open("request.json", "rb").read()
request = urllib.request.Request("http://INGRESS/v1/models/{name}:predict", body, {{"Host": "HOST"}})
print(json.load(urllib.request.urlopen(request))["predictions"][0])
```
"""


def settle(source: Source) -> Source:
    name = re.sub(r"[^a-z0-9-]", "-", source.name.lower())
    if not DNS.fullmatch(name):
        raise OptionError(
            f"{source.name!r} cannot be an InferenceService's name: lower case letters, digits and '-', a letter "
            "first, up to 63. Give another with --name."
        )
    return dataclasses.replace(source, name=name)


def service(job: Job) -> dict[str, Any]:
    """The InferenceService."""
    uri = job.more.get("storage_uri") or f"s3://BUCKET/{job.source.name}"
    if not URI.fullmatch(uri):
        raise OptionError(f"--storage-uri {uri!r} is none: s3://BUCKET/PATH, gs://BUCKET/PATH or pvc://CLAIM/PATH.")
    resources = {"cpu": "1", "memory": "2Gi"}
    model = {
        "modelFormat": {"name": "tensorflow"},
        "protocolVersion": "v1",
        "storageUri": uri,
        "resources": {"requests": resources, "limits": resources.copy()},
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": job.source.name},
        "spec": {"predictor": {"model": model}},
    }


def write(job: Job, folder: Path) -> str:
    (folder / MANIFEST).write_text(yaml.safe_dump(service(job), sort_keys=False))
    put_saved_model(job, folder / place(job.source))
    write_json_request(job, folder)
    return place(job.source)


def check(job: Job, folder: Path) -> list[str]:
    found = yaml.safe_load((folder / MANIFEST).read_text())
    if found != service(job):
        raise ArtifactError(f"{folder / MANIFEST} is not the service that was meant. Package again.")
    lines = check_saved_model(job, folder / place(job.source))
    return [f"{MANIFEST}: {found['kind']} {found['metadata']['name']}", *lines, check_json_request(folder)]


def explain(job: Job) -> str:
    uri = service(job)["spec"]["predictor"]["model"]["storageUri"]
    name = job.source.name
    ways = {"s3": "aws s3 cp --recursive", "gs": "gcloud storage cp --recursive"}
    way = ways.get(uri.partition(":")[0])
    to = f"{way} {name} {uri}" if way else f"# copy {name}/ to where {uri} lies"
    return EXPLAINED.format(name=name, version=job.source.version, upload=to)
