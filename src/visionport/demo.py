"""The bundled digits models through everything: `visionport demo`."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from visionport.formats import BASIC
from visionport.options import Options


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A bundled model: its folder of examples/digits has its name. pictures: a folder there of JPEGs."""

    says: str
    pictures: str = "images"
    config: str = "pipeline.config"
    labels: str = "label_map.pbtxt"
    experiment: str | None = None  # of Official Vision
    encoded: str = "encoded_image_string_tensor"  # what its lineage calls pictures as files


def official(experiment: str, says: str, pictures: str) -> Demo:
    how = {"config": "params.yaml", "labels": "labels.txt", "encoded": "image_bytes"}
    return Demo(says=says, pictures=pictures, experiment=experiment, **how)


DEMOS = {
    "tf2": Demo(says="SSD MobileNetV2 FPN, a TF2 checkpoint"),
    "tf1": Demo(says="SSD MobileNetV1, a TF1 one with moving averages"),
    "classifier": official("resnet_imagenet", "Official Vision's ResNet-10", "tiles"),
    "segmenter": official("seg_deeplabv3plus_pascal", "its DeepLabv3+", "scenes"),
    "retinanet": official("retinanet_mobile_coco", "its RetinaNet over MobileNetV2", "scenes"),
}


def run(out: Path, *, model: str = "tf2", overwrite: bool, run_export) -> None:
    """Exports to every format, verifies, draws, and says where to look. model: a key of DEMOS."""
    from visionport.inputs.pictures import example

    demo = DEMOS[model]
    with resources.as_file(example("digits")) as digits:
        pictures = tuple(sorted((digits / demo.pictures).glob("*.jpg")))
        options = Options(
            config=digits / model / demo.config,
            experiment=demo.experiment,
            checkpoint=digits / model,
            out=out,
            formats=BASIC,
            inputs=("image_tensor", demo.encoded),
            labels=digits / demo.labels,
            images=pictures,
            overwrite=overwrite,
            timed=True,
        )
        run_export(options)
        from visionport import manifest
        from visionport.prediction import load, predict

        drawn = predict(out, pictures[:1], draw=True, draw_dir=out)[0]
        manifest.add(out, Path(drawn["drawn"]))
        predictor = load(out)
        found = predictor.asker.task.describe(predictor(pictures[0]), predictor.labels)
    print(f"\nFound in {Path(drawn['image']).name}: {found}.")
    print(f"Look at   {drawn['drawn']}\nand open  {out / 'report.html'}")
