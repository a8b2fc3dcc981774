"""Every experiment and variant of TF Official Vision fits the reference's names and shapes, each tensor read."""

import official_models as official
import pytest
from sampling import sampled

from visionport.errors import MismatchError, UnsupportedError
from visionport.models.build import check

CHECKPOINTS = {"export": official.exported_checkpoint, "trainer": official.trained_checkpoint}
PAIRS = [("export", label) for label in official.labels()] + [("trainer", label) for label in official.trainers()]
here = pytest.mark.skipif(not PAIRS, reason="the reference's names are not here")


@pytest.mark.parametrize(("kind", "label"), sampled(PAIRS, 6))
def test_a_checkpoint_fits(kind, label):
    """An export's keys, and those of a trainer, which go through the model's parts."""
    checkpoint = CHECKPOINTS[kind](label)
    params = check(official.config_of(label), checkpoint)
    read = set(params.keys.values())
    assert read == {key for key in checkpoint.groups()["model"] if not params.known_unread(key)}
    assert len(read) > 20


@here
@pytest.mark.parametrize(
    ("label", "override"),
    [
        ("resnet_18", "task.model.backbone.resnet.depth_multiplier=0.5"),
        ("resnet_18", "task.model.backbone.resnet.model_id=34"),
        ("resnet_imagenet", "task.model.backbone.resnet.stem_type=v1"),
        ("resnet_imagenet", "task.model.backbone.resnet.se_ratio=0.25"),
        ("resnet_imagenet", "task.model.num_classes=1000"),
        ("resnet_50_v1stem_se_d", "task.model.backbone.resnet.se_ratio=0.5"),
        ("resnet_50_v1stem_se_d", "task.model.backbone.resnet.resnetd_shortcut=false"),
        ("revnet_104", "task.model.backbone.revnet.model_id=56"),
        ("resnet_3d_rs_50", "task.model.backbone.resnet_3d_rs.se_ratio=0.0"),
        ("maskrcnn_resnetfpn_coco", "task.model.mask_head.num_convs=3"),
    ],
)
def test_another_network_does_not_fit(label, override):
    with pytest.raises(MismatchError):
        check(official.config_of(label, override), official.exported_checkpoint(label))


@here
@pytest.mark.parametrize(
    ("label", "override", "message"),
    [
        (
            "resnet_imagenet",
            "task.model.backbone.resnet.model_id=51",
            "model_id: 51 is not a network of this kind. Choose one of 10, 18",
        ),
        (
            "dilated_resnet_classification_50",
            "task.model.backbone.dilated_resnet.output_stride=64",
            "output_stride: 64 is not supported",
        ),
        (
            "dilated_resnet_classification_50",
            "task.model.backbone.dilated_resnet.multigrid=[1, 2]",
            r"multigrid: \[1, 2\] should have 3 factors",
        ),
        ("revnet_imagenet", "task.model.backbone.revnet.model_id=50", "model_id: 50 is not"),
        (
            "video_classification_kinetics400",
            "task.model.backbone.resnet_3d.model_id=101",
            "stage 3 of ResNet-3D-101 .* should be 23, one a unit",
        ),
    ],
)
def test_what_the_reference_cannot_build_is_refused(label, override, message):
    with pytest.raises(UnsupportedError, match=message):
        check(official.config_of(label, override), official.exported_checkpoint(label))
