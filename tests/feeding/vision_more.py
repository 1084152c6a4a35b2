from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Callable, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d, activation_layer: Optional[Callable[..., nn.Module]] = nn.ReLU) -> None:
        layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False), norm_layer(out_channels)]
        if activation_layer is not None:
            layers.append(activation_layer())
        super().__init__(*layers)


class InvertedResidual(nn.Module):
    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        hidden = int(round(inp * expand_ratio))
        self.use_res_connect = stride == 1 and inp == oup
        self.conv = nn.Sequential(ConvNormAct(inp, hidden, 1), ConvNormAct(hidden, hidden, stride=stride), nn.Conv2d(hidden, oup, 1), nn.BatchNorm2d(oup))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class TinyMobileNet(nn.Module):
    def __init__(self, inverted_residual_setting: Sequence[Tuple[int, int, int, int]] = ((1, 16, 1, 1), (4, 24, 2, 2)), num_classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        c = 16
        features: list[nn.Module] = [ConvNormAct(3, c, stride=2)]
        for t, out, n, s in inverted_residual_setting:
            for i in range(n):
                features.append(InvertedResidual(c, out, s if i == 0 else 1, t))
                c = out
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(OrderedDict(drop=nn.Dropout(dropout), fc=nn.Linear(c, num_classes)))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1))


class DenseLayer(nn.Module):
    def __init__(self, num_input_features, growth_rate):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(num_input_features), nn.Conv2d(num_input_features, growth_rate, 3, padding=1)

    def forward(self, prev):
        return self.conv(F.relu(self.norm(torch.cat(prev, 1) if isinstance(prev, (list, tuple)) else prev)))


class DenseNetTiny(nn.Module):
    def __init__(self, growth_rate=8, block_config=(2, 3), num_init_features=16, num_classes=7):
        super().__init__()
        self.stem = nn.Conv2d(3, num_init_features, 3, padding=1)
        self.stages = nn.ModuleList()
        n = num_init_features
        for num_layers in block_config:
            self.stages.append(nn.ModuleList([DenseLayer(n + i * growth_rate, growth_rate) for i in range(num_layers)]))
            n += num_layers * growth_rate
        self.head = nn.Linear(n, num_classes)

    def forward(self, im):
        feats = [self.stem(im)]
        for stage in self.stages:
            for layer in stage:
                feats.append(layer(feats))
        return self.head(torch.cat(feats, 1).mean((-2, -1)))


