"""Generators, critics, autoencoders, diffusion."""
import math

import numpy as np
import torch
import torch.nn as nn


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def encode(self, x):
        h1 = torch.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 784))
        z = self.reparameterize(mu, logvar)
        return torch.sigmoid(self.fc4(torch.relu(self.fc3(z)))), mu, logvar


class ConvVAE(nn.Module):
    def __init__(self, latent_dim, image_size=64):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU())
        side = image_size // 4
        self.mu = nn.Linear(32 * side * side, latent_dim)
        self.log_var = nn.Linear(32 * side * side, latent_dim)
        self.expand = nn.Linear(latent_dim, 32 * side * side)
        self.side = side
        self.decoder = nn.Sequential(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Sigmoid())

    def forward(self, batch):
        e = self.encoder(batch).flatten(start_dim=1)
        mu, lv = self.mu(e), self.log_var(e)
        z = mu + (lv / 2).exp() * torch.randn_like(mu)
        return self.decoder(self.expand(z).reshape(-1, 32, self.side, self.side)), mu, lv


class DCGenerator(nn.Module):
    def __init__(self, nz=100, ngf=8, nc=3):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 4, 4, 1, 0, bias=False), nn.BatchNorm2d(ngf * 4), nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 4, ngf, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf), nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1), nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class DCDiscriminator(nn.Module):
    def __init__(self, nc=3, ndf=8):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True), nn.Conv2d(ndf, ndf * 2, 4, 2, 1), nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, True), nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1), nn.BatchNorm2d(ndf * 4), nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf * 4, 1, 8, 1, 0), nn.Sigmoid(),
        )

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


class MLPGenerator(nn.Module):
    def __init__(self, opt):
        super().__init__()
        self.img_shape = (opt.channels, opt.img_size, opt.img_size)

        def block(in_feat, out_feat, normalize=True):
            layers = [nn.Linear(in_feat, out_feat)]
            if normalize:
                layers.append(nn.BatchNorm1d(out_feat, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(*block(opt.latent_dim, 128, normalize=False), *block(128, 256), nn.Linear(256, int(np.prod(self.img_shape))), nn.Tanh())

    def forward(self, z):
        img = self.model(z)
        return img.view(img.size(0), *self.img_shape)


class ConditionalGenerator(nn.Module):
    def __init__(self, n_classes, latent_dim, img_dim=784):
        super().__init__()
        self.label_emb = nn.Embedding(n_classes, n_classes)
        self.net = nn.Sequential(nn.Linear(latent_dim + n_classes, 128), nn.ReLU(), nn.Linear(128, img_dim), nn.Tanh())

    def forward(self, noise, labels):
        return self.net(torch.cat((self.label_emb(labels), noise), -1))


class ConditionalCritic(nn.Module):
    def __init__(self, n_classes=10, img_dim=256):
        super().__init__()
        self.label_embedding = nn.Embedding(n_classes, n_classes)
        self.model = nn.Sequential(nn.Linear(n_classes + img_dim, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, img, labels):
        d_in = torch.cat((img.view(img.size(0), -1), self.label_embedding(labels)), -1)
        return self.model(d_in)


class SinusoidalPositionEmbeddings(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, time):
        half = self.dim // 2
        emb = math.log(10000) / (half - 1)
        emb = torch.exp(torch.arange(half, device=time.device) * -emb)
        emb = time[:, None] * emb[None, :]
        return torch.cat((emb.sin(), emb.cos()), dim=-1)


class DownUp(nn.Module):
    def __init__(self, in_ch, out_ch, time_emb_dim, up=False):
        super().__init__()
        self.time_mlp = nn.Linear(time_emb_dim, out_ch)
        if up:
            self.conv1, self.transform = nn.Conv2d(2 * in_ch, out_ch, 3, padding=1), nn.ConvTranspose2d(out_ch, out_ch, 4, 2, 1)
        else:
            self.conv1, self.transform = nn.Conv2d(in_ch, out_ch, 3, padding=1), nn.Conv2d(out_ch, out_ch, 4, 2, 1)
        self.bnorm = nn.BatchNorm2d(out_ch)

    def forward(self, x, t):
        h = self.bnorm(torch.relu(self.conv1(x)))
        h = h + torch.relu(self.time_mlp(t))[(...,) + (None,) * 2]
        return self.transform(h)


class SimpleUnet(nn.Module):
    def __init__(self):
        super().__init__()
        down, up, dim = (16, 32, 64), (64, 32, 16), 32
        self.time_mlp = nn.Sequential(SinusoidalPositionEmbeddings(dim), nn.Linear(dim, dim), nn.ReLU())
        self.conv0 = nn.Conv2d(3, down[0], 3, padding=1)
        self.downs = nn.ModuleList([DownUp(down[i], down[i + 1], dim) for i in range(2)])
        self.ups = nn.ModuleList([DownUp(up[i], up[i + 1], dim, up=True) for i in range(2)])
        self.output = nn.Conv2d(up[-1], 3, 1)

    def forward(self, x, timestep):
        t = self.time_mlp(timestep)
        x = self.conv0(x)
        residuals = []
        for d in self.downs:
            x = d(x, t)
            residuals.append(x)
        for u in self.ups:
            x = u(torch.cat((x, residuals.pop()), dim=1), t)
        return self.output(x)


class ScoreMLP(nn.Module):
    def __init__(self, data_dim=2, hidden=64, n_steps=50):
        super().__init__()
        self.embed = nn.Embedding(n_steps, hidden)
        self.inp = nn.Linear(data_dim, hidden)
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, data_dim))

    def forward(self, x_t, t):
        return self.out(self.inp(x_t) + self.embed(t))


class DenoisingAutoencoder(nn.Module):
    def __init__(self, input_dim, hidden_dims):
        super().__init__()
        sizes = [input_dim] + list(hidden_dims)
        self.encoder = nn.Sequential(*[m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())])
        sizes = sizes[::-1]
        self.decoder = nn.Sequential(*[m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())][:-1])

    def forward(self, x, noise_std: float = 0.1):
        if self.training:
            x = x + noise_std * torch.randn_like(x)
        return self.decoder(self.encoder(x))


