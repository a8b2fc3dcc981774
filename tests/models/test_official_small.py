"""Small models of TF Official Vision against what the reference answered (see official_goldens.py)."""

import json
from typing import Any

import numpy as np
import pytest
from golden_cases import assert_close
from official_goldens import CASES, assert_answers, clip, golden, params_of, pictures, whole_checkpoint

from visionport.config import read_config
from visionport.config.classification import Classifier
from visionport.config.segmentation import Segmenter
from visionport.config.video import VideoClassifier
from visionport.formats import saved_model
from visionport.inputs.types import type_of
from visionport.models.build import build
from visionport.models.classification import architecture as classifier
from visionport.models.segmentation import architecture as segmenter
from visionport.models.segmentation.preprocessing import preprocess
from visionport.models.video import architecture as video
from visionport.signatures import sign

ARCHITECTURES: dict[Any, Any] = {Segmenter: segmenter, Classifier: classifier, VideoClassifier: video}
PREPROCESS: dict[Any, Any] = {
    Segmenter: preprocess,
    Classifier: classifier.preprocess,
    VideoClassifier: lambda model, picture: video.preprocess(model, clip(picture[0].numpy())[None]),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_of_the_reference(case):
    import tensorflow as tf

    model, stored = CASES[case], golden(case)
    architecture = ARCHITECTURES[type(model)]
    params = params_of(case, architecture)
    for i, picture in enumerate(pictures().values()):
        if not any(name.startswith(f"out{i}|") for name in stored):
            continue
        images, info = PREPROCESS[type(model)](model, tf.constant(picture[None]))
        prediction = architecture.predict(model, params.scope(), images)
        outputs = architecture.postprocess(model, params.scope(), prediction, images, info)
        for name, value in outputs.items():
            assert f"out{i}|{name}" in stored or f"out{i}|{name}#sample" in stored
            assert_close(stored, f"out{i}|{name}", value)
        if i == 0:
            decoded = prediction.get("decoded", {})
            found = {f"backbone|{level}": x for level, x in prediction["feature_maps"].items()}
            found |= {f"decoder|{n}": x for n, x in (decoded.items() if isinstance(decoded, dict) else [("", decoded)])}
            for name, value in found.items():
                assert_close(stored, name, value)
    params.check(case, case)
    assert np.isfinite(next(iter(outputs.values()))).all()


# Through the story: an experiment and what is changed of it, the input's size, input types.
RESNET = {"model_id": 10, "depth_multiplier": 0.25}
SCORING = {"num_convs": 2, "num_filters": 12, "fc_input_size": [5, 7], "num_fcs": 2, "fc_dims": 20}
SEPARABLE = {"use_separable_conv": True, "use_keras_layer": True}
FEATURES = {"feature_shape": [8, 32, 32, 3], "temporal_stride": 2, "min_image_size": 36, "num_classes": 7}
STORIES = {
    "resnet_50_d": (
        "resnet_imagenet",
        {
            "model": {
                "num_classes": 7,
                "add_head_batch_norm": True,
                "norm_activation": {"activation": "swish"},
                "backbone": {
                    "resnet": {
                        "model_id": 50,
                        "depth_multiplier": 0.25,
                        "scale_stem": False,
                        "stem_type": "v1",
                        "resnetd_shortcut": True,
                        "se_ratio": 0.25,
                    }
                },
            },
            "train_data": {"is_multilabel": True},
        },
        (65, 97),
        ("image_tensor",),
    ),
    "mask_scoring": (
        "seg_resnetfpn_pascal",
        {
            "model": {
                "num_classes": 5,
                "norm_activation": {"activation": "relu"},
                "backbone": {"resnet": RESNET},
                "min_level": 2,
                "max_level": 6,
                "decoder": {"fpn": {"num_filters": 16, "fusion_type": "concat", **SEPARABLE}},
                "head": {
                    "level": 2,
                    "num_convs": 1,
                    "num_filters": 16,
                    "feature_fusion": None,
                    "upsample_factor": 2,
                    "logit_activation": "sigmoid",
                },
                "mask_scoring_head": {"use_depthwise_convolution": True, **SCORING},
            },
            "train_data": {"preserve_aspect_ratio": False, "image_feature": {"stddev": [58.395, 57.12, 57.375]}},
            "export_config": {"rescale_output": True},
        },
        (64, 64),
        ("image_tensor", "image_bytes", "tf_example"),
    ),
    "resnet_3d_rs_50": (
        "video_classification_ucf101",
        {
            "model": {
                "backbone": {"type": "resnet_3d_rs", "resnet_3d_rs": {"model_id": 50, "se_ratio": 0.2}},
                "norm_activation": {"norm_epsilon": 0.001},
            },
            "train_data": FEATURES,
            "validation_data": FEATURES,
        },
        None,
        ("image_tensor", "tf_example"),
    ),
}


@pytest.mark.parametrize("case", STORIES)
def test_a_saved_model_answers_as_the_reference(case, tmp_path):
    experiment, task, size, sources = STORIES[case]
    config = read_config(experiment=experiment, params_override=json.dumps({"task": task}), image_size=size, batch=1)
    assert config.model == CASES[case]
    model, stored = build(config, whole_checkpoint(case), batch=1), golden(case)
    assert set(config.input_types) >= set(sources)
    runner = saved_model.SavedModelRunner(
        saved_model.FORMAT.write(model, sign(model, sources, batch=1), None, tmp_path)
    )
    for source in sources:
        (given,) = runner.signatures[source].inputs
        feed = type_of(config, source).feed
        for i, picture in enumerate(pictures().values()):
            value = clip(picture) if config.task == "video" else picture
            assert_answers(stored, f"out{i}|", runner.call(source, {given.name: feed(value[None])}))
