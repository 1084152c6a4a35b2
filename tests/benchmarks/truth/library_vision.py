"""Stages of torchvision and timm models, at small widths and resolutions."""

from __future__ import annotations

from dataclasses import dataclass

IMAGES = "torch.randn(4, 3, 32, 32)"
LABELS = "torch.randint(0, 4, (4,))"
CROSS_ENTROPY = "F.cross_entropy(output, y)"
_MIXER = "img_size=16, patch_size=8, num_blocks=2, embed_dim=8"
_MIXER_STAGES = ("stem", "blocks", "norm")


@dataclass(frozen=True)
class Stages:
    """How a wrapper builds a library model and what its forward does with `x`, line by line."""

    name: str
    imports: tuple[str, ...]
    init: tuple[str, ...]
    forward: tuple[str, ...]
    inputs: str = IMAGES
    targets: str = LABELS
    loss: str = CROSS_ENTROPY


def _pooled(name: str, imported: str, init: tuple[str, ...], stages: tuple[str, ...], width: int) -> Stages:
    """A convolutional net: each stage in turn, global average pooling, a linear head of `width` inputs."""
    body = tuple(f"x = self.{stage}(x)" for stage in stages)
    head = (f"self.head = nn.Linear({width}, 4)",)
    return Stages(name, (imported,), init + head, (*body, "x = x.mean((2, 3))", "return self.head(x)"))


def _tokens(name: str, model: str, options: str, between: tuple[str, ...], width: int) -> Stages:
    """A timm token model: patch embedding, blocks, norm, mean over tokens, head."""
    init = (
        f"body = {model}(num_classes=0, {options})",
        *(f"self.{stage} = body.{stage}" for stage in between),
        f"self.head = nn.Linear({width}, 4)",
    )
    body = tuple(f"x = self.{stage}(x)" for stage in between)
    return Stages(
        name,
        ("from timm.models import mlp_mixer, vision_transformer",),
        init,
        (*body, "return self.head(x.mean(dim=1))"),
        "torch.randn(4, 3, 16, 16)",
    )


def _features(name: str, model: str, options: str, width: int, side: int = 32) -> Stages:
    """A timm model used for its features, between a user's own stem and head."""
    init = (
        "self.colour = nn.Conv2d(3, 3, 1)",
        f'self.body = timm.create_model("{model}", num_classes=0, {options})',
        f"self.neck = nn.Linear({width}, 8)",
        "self.head = nn.Linear(8, 4)",
    )
    forward = (
        "x = self.colour(x)",
        "features = self.body.forward_features(x)",
        "pooled = self.body.forward_head(features)",
        "x = F.relu(self.neck(pooled))",
        "return self.head(x)",
    )
    return Stages(name, ("import timm",), init, forward, f"torch.randn(4, 3, {side}, {side})")


