"""Vision Transformers (ViT, DeiT) as TF Official Vision's `backbone.vit` configures them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Vit:
    """Whatever sizes the config's other fields give, the reference takes those of `model_name`."""

    model_name: str = "vit-b16"  # vit-ti16, s16, b16, b32, l16, l32, h14, g14, G14, e14
    pooler: str = "token"  # token, gap, none
    representation_size: int = 0  # of a dense layer behind the pooler; 0: there is none
    layer_scale_init_value: float = 0.0  # not 0: each branch is scaled channel by channel (its value is trained)
    output_encoded_tokens: bool = True  # of pooler "none": the tokens are an output
    output_2d_feature_maps: bool = False  # the tokens are an output as a feature map too
    # The grid (rows, columns of patches) that the position embeddings were trained for, to be interpolated from; None:
    # the input's own.
    pos_embed_shape: tuple[int, int] | None = None