class VectorQuantizer(nn.Module):
    def __init__(self, num_embeddings, embedding_dim, commitment_cost):
        super().__init__()
        self.embedding = nn.Embedding(num_embeddings, embedding_dim)
        self.commitment_cost = commitment_cost

    def forward(self, inputs):
        inputs = inputs.permute(0, 2, 3, 1).contiguous()
        flat = inputs.view(-1, self.embedding.embedding_dim)
        d = (flat**2).sum(1, keepdim=True) + (self.embedding.weight**2).sum(1) - 2 * flat @ self.embedding.weight.t()
        q = self.embedding(d.argmin(1)).view(inputs.shape)
        loss = ((q - inputs.detach()) ** 2).mean() + self.commitment_cost * ((q.detach() - inputs) ** 2).mean()
        return (inputs + (q - inputs).detach()).permute(0, 3, 1, 2), loss


class AffineCoupling(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.half = dim // 2
        self.net = nn.Sequential(nn.Linear(self.half, hidden), nn.Tanh(), nn.Linear(hidden, (dim - self.half) * 2))

    def forward(self, x):
        a, b = x[:, : self.half], x[:, self.half :]
        s, t = self.net(a).chunk(2, dim=1)
        return torch.cat([a, b * s.exp() + t], 1), s.sum(1)


class RealNVP(nn.Module):
    def __init__(self, dim: int, hidden: int, n_flows: int):
        super().__init__()
        self.flows = nn.ModuleList(AffineCoupling(dim, hidden) for _ in range(n_flows))

    def forward(self, x):
        log_det = torch.zeros(x.shape[0])
        for flow in self.flows:
            x, ld = flow(x)
            x = x.flip(1)
            log_det = log_det + ld
        return x, log_det


class StyleModulated(nn.Module):
    def __init__(self, in_channel=8, out_channel=8, style_dim=24, k=3):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channel, in_channel, k, k))
        self.modulation = nn.Linear(style_dim, in_channel)
        self.pad = k // 2

    def forward(self, fmap, style):
        b, c, h, w = fmap.shape
        s = self.modulation(style).view(b, 1, c, 1, 1)
        weight = (self.weight * s).view(-1, c, *self.weight.shape[3:])
        out = torch.nn.functional.conv2d(fmap.reshape(1, b * c, h, w), weight, padding=self.pad, groups=b)
        return out.view(b, -1, h, w)