def window_partition(x, window_size):
    B, H, W, C = x.shape
    x = x.view(B, H // window_size, window_size, W // window_size, window_size, C)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window_size * window_size, C)


class SwinStage(nn.Module):
    def __init__(self, dim, input_resolution, num_heads, window_size=7):
        super().__init__()
        self.input_resolution, self.window_size = input_resolution, window_size
        self.norm = nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        H, W = self.input_resolution
        B, L, C = x.shape
        assert L == H * W, "input feature has wrong size"
        ws = min(self.window_size, H)
        pad = (-H) % ws
        h = F.pad(self.norm(x).view(B, H, W, C), (0, 0, 0, pad, 0, pad))
        w = window_partition(h, ws)
        w = self.attn(w, w, w)[0]
        return x + self.mlp(x) + w.mean() * 0


class MiniDETR(nn.Module):
    """Image to a set of boxes.

    >>> model = MiniDETR(91)           # doctest: +SKIP
    """

    def __init__(self, num_classes, hidden_dim=64, nheads=4, num_encoder_layers=1, num_decoder_layers=1, num_queries=10):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 32, 7, 4, 3), nn.ReLU(), nn.Conv2d(32, 48, 3, 4, 1))
        self.conv = nn.Conv2d(48, hidden_dim, 1)
        self.transformer = nn.Transformer(hidden_dim, nheads, num_encoder_layers, num_decoder_layers, 64)
        self.linear_class = nn.Linear(hidden_dim, num_classes + 1)
        self.linear_bbox = nn.Linear(hidden_dim, 4)
        self.query_pos = nn.Parameter(torch.rand(num_queries, hidden_dim))
        self.row_embed = nn.Parameter(torch.rand(50, hidden_dim // 2))
        self.col_embed = nn.Parameter(torch.rand(50, hidden_dim // 2))

    def forward(self, inputs):
        h = self.conv(self.backbone(inputs))
        H, W = h.shape[-2:]
        pos = torch.cat([self.col_embed[:W].unsqueeze(0).repeat(H, 1, 1), self.row_embed[:H].unsqueeze(1).repeat(1, W, 1)], dim=-1).flatten(0, 1).unsqueeze(1)
        h = self.transformer(pos + 0.1 * h.flatten(2).permute(2, 0, 1), self.query_pos.unsqueeze(1).repeat(1, h.size(0), 1)).transpose(0, 1)
        return {"pred_logits": self.linear_class(h), "pred_boxes": self.linear_bbox(h).sigmoid()}


class ListOfImages(nn.Module):
    def __init__(self, out=8):
        super().__init__()
        self.conv = nn.Conv2d(3, out, 3, 2)

    def forward(self, images: list[Tensor]):
        return [self.conv(image[None]).mean((2, 3)) for image in images]


class FlowEstimator(nn.Module):
    def __init__(self):
        super().__init__()
        self.feat = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.LeakyReLU(0.1))
        self.flow = nn.Conv2d(32, 2, 3, padding=1)

    def forward(self, frame1, frame2):
        return F.interpolate(self.flow(torch.cat([self.feat(frame1), self.feat(frame2)], 1)), scale_factor=2, mode="bilinear")


class PatchGAN(nn.Module):
    def __init__(self, input_nc, ndf=8, n_layers=2, norm_layer=nn.BatchNorm2d):
        super().__init__()
        use_bias = norm_layer.func == nn.InstanceNorm2d if type(norm_layer) == partial else norm_layer == nn.InstanceNorm2d
        seq = [nn.Conv2d(input_nc, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for n in range(1, n_layers):
            seq += [nn.Conv2d(ndf * n, ndf * (n + 1), 4, 2, 1, bias=use_bias), norm_layer(ndf * (n + 1)), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*seq, nn.Conv2d(ndf * n_layers, 1, 4, 1, 1))

    def forward(self, A, B):
        return self.model(torch.cat((A, B), 1))


class ResnetGenerator(nn.Module):
    def __init__(self, input_nc, output_nc, ngf=8, norm_layer=nn.InstanceNorm2d, use_dropout=False, n_blocks=2, padding_type="reflect"):
        assert n_blocks >= 0
        super().__init__()
        m = [nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7), norm_layer(ngf), nn.ReLU(True)]
        for _ in range(n_blocks):
            m.append(ResBlk(ngf, padding_type, norm_layer))
        self.model = nn.Sequential(*m, nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh())

    def forward(self, input):
        return self.model(input)


class ResBlk(nn.Module):
    def __init__(self, dim, padding_type, norm_layer):
        super().__init__()
        if padding_type == "reflect":
            pad = nn.ReflectionPad2d(1)
        elif padding_type == "replicate":
            pad = nn.ReplicationPad2d(1)
        else:
            raise NotImplementedError("padding [%s] is not implemented" % padding_type)
        self.block = nn.Sequential(pad, nn.Conv2d(dim, dim, 3), norm_layer(dim))

    def forward(self, x):
        return x + self.block(x)


class UNet3d(nn.Module):
    def __init__(self, in_channel: int, out_channel: int, base: int):
        super().__init__()
        self.a, self.b = nn.Conv3d(in_channel, base, 3, padding=1), nn.Conv3d(base, base * 2, 3, 2, 1)
        self.u, self.o = nn.ConvTranspose3d(base * 2, base, 2, 2), nn.Conv3d(base * 2, out_channel, 1)

    def forward(self, volume):
        a = F.relu(self.a(volume))
        return self.o(torch.cat([a, self.u(F.relu(self.b(a)))], 1))


class STGCN(nn.Module):
    """Skeletons: N, C, T, V, M."""

    def __init__(self, in_channels, num_class, num_point=25):
        super().__init__()
        self.register_buffer("A", torch.eye(num_point))
        self.data_bn = nn.BatchNorm1d(in_channels * num_point)
        self.gcn = nn.Conv2d(in_channels, 16, 1)
        self.tcn = nn.Conv2d(16, 16, (9, 1), padding=(4, 0))
        self.fcn = nn.Conv2d(16, num_class, 1)

    def forward(self, x):
        N, C, T, V, M = x.size()
        x = x.permute(0, 4, 3, 1, 2).contiguous().view(N * M, V * C, T)
        x = self.data_bn(x).view(N, M, V, C, T).permute(0, 1, 3, 4, 2).contiguous().view(N * M, C, T, V)
        x = self.tcn(F.relu(torch.einsum("nctv,vw->nctw", self.gcn(x), self.A)))
        x = F.avg_pool2d(x, x.size()[2:]).view(N, M, -1, 1, 1).mean(dim=1)
        return self.fcn(x).view(N, -1)


class ClipLike(nn.Module):
    def __init__(self, embed_dim: int, image_resolution: int, vision_width: int, context_length: int, vocab_size: int, transformer_width: int, transformer_heads: int, transformer_layers: int):
        super().__init__()
        self.context_length = context_length
        self.visual = nn.Sequential(nn.Conv2d(3, vision_width, image_resolution), nn.Flatten(), nn.Linear(vision_width, embed_dim))
        self.token_embedding = nn.Embedding(vocab_size, transformer_width)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, transformer_width).normal_(std=0.01))
        self.transformer = nn.TransformerEncoder(nn.TransformerEncoderLayer(transformer_width, transformer_heads, 64, batch_first=True), transformer_layers)
        self.text_projection = nn.Parameter(torch.randn(transformer_width, embed_dim))
        self.logit_scale = nn.Parameter(torch.ones([]))

    def forward(self, image, text):
        img = F.normalize(self.visual(image), dim=1)
        t = self.transformer(self.token_embedding(text) + self.positional_embedding)
        txt = F.normalize(t[torch.arange(t.shape[0]), text.argmax(dim=-1)] @ self.text_projection, dim=1)
        return self.logit_scale.exp() * img @ txt.t()


class EEGNet(nn.Module):
    def __init__(self, nb_classes: int, Chans: int = 22, Samples: int = 128, F1: int = 4, D: int = 2):
        super().__init__()
        self.temporal = nn.Conv2d(1, F1, (1, 33), padding=(0, 16), bias=False)
        self.bn = nn.BatchNorm2d(F1)
        self.spatial = nn.Conv2d(F1, F1 * D, (Chans, 1), groups=F1, bias=False)
        self.pool = nn.AvgPool2d((1, 4))
        self.dense = nn.Linear(F1 * D * (Samples // 4), nb_classes)

    def forward(self, x):
        x = x.unsqueeze(1)
        x = F.elu(self.spatial(self.bn(self.temporal(x))))
        return self.dense(self.pool(x).flatten(1))


class SpectralConv2d(nn.Module):
    def __init__(self, in_channels, out_channels, modes1, modes2):
        super().__init__()
        self.modes1, self.modes2 = modes1, modes2
        self.weights = nn.Parameter(0.1 * torch.rand(in_channels, out_channels, modes1, modes2, dtype=torch.cfloat))

    def forward(self, x):
        x_ft = torch.fft.rfft2(x)
        out = torch.zeros(x.shape[0], self.weights.shape[1], x.size(-2), x.size(-1) // 2 + 1, dtype=torch.cfloat)
        out[:, :, : self.modes1, : self.modes2] = torch.einsum("bixy,ioxy->boxy", x_ft[:, :, : self.modes1, : self.modes2], self.weights)
        return torch.fft.irfft2(out, s=(x.size(-2), x.size(-1)))


class FNO2d(nn.Module):
    def __init__(self, modes: int = 4, width: int = 12):
        super().__init__()
        self.fc0 = nn.Linear(3, width)
        self.conv0, self.w0 = SpectralConv2d(width, width, modes, modes), nn.Conv2d(width, width, 1)
        self.fc1 = nn.Linear(width, 1)

    def forward(self, x):
        x = self.fc0(x).permute(0, 3, 1, 2)
        x = F.gelu(self.conv0(x) + self.w0(x))
        return self.fc1(x.permute(0, 2, 3, 1))