TORCHVISION = (
    _pooled(
        "torchvision_resnet",
        "from torchvision.models.resnet import BasicBlock, ResNet",
        (
            "body = ResNet(BasicBlock, [1, 1, 1, 1])",
            "self.stem = nn.Sequential(body.conv1, body.bn1, body.relu)",
            "self.layer1, self.layer2, self.layer3 = body.layer1, body.layer2, body.layer3",
        ),
        ("stem", "layer1", "layer2", "layer3"),
        256,
    ),
    _pooled(
        "torchvision_bottleneck",
        "from torchvision.models.resnet import Bottleneck",
        (
            "self.stem = nn.Conv2d(3, 16, 3, padding=1)",
            "self.block1 = Bottleneck(16, 4)",
            "self.block2 = Bottleneck(16, 4)",
        ),
        ("stem", "block1", "block2"),
        16,
    ),
    _pooled(
        "torchvision_densenet",
        "from torchvision.models import DenseNet",
        (
            "body = DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8, bn_size=2).features",
            "self.stem = nn.Sequential(body.conv0, body.norm0, body.relu0)",
            "self.dense1, self.transition = body.denseblock1, body.transition1",
            "self.dense2, self.norm = body.denseblock2, body.norm5",
        ),
        ("stem", "dense1", "transition", "dense2", "norm"),
        16,
    ),
    _pooled(
        "torchvision_vgg",
        "from torchvision.models.vgg import make_layers",
        (
            'self.low = make_layers([8, "M"], batch_norm=True)',
            "self.adapt = nn.Conv2d(8, 3, 1)",
            'self.high = make_layers([12, 12, "M"], batch_norm=False)',
        ),
        ("low", "adapt", "high"),
        12,
    ),
    _pooled(
        "torchvision_mobilenet_v2",
        "from torchvision.models.mobilenetv2 import Conv2dNormActivation, InvertedResidual",
        (
            "self.stem = Conv2dNormActivation(3, 8, stride=2)",
            "self.block1 = InvertedResidual(8, 8, 1, 2)",
            "self.block2 = InvertedResidual(8, 12, 2, 2)",
        ),
        ("stem", "block1", "block2"),
        12,
    ),
    _pooled(
        "torchvision_mobilenet_v3",
        "from torchvision.models import mobilenet_v3_small",
        (
            "body = mobilenet_v3_small(width_mult=0.25).features",
            "self.stem, self.low, self.middle = body[0], body[1:4], body[4:8]",
        ),
        ("stem", "low", "middle"),
        16,
    ),
    _pooled(
        "torchvision_shufflenet",
        "from torchvision.models import ShuffleNetV2",
        (
            "body = ShuffleNetV2([1, 1, 1], [8, 16, 32, 64, 32])",
            "self.conv1, self.stage2, self.stage3 = body.conv1, body.stage2, body.stage3",
            "self.stage4, self.conv5 = body.stage4, body.conv5",
        ),
        ("conv1", "stage2", "stage3", "stage4", "conv5"),
        32,
    ),
    _pooled(
        "torchvision_squeezenet",
        "from torchvision.models.squeezenet import Fire",
        (
            "self.stem = nn.Conv2d(3, 8, 3, stride=2)",
            "self.fire1 = Fire(8, 4, 6, 6)",
            "self.fire2 = Fire(12, 4, 8, 8)",
        ),
        ("stem", "fire1", "fire2"),
        16,
    ),
    _pooled(
        "torchvision_efficientnet",
        "from torchvision.models.efficientnet import EfficientNet, MBConvConfig",
        (
            "plan = [MBConvConfig(1, 3, 1, 8, 8, 1), MBConvConfig(2, 3, 2, 8, 12, 1)]",
            "body = EfficientNet(plan, dropout=0.0, last_channel=16).features",
            "self.stem, self.low, self.high, self.last = body[0], body[1], body[2], body[3]",
        ),
        ("stem", "low", "high", "last"),
        16,
    ),
    _pooled(
        "torchvision_convnext",
        "from torchvision.models.convnext import CNBlockConfig, ConvNeXt",
        (
            "body = ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)]).features",
            "self.stem, self.stage1, self.down, self.stage2 = body[0], body[1], body[2], body[3]",
        ),
        ("stem", "stage1", "down", "stage2"),
        16,
    ),
    _pooled(
        "torchvision_inception",
        "from torchvision.models.googlenet import BasicConv2d, Inception",
        (
            "self.stem = BasicConv2d(3, 8, kernel_size=3, padding=1)",
            "self.mixed1 = Inception(8, 4, 4, 4, 2, 4, 4)",
            "self.mixed2 = Inception(16, 4, 4, 4, 2, 4, 4)",
        ),
        ("stem", "mixed1", "mixed2"),
        16,
    ),
    _pooled(
        "torchvision_regnet",
        "from torchvision.models.regnet import BlockParams, RegNet",
        (
            "plan = BlockParams.from_init_params(depth=4, w_0=8, w_a=8.0, w_m=2.0, group_width=8)",
            "body = RegNet(plan, stem_width=8)",
            "self.stem, self.block1, self.block2 = body.stem, body.trunk_output[0], body.trunk_output[1]",
        ),
        ("stem", "block1", "block2"),
        16,
    ),
    _pooled(
        "torchvision_aspp",
        "from torchvision.models.segmentation.deeplabv3 import ASPP",
        (
            "self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)",
            "self.aspp = ASPP(8, [1, 2], 8)",
            "self.last = nn.Conv2d(8, 8, 1)",
        ),
        ("stem", "aspp", "last"),
        8,
    ),
    Stages(
        "torchvision_pyramid",
        ("from torchvision.ops import FeaturePyramidNetwork",),
        (
            "self.low = nn.Conv2d(3, 6, 3, stride=2)",
            "self.high = nn.Conv2d(6, 8, 3, stride=2)",
            "self.pyramid = FeaturePyramidNetwork([6, 8], 6)",
            "self.head = nn.Linear(12, 4)",
        ),
        (
            "low = F.relu(self.low(x))",
            "high = F.relu(self.high(low))",
            'maps = self.pyramid({"low": low, "high": high})',
            'pooled = torch.cat([maps["low"].mean((2, 3)), maps["high"].mean((2, 3))], dim=1)',
            "return self.head(pooled)",
        ),
    ),
    Stages(
        "torchvision_vit",
        ("from torchvision.models import VisionTransformer",),
        (
            "body = VisionTransformer(16, 8, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)",
            "self.patch, self.encoder = body.conv_proj, body.encoder",
            "self.token = nn.Parameter(torch.randn(1, 1, 8))",
            "self.head = nn.Linear(8, 4)",
        ),
        (
            "x = self.patch(x).flatten(2).transpose(1, 2)",
            "x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)",
            "x = self.encoder(x)",
            "return self.head(x[:, 0])",
        ),
        "torch.randn(4, 3, 16, 16)",
    ),
    Stages(
        "torchvision_swin",
        ("from torchvision.models import SwinTransformer",),
        (
            "body = SwinTransformer([4, 4], 8, [1, 1], [1, 2], [2, 2])",
            "self.patch, self.stage1 = body.features[0], body.features[1]",
            "self.merge, self.stage2 = body.features[2], body.features[3]",
            "self.norm, self.head = body.norm, nn.Linear(16, 4)",
        ),
        (
            "x = self.patch(x)",
            "x = self.stage1(x)",
            "x = self.merge(x)",
            "x = self.norm(self.stage2(x))",
            "return self.head(x.mean((1, 2)))",
        ),
    ),
)

