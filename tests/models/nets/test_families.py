"""Small nets of each family of the zoo, and of some that it knows nothing of."""

from __future__ import annotations

from functools import partial

from timm.models import build_model_with_cfg
from timm.models.vgg import VGG

from tests.models.nets.net_suite import ExportedSuite, NetSuite, SeeingSuite, smaller


class TestLandNet(ExportedSuite):
    name = "landnet-s"


class TestLargeLandNet(SeeingSuite):
    name = "landnet-l"


class TestResNet(NetSuite):
    name = "test_resnet"


VGG16 = (8, 8, "M", 16, 16, "M", 16, 16, 16, "M", 32, 32, 32, "M", 32, 32, 32, "M")
"""Its layers, with an eighth of their channels and less."""


class TestVGG(NetSuite):
    name = smaller("vgg16", "test_vgg", partial(build_model_with_cfg, VGG, "vgg16", model_cfg=VGG16), mlp_ratio=1 / 64)
    has_depth = False

    def least(self, size: int) -> float:
        """Its poolings leave out the last of an odd number: what reaches that are its convolutions."""
        return 0.07 if size == 127 else super().least(size)


class TestDenseNet(NetSuite):
    name = smaller("densenet121", "test_densenet", block_config=(1, 2, 3, 2))
    has_depth = False


class TestEfficientNet(NetSuite):
    name = "test_efficientnet"


class TestEfficientNetV2(SeeingSuite):
    name = smaller("tf_efficientnetv2_m", "test_efficientnetv2", channel_multiplier=0.1, depth_multiplier=0.1)


class TestConvNeXt(NetSuite):
    name = "test_convnext"


class TestSwin(ExportedSuite):
    name = smaller(
        "swin_tiny_patch4_window7_224",
        "test_swin_patch4_window7_224",
        embed_dim=24,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 2, 4),
    )


class TestViT(ExportedSuite):
    name = "test_vit"


class TestByobNet(SeeingSuite):
    name = "timm:test_byobnet.r160_in1k"


class TestMambaOut(SeeingSuite):
    name = "test_mambaout"


class TestMaxViT(SeeingSuite):
    name = "test_maxvit"
