"""SageMaker's TensorFlow Serving container: model.tar.gz with NAME/VERSION/saved_model.pb.

The container serves every folder with a number as its name and a saved_model.pb in it, at whatever depth below the
archive's root, by the name of the folder above: `export/Servo/1`, which older ones wanted, is `Servo` there.
"""

import gzip
import os
import tarfile
from pathlib import Path

from visionport.errors import ArtifactError
from visionport.packaging.source import Source
from visionport.packaging.target import Job, check_json_request, check_saved_model, put_saved_model, write_json_request
from visionport.packaging.tf_serving import place
from visionport.staging import scratch

WHY = "that container is TensorFlow Serving's, which loads SavedModels"
NAME, TITLE = "sagemaker", "SageMaker's TensorFlow Serving container"
FORMATS = ("saved_model",)
ARCHIVE = "model.tar.gz"
EXPLAINED = """\
`model.tar.gz` holds `{name}/{version}/`, the SavedModel. The container serves it by the name `{name}`.

## Deploy it

```
aws s3 cp model.tar.gz s3://BUCKET/{name}/model.tar.gz
```

```python
from sagemaker.tensorflow import TensorFlowModel

model = TensorFlowModel(
    model_data="s3://BUCKET/{name}/model.tar.gz", role="ROLE", framework_version="2.16",
    env={{"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "{name}"}},
)
predictor = model.deploy(initial_instance_count=1, instance_type="ml.c6i.large", endpoint_name="{endpoint}")
```

## Ask it

```
aws sagemaker-runtime invoke-endpoint --endpoint-name {endpoint} --content-type application/json \\
    --body fileb://request.json answer.json
```

```python
import boto3

body = open("request.json", "rb").read()
client = boto3.client("sagemaker-runtime")
print(client.invoke_endpoint(EndpointName="{endpoint}", ContentType="application/json", Body=body)["Body"].read())
```

SageMaker bounds a request to some megabytes: send encoded pictures.

## Try it before

The container's TensorFlow is older than the one that the model was exported with, so ask it once before you rely on it.
It runs on this machine too. Unpacked, the archive is what it finds at `/opt/ml/model`:

```
mkdir model && tar -xzf model.tar.gz -C model
docker run --rm -p 8080:8080 -v "$PWD/model:/opt/ml/model:ro" -e SAGEMAKER_TFS_DEFAULT_MODEL_NAME={name} \\
    763104351884.dkr.ecr.REGION.amazonaws.com/tensorflow-inference:2.16-cpu serve
curl -H 'Content-Type: application/json' -d @request.json localhost:8080/invocations
```
"""


def settle(source: Source) -> Source:
    return source


def write(job: Job, folder: Path) -> str:
    with scratch() as unpacked:
        put_saved_model(job, unpacked / place(job.source))
        pack(unpacked, folder / ARCHIVE)
    write_json_request(job, folder)
    return ""


def pack(folder: Path, target: Path) -> None:
    """A .tar.gz of what is in `folder`, the same bytes for the same files."""
    with (
        open(target, "xb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in sorted(folder.rglob("*")):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.type = tarfile.DIRTYPE if path.is_dir() else tarfile.REGTYPE
            member.mode = 0o755 if path.is_dir() else 0o644
            if path.is_dir():
                archive.addfile(member)
                continue
            with open(path, "rb") as content:
                member.size = os.fstat(content.fileno()).st_size
                archive.addfile(member, content)


def check(job: Job, folder: Path) -> list[str]:
    with scratch() as unpacked:
        names = unpack(folder / ARCHIVE, unpacked)
        if names != sorted(names):
            raise ArtifactError(f"{folder / ARCHIVE} is not in order. Package again.")
        lines = check_saved_model(job, unpacked / place(job.source))
    return [f"{ARCHIVE}: {len(names)} entries, files and folders only", *lines, check_json_request(folder)]


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpacks what `pack` has packed; the names in it."""
    names = []
    with tarfile.open(archive, "r:gz") as found:
        for member in found:
            if not (member.isfile() or member.isdir()) or member.mtime or member.uid or member.gid:
                raise ArtifactError(f"{archive} holds {member.name}, which is not as it was packed. Package again.")
            names.append(member.name)
            target = folder / member.name
            if member.isdir():
                target.mkdir()
            elif content := found.extractfile(member):
                with open(target, "xb") as file:
                    while block := content.read(1 << 20):
                        file.write(block)
    return names


def explain(job: Job) -> str:
    endpoint = "".join(c if c.isalnum() else "-" for c in job.source.name)[:63].strip("-")
    return EXPLAINED.format(name=job.source.name, version=job.source.version, endpoint=endpoint)