TIMM = (
    _tokens(
        "timm_vit",
        "vision_transformer.VisionTransformer",
        "img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2",
        ("patch_embed", "pos_drop", "blocks", "norm"),
        16,
    ),
    _tokens("timm_mixer", "mlp_mixer.MlpMixer", _MIXER, _MIXER_STAGES, 8),
    _tokens(
        "timm_resmlp",
        "mlp_mixer.MlpMixer",
        f"{_MIXER}, mlp_ratio=4, block_layer=mlp_mixer.ResBlock, norm_layer=mlp_mixer.Affine",
        _MIXER_STAGES,
        8,
    ),
    _tokens(
        "timm_gmlp",
        "mlp_mixer.MlpMixer",
        f"{_MIXER}, mlp_ratio=4, block_layer=mlp_mixer.SpatialGatingBlock, mlp_layer=mlp_mixer.GatedMlp",
        _MIXER_STAGES,
        8,
    ),
    _features("timm_convnext", "convnext_atto", "depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)", 16),
    Stages(
        "timm_poolformer",
        ("from timm.models.metaformer import MetaFormer",),
        (
            "body = MetaFormer(num_classes=0, depths=(1, 1), dims=(8, 12))",
            "self.stem, self.stages = body.stem, body.stages",
            "self.norm = nn.LayerNorm(12)",
            "self.head = nn.Linear(12, 4)",
        ),
        (
            "x = self.stem(x)",
            "x = self.stages(x)",
            "x = self.norm(x.mean((2, 3)))",
            "return self.head(x)",
        ),
        "torch.randn(4, 3, 64, 64)",
    ),
    _features(
        "timm_beit", "beit_base_patch16_224", "img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2", 16, 16
    ),
    _features("timm_cait", "cait_xxs24_224", "img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2", 16, 16),
    _features(
        "timm_swin",
        "swin_tiny_patch4_window7_224",
        "img_size=32, embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=4",
        16,
    ),
    _features(
        "timm_pvt", "pvt_v2_b0", "depths=(1, 1, 1, 1), embed_dims=(8, 8, 16, 16), num_heads=(1, 1, 2, 2)", 16, 64
    ),
    _features("timm_mobilenet", "mobilenetv3_small_050", "", 1024),
    _features("timm_ghostnet", "ghostnet_050", "", 1280),
    _features("timm_lcnet", "lcnet_035", "", 1280),
    _features("timm_resnet", "resnet10t", "channels=(8, 8, 16, 16), stem_width=8", 16),
    _features("timm_edgenext", "edgenext_xx_small", "depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)", 16),
)

VISION = (*TORCHVISION, *TIMM)
