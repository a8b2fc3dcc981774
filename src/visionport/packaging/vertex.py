"""Vertex AI's pre-built TensorFlow containers: a folder with saved_model.pb at its top."""

from pathlib import Path

from visionport.errors import OptionError
from visionport.packaging.source import Source
from visionport.packaging.target import Job, check_json_request, check_saved_model, put_saved_model, write_json_request

NAME, TITLE = "vertex", "Vertex AI"
FORMATS = ("saved_model",)
WHY = "Vertex AI's pre-built container for TensorFlow loads SavedModels"
MODEL = "model"
LARGEST = 1_500_000  # bytes of a request to a public endpoint
EXPLAINED = """\
`model/` is the artifact directory: `saved_model.pb` lies at its top, and there are no versions in the path, which are
Vertex AI's own.

## Deploy it

```
gcloud storage cp --recursive model gs://BUCKET/{name}
gcloud ai models upload --region=REGION --display-name={name} --artifact-uri=gs://BUCKET/{name} \\
    --container-image-uri=us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest
gcloud ai endpoints create --region=REGION --display-name={name}
gcloud ai endpoints deploy-model ENDPOINT --region=REGION --model=MODEL --display-name={name}
```

That container has TensorFlow 2.15, older than the one that the model was exported with. Ask it once before you rely on
it.

## Ask it

```
gcloud ai endpoints predict ENDPOINT --region=REGION --json-request=request.json
```

```python
import json
from google.cloud import aiplatform

instances = json.load(open("request.json"))["instances"]
endpoint = aiplatform.Endpoint("projects/PROJECT/locations/REGION/endpoints/ENDPOINT")
print(endpoint.predict(instances).predictions[0])
```

An instance is one picture for the signature `serving_default`: {instance}. A request has at most 1.5 MB.
{advice}"""
ADVICE = """
A picture as a list of numbers is too large for that unless it is tiny. For encoded pictures make them the default
signature: export with `--input encoded_image_string_tensor,image_tensor`.
"""


def settle(source: Source) -> Source:
    if "serving_default" not in source.signatures:
        raise OptionError(f"{source.folder} has no signature serving_default, which Vertex AI asks.")
    return source


def write(job: Job, folder: Path) -> str:
    put_saved_model(job, folder / MODEL)
    write_json_request(job, folder)
    return MODEL


def check(job: Job, folder: Path) -> list[str]:
    return [*check_saved_model(job, folder / MODEL), check_json_request(folder)]


def explain(job: Job) -> str:
    (tensor, *more) = job.source.signatures["serving_default"].inputs
    encoded = tensor.dtype == "string"
    instance = '`{"b64": "..."}`' if encoded else f"{tensor.dtype} [height, width, 3] as a list of lists of lists"
    if more:
        instance = "an object with " + ", ".join(f"`{t.name}`" for t in (tensor, *more))
    return EXPLAINED.format(name=job.source.name, instance=instance, advice="" if encoded else ADVICE)
