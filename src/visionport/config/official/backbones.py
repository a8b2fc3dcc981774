"""Official Vision's `backbone`: one of the dataclasses of config/backbones."""

from collections.abc import Callable, Mapping
from typing import Any

from visionport.config.backbones.efficientnet import EfficientNet
from visionport.config.backbones.mobiledet import MobileDet
from visionport.config.backbones.mobilenet import MobileNet
from visionport.config.backbones.resnet import DilatedResNet, ResNet
from visionport.config.backbones.resnet_3d import ResNet3D, ResNet3DBlock
from visionport.config.backbones.revnet import RevNet
from visionport.config.backbones.spinenet import SpineNet
from visionport.config.backbones.spinenet_mobile import SpineNetMobile
from visionport.config.backbones.vit import Vit
from visionport.config.official.fields import check_choice, check_length, chosen, taken, with_norm

# Of training alone.
DROPPED = ("stochastic_depth_drop_rate",)

# What the reference writes into the config of a ViT when it builds it: width, patch, and the encoder's numbers.
VIT_SIZES = {
    "vit-ti16": (192, 16, 768, 3, 12),
    "vit-s16": (384, 16, 1536, 6, 12),
    "vit-b16": (768, 16, 3072, 12, 12),
    "vit-b32": (768, 32, 3072, 12, 12),
    "vit-l16": (1024, 16, 4096, 16, 24),
    "vit-l32": (1024, 32, 4096, 16, 24),
    "vit-h14": (1280, 14, 5120, 16, 32),
    "vit-g14": (1408, 14, 5632, 16, 40),
    "vit-G14": (1664, 14, 8192, 16, 48),
    "vit-e14": (1792, 14, 15360, 16, 56),
}


def backbone(model: Mapping[str, Any]) -> Any:
    """The backbone of a model's tree."""
    kind, tree = chosen(model["backbone"], "task.model.backbone")
    return BACKBONES[kind](tree, model["norm_activation"])


def resnet(tree, norm) -> ResNet:
    check_choice("task.model.backbone.resnet.stem_type", tree["stem_type"], ("v0", "v1"))
    return taken(ResNet, tree, (*DROPPED, "bn_trainable"), **with_norm(ResNet, norm))


def dilated_resnet(tree, norm) -> DilatedResNet:
    check_choice("task.model.backbone.dilated_resnet.stem_type", tree["stem_type"], ("v0", "v1"))
    return taken(DilatedResNet, tree, DROPPED, **with_norm(DilatedResNet, norm))


def revnet(tree, norm) -> RevNet:
    return taken(RevNet, tree, **with_norm(RevNet, norm))


def efficientnet(tree, norm) -> EfficientNet:
    return taken(EfficientNet, tree, DROPPED, **with_norm(EfficientNet, norm))


def spinenet(tree, norm) -> SpineNet:
    return taken(SpineNet, tree, DROPPED, **with_norm(SpineNet, norm))


def spinenet_mobile(tree, norm) -> SpineNetMobile:
    return taken(SpineNetMobile, tree, DROPPED, **with_norm(SpineNetMobile, norm))


def mobilenet(tree, norm) -> MobileNet:
    return taken(MobileNet, tree, (*DROPPED, "flat_stochastic_depth_drop_rate"), **with_norm(MobileNet, norm))


def mobiledet(tree, norm) -> MobileDet:
    return taken(MobileDet, tree, **with_norm(MobileDet, norm))


def vit(tree, norm) -> Vit:
    check_choice("task.model.backbone.vit.model_name", tree["model_name"], VIT_SIZES)
    check_choice("task.model.backbone.vit.pooler", tree["pooler"], ("token", "gap", "none"))
    check_length("task.model.backbone.vit.pos_embed_shape", tree["pos_embed_shape"], 2)
    sizes = ("hidden_size", "patch_size", "transformer")  # those of model_name count, see VIT_SIZES
    training = ("init_stochastic_depth_rate", "original_init", "transformer_partition_dims", "output_attention_scores")
    return taken(Vit, tree, (*sizes, *training), **with_norm(Vit, norm))


def resnet_3d(tree, norm, repeat: bool = False) -> ResNet3D:
    blocks = tuple(taken(ResNet3DBlock, block) for block in tree["block_specs"])
    return taken(ResNet3D, tree, DROPPED, block_specs=blocks, repeat_kernel_sizes=repeat, **with_norm(ResNet3D, norm))


def resnet_3d_rs(tree, norm) -> ResNet3D:
    return resnet_3d(tree, norm, repeat=True)


BACKBONES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Any]] = {
    "resnet": resnet,
    "dilated_resnet": dilated_resnet,
    "revnet": revnet,
    "efficientnet": efficientnet,
    "spinenet": spinenet,
    "spinenet_mobile": spinenet_mobile,
    "mobilenet": mobilenet,
    "mobiledet": mobiledet,
    "vit": vit,
    "resnet_3d": resnet_3d,
    "resnet_3d_rs": resnet_3d_rs,
}
