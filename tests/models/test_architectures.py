"""Real architectures with random weights: their layers are read aright, and their units can be made to rise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.models.zoo import load
from pellucid.objectives.from_target import objective_of


@dataclass(frozen=True)
class Case:
    """An architecture, the facts of some of its layers (axes, shape, prefix tokens, grid), and what shall rise."""

    spec: str
    size: int
    layers: dict[str, tuple[str, tuple[int, ...], int, tuple[int, int] | None]]
    targets: tuple[str, ...]
    steps: int = 24


CASES = [
    Case(
        "torchvision:googlenet",
        64,
        {"inception3a": ("bchw", (256, 8, 8), 0, None), "inception4c.branch2.1.conv": ("bchw", (256, 4, 4), 0, None)},
        ("inception4c:3", "logit:3"),
    ),
    Case(
        "torchvision:resnet50",
        64,
        {
            "layer1.0.relu#3": ("bchw", (256, 16, 16), 0, None),
            "layer3": ("bchw", (1024, 4, 4), 0, None),
            "avgpool": ("bchw", (2048, 1, 1), 0, None),
            "fc": ("bc", (1000,), 0, None),
        },
        ("layer3.1:3", "logit:tench"),
        48,
    ),
    Case(
        "torchvision:inception_v3",
        96,
        {"Mixed_5d": ("bchw", (288, 9, 9), 0, None), "Mixed_6b.branch7x7_3.conv": ("bchw", (192, 4, 4), 0, None)},
        ("Mixed_6b:3", "logit:3"),
        32,
    ),
    Case(
        "torchvision:vit_b_16",
        64,
        {
            "conv_proj": ("bchw", (768, 4, 4), 0, None),
            "encoder.layers.encoder_layer_3": ("bnc", (17, 768), 1, (4, 4)),
            "encoder.layers.encoder_layer_3.mlp.1": ("bnc", (17, 3072), 1, (4, 4)),
        },
        ("encoder.layers.encoder_layer_3:3@patch", "logit:3"),
        12,
    ),
    Case(
        "torchvision:swin_t",
        64,
        {
            "features.0.0": ("bchw", (96, 16, 16), 0, None),
            "features.1.0": ("bhwc", (96, 16, 16), 0, None),
            "features.3.1.mlp.0": ("bhwc", (768, 8, 8), 0, None),
            "features.5": ("bhwc", (384, 4, 4), 0, None),
        },
        ("features.3.1:3", "features.5.0.mlp.0:3@c", "logit:3"),
    ),
    Case(
        "timm:convnext_atto",
        64,
        {
            "stem.0": ("bchw", (40, 16, 16), 0, None),
            "stages.1.blocks.0": ("bchw", (80, 8, 8), 0, None),
            "stages.2.blocks.5.mlp.fc1": ("bchw", (640, 4, 4), 0, None),
        },
        ("stages.1.blocks.0:3", "logit:3"),
    ),
    Case(
        "timm:vit_tiny_patch16_224",
        64,
        {"blocks.3": ("bnc", (17, 192), 1, (4, 4)), "blocks.3.mlp.fc1": ("bnc", (17, 768), 1, (4, 4))},
        ("blocks.3:3@patch", "blocks.3.mlp.act:3@cls", "logit:3"),
    ),
    Case(
        "hf:resnet",
        64,
        {
            "resnet.encoder.stages.1": ("bchw", (32, 8, 8), 0, None),
            "resnet.encoder.stages.1.layers.0.layer.0.convolution": ("bchw", (8, 16, 16), 0, None),
        },
        ("resnet.encoder.stages.1:3", "logit:3"),
        64,
    ),
    Case(
        "hf:vit",
        32,
        {"vit.layers.1": ("bnc", (17, 64), 1, (4, 4)), "vit.layers.1.mlp.fc1": ("bnc", (17, 64), 1, (4, 4))},
        ("vit.layers.1:3@patch", "vit.layers.1:3@cls", "logit:3"),
        64,
    ),
]
SPECS = [case.spec for case in CASES]


@pytest.fixture(scope="module")
def hf_configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that hold a configuration and no weights."""
    from transformers import ResNetConfig, ViTConfig

    root = tmp_path_factory.mktemp("hf")
    resnet = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], num_labels=5,
        architectures=["ResNetForImageClassification"],
    )  # fmt: skip
    vit = ViTConfig(
        image_size=32, patch_size=8, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        initializer_range=0.2, num_labels=5, architectures=["ViTForImageClassification"],
    )  # fmt: skip
    resnet.save_pretrained(root / "resnet")
    vit.save_pretrained(root / "vit")
    return {"hf:resnet": root / "resnet", "hf:vit": root / "vit"}


