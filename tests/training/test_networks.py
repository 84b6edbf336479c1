"""The networks of the experiments on inversion are those of their papers, but for what they say they leave out."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from training.networks import DenseNet, SRNet


def num_weights(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_depth_100_is_the_papers_network_of_0_8_million_weights() -> None:
    """769,162 is what Huang et al.'s own DenseNet-BC (L=100, k=12) has; they print 0.8 M."""
    assert num_weights(DenseNet(depth=100)) == 769_162


def test_a_dense_block_keeps_what_it_read_and_adds_growth_channels_a_layer() -> None:
    net = DenseNet(depth=40).eval()
    images = torch.rand(2, 3, 32, 32)
    stem = net.stem(images)
    first = net.dense1(stem)
    assert first.shape == (2, 24 + 6 * 12, 16, 16)
    assert torch.equal(first[:, :24], stem)
    third = net.dense3(net.transition2(net.dense2(net.transition1(first))))
    assert third.shape == (2, 132, 4, 4)
    assert net(images).shape == (2, 10)


def test_full_resolution_comes_with_stem_stride_1() -> None:
    assert DenseNet(stem_stride=1).stem(torch.rand(1, 3, 32, 32)).shape[-2:] == (32, 32)


def test_rows_of_the_classifier_go_on_adding_up_to_zero() -> None:
    """Cross-entropy does not see a common shift of the logits, so training never moves what the rows share."""
    torch.manual_seed(0)
    net = DenseNet(depth=10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-3, nesterov=True)
    for _ in range(4):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.rand(8, 3, 16, 16)), torch.randint(0, 10, (8,))).backward()
        optimizer.step()
    assert net.classifier.weight.abs().max() > 1e-2
    assert net.classifier.weight.sum(0).abs().max() < 1e-6


def test_srnet_has_its_eighth_block_of_64_channels_and_fits_in_two_megabytes_of_float16() -> None:
    net = SRNet()
    blocks = list(net.blocks)
    features = net.first(torch.rand(1, 5, 8, 6))
    assert blocks[7](features).shape == (1, 64, 8, 6)
    assert 2 * num_weights(net) < 2_000_000


def test_srnet_adds_what_it_found_to_the_enlarged_picture() -> None:
    net = SRNet(num_blocks=1)
    torch.nn.init.zeros_(net.last.weight)
    torch.nn.init.zeros_(net.last.bias)
    image = torch.rand(1, 5, 6, 8)
    enlarged = F.interpolate(image, scale_factor=4, mode="bilinear", align_corners=False)
    assert torch.equal(net(image), enlarged)
    assert enlarged.shape == (1, 5, 24, 32)