@pytest.fixture(scope="module", params=CASES, ids=SPECS)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture(scope="module")
def model(case: Case, hf_configs: dict[str, Path]) -> Model:
    torch.manual_seed(0)
    spec = f"hf:{hf_configs[case.spec]}" if case.spec in hf_configs else case.spec
    model = load(spec, weights="none", size=case.size)
    _enliven(model)
    return model


def _enliven(model: Model) -> None:
    """Give random weights the statistics that training would: batch norms that fit their input, a classifier.

    Without them signals die on their way through GoogLeNet's 60 layers, and torchvision's ViT ends in zeros.
    """
    net = model._module
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    if norms:
        with torch.no_grad():
            coarse = torch.rand(16, 3, 8, 8)
            smooth = nn.functional.interpolate(coarse, model.size, mode="bilinear")
            smooth = 0.5 + (smooth - 0.5) * torch.linspace(0, 1, 16)[:, None, None, None]  # from grey to full contrast
            model(torch.cat((smooth, torch.rand(8, 3, *model.size))))
    for norm in norms:
        norm.eval()
    classifier = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    if not classifier.weight.any():
        nn.init.normal_(classifier.weight, std=0.02)


def test_layers_have_the_right_axes_units_tokens_and_grid(case: Case, model: Model) -> None:
    for name, facts in case.layers.items():
        layer = model.layers[name]
        assert (layer.axes, layer.shape, layer.prefix_tokens, layer.grid) == facts, name
        assert layer.units == (layer.shape[-1] if layer.axes == "bnc" else layer.shape[0])
    assert model.layers["output"].units == (5 if case.spec.startswith("hf:") else 1000)
    names = list(model.layers)
    assert names.index(next(iter(case.layers))) < names.index("output") == len(names) - 1


def test_no_layer_passes_attention_heads_off_as_a_map(model: Model) -> None:
    for layer in model.layers.values():
        if len(layer.shape) == 3:
            assert layer.map_size[0] == layer.map_size[1], layer


def test_taps_see_every_layer_as_it_is_listed(case: Case, model: Model) -> None:
    seen = model.tap(torch.rand(2, 3, *model.size), list(case.layers))
    for name in case.layers:
        assert seen[name].shape == (2, *model.layers[name].shape), name


def test_channels_tokens_and_logits_rise_fivefold_over_noise(case: Case, model: Model) -> None:
    """Against two noises: the faint one that pictures start from, and pictures of full-contrast noise."""
    rendering = pl.render(
        model,
        list(case.targets),
        steps=case.steps,
        learning_rate=0.2,
        transforms="none",
        precision="float32",
        snapshots=(0,),
    )
    faint = torch.stack([rendering.snapshots[0][i] for i in range(len(case.targets))])
    loud = torch.rand(4, 3, *model.size, generator=torch.Generator().manual_seed(0))
    for i, text in enumerate(case.targets):
        objective = objective_of(Target.parse(text), model)
        with torch.no_grad():
            noise = [float(objective(model.tap(x, objective.taps)).abs().mean()) for x in (faint[i : i + 1], loud)]
        assert float(rendering.scores[i]) >= 5 * max(noise), (text, noise, float(rendering.scores[i]))


def test_a_picture_that_is_not_square_keeps_its_token_grid() -> None:
    model = load("timm:test_vit", weights="none", size=(64, 96))
    assert model.layers["blocks.1"].grid == (4, 6)
    assert model.layers["blocks.5"].grid == (4, 6)
