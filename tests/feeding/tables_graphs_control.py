"""Deep sets, physics, control, click prediction, heterogenous inputs; a hydra-style project in one file."""
import dataclasses
import enum
import typing as t

import torch
from torch import nn
from torch.nn import functional as F


class DeepSets(nn.Module):
    def __init__(self, dim_input, num_outputs, dim_output, dim_hidden=32):
        super().__init__()
        self.num_outputs, self.dim_output = num_outputs, dim_output
        self.enc = nn.Sequential(nn.Linear(dim_input, dim_hidden), nn.ReLU(), nn.Linear(dim_hidden, dim_hidden))
        self.dec = nn.Sequential(nn.Linear(dim_hidden, dim_hidden), nn.ReLU(), nn.Linear(dim_hidden, num_outputs * dim_output))

    def forward(self, X):
        X = self.enc(X).mean(-2)
        return self.dec(X).reshape(-1, self.num_outputs, self.dim_output)


class PINN(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.linears = nn.ModuleList([nn.Linear(layers[i], layers[i + 1]) for i in range(len(layers) - 1)])

    def forward(self, x, t):
        a = torch.cat([x, t], dim=1)
        for lin in self.linears[:-1]:
            a = torch.tanh(lin(a))
        return self.linears[-1](a)


class DeepONet(nn.Module):
    def __init__(self, branch_in=50, trunk_in=1, width=32):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(branch_in, width), nn.Tanh(), nn.Linear(width, width))
        self.trunk = nn.Sequential(nn.Linear(trunk_in, width), nn.Tanh(), nn.Linear(width, width))
        self.b = nn.Parameter(torch.zeros(1))

    def forward(self, u, y):
        return (self.branch(u) * self.trunk(y)).sum(-1, keepdim=True) + self.b


class ODEFunc(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))

    def forward(self, t, y):
        return self.net(y**3)


class DLRM(nn.Module):
    def __init__(self, num_dense: int, table_sizes: t.List[int], dim: int = 16):
        super().__init__()
        self.bottom = nn.Sequential(nn.Linear(num_dense, 32), nn.ReLU(), nn.Linear(32, dim))
        self.tables = nn.ModuleList([nn.EmbeddingBag(n, dim, mode="sum") for n in table_sizes])
        n = len(table_sizes) + 1
        self.top = nn.Sequential(nn.Linear(dim + n * (n - 1) // 2, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, dense_x, lS_i):
        x = self.bottom(dense_x)
        ly = [x] + [table(idx) for table, idx in zip(self.tables, lS_i)]
        T = torch.stack(ly, dim=1)
        Z = torch.bmm(T, T.transpose(1, 2))
        li, lj = torch.tril_indices(Z.shape[1], Z.shape[2], offset=-1)
        return torch.sigmoid(self.top(torch.cat([x, Z[:, li, lj]], dim=1)))


class DIN(nn.Module):
    def __init__(self, n_items: int, dim: int = 16):
        super().__init__()
        self.item = nn.Embedding(n_items, dim)
        self.att = nn.Sequential(nn.Linear(dim * 3, 16), nn.PReLU(), nn.Linear(16, 1))
        self.out = nn.Linear(dim * 2, 1)

    def forward(self, history, target_item):
        h, q = self.item(history), self.item(target_item)
        qq = q.unsqueeze(1).expand_as(h)
        w = self.att(torch.cat([h, qq, h * qq], -1)).squeeze(-1).softmax(-1)
        return self.out(torch.cat([(w.unsqueeze(-1) * h).sum(1), q], -1)).squeeze(-1)


class LightGCN(nn.Module):
    def __init__(self, num_users, num_items, adj_mat=None, embedding_dim=16, K=2):
        super().__init__()
        self.num_users, self.num_items, self.K = num_users, num_items, K
        self.users_emb, self.items_emb = nn.Embedding(num_users, embedding_dim), nn.Embedding(num_items, embedding_dim)

    def forward(self, edge_index):
        emb = torch.cat([self.users_emb.weight, self.items_emb.weight])
        embs = [emb]
        for _ in range(self.K):
            msg = emb[edge_index[0]]
            emb = torch.zeros_like(emb).index_add(0, edge_index[1] + self.num_users, msg)
            embs.append(emb)
        return torch.split(torch.stack(embs, 1).mean(1), [self.num_users, self.num_items])


class GATConv(nn.Module):
    def __init__(self, in_dim, out_dim, heads):
        super().__init__()
        self.lin = nn.Linear(in_dim, out_dim * heads, bias=False)
        self.att_src, self.att_dst = nn.Parameter(torch.randn(heads, out_dim)), nn.Parameter(torch.randn(heads, out_dim))
        self.heads = heads

    def forward(self, h, adj):
        N = h.size(0)
        x = self.lin(h).view(N, self.heads, -1)
        e = F.leaky_relu((x * self.att_src).sum(-1).unsqueeze(1) + (x * self.att_dst).sum(-1).unsqueeze(0), 0.2)
        a = e.masked_fill(adj.unsqueeze(-1) == 0, -9e15).softmax(1)
        return torch.einsum("ijh,jhd->ihd", a, x).reshape(N, -1)


class GAT(nn.Module):
    def __init__(self, nfeat, nhid, nclass, nheads):
        super().__init__()
        self.one, self.two = GATConv(nfeat, nhid, nheads), GATConv(nhid * nheads, nclass, 1)

    def forward(self, features, adjacency):
        return self.two(F.elu(self.one(features, adjacency)), adjacency)


class TransE(nn.Module):
    def __init__(self, entity_count, relation_count, norm=1, dim=20):
        super().__init__()
        self.norm = norm
        self.entities_emb, self.relations_emb = nn.Embedding(entity_count, dim), nn.Embedding(relation_count, dim)

    def forward(self, positive_triplets, negative_triplets):
        return self.score(positive_triplets), self.score(negative_triplets)

    def score(self, triplets):
        heads, relations, tails = triplets[:, 0], triplets[:, 1], triplets[:, 2]
        return (self.entities_emb(heads) + self.relations_emb(relations) - self.entities_emb(tails)).norm(p=self.norm, dim=1)


class SkipGram(nn.Module):
    def __init__(self, vocab_size, emb_dimension):
        super().__init__()
        self.u, self.v = nn.Embedding(vocab_size, emb_dimension), nn.Embedding(vocab_size, emb_dimension)

    def forward(self, pos_u, pos_v, neg_v):
        u, v = self.u(pos_u), self.v(pos_v)
        score = F.logsigmoid((u * v).sum(1))
        neg = F.logsigmoid(-torch.bmm(self.v(neg_v), u.unsqueeze(2)).squeeze()).sum(1)
        return -(score + neg).mean()


class Activation(enum.Enum):
    RELU = "relu"
    TANH = "tanh"


@dataclasses.dataclass
class EncoderCfg:
    in_features: int
    width: int
    n_layers: int
    act: Activation


@dataclasses.dataclass
class ModelCfg:
    encoder: EncoderCfg
    num_outputs: int
    dropout: float = 0.1


class HydraNet(nn.Module):
    def __init__(self, cfg: ModelCfg):
        super().__init__()
        act = {Activation.RELU: nn.ReLU, Activation.TANH: nn.Tanh}[cfg.encoder.act]
        layers, n = [], cfg.encoder.in_features
        for _ in range(cfg.encoder.n_layers):
            layers += [nn.Linear(n, cfg.encoder.width), act()]
            n = cfg.encoder.width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(n, cfg.num_outputs)

    def forward(self, x):
        return self.head(self.body(x))


class NestedDictNet(nn.Module):
    def __init__(self, hparams):
        super().__init__()
        m = hparams["model"]
        self.inp = nn.Linear(m["input_dim"], m["hidden_dim"])
        self.drop = nn.Dropout(hparams["train"]["dropout"])
        self.out = nn.Linear(m["hidden_dim"], m["output_dim"])

    def forward(self, features):
        return self.out(self.drop(F.gelu(self.inp(features))))


class PPOAgent(nn.Module):
    def __init__(self, obs_shape: t.Tuple[int, ...], n_act: int, recurrent: bool = False):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(obs_shape[0], 16, 3, 2), nn.ReLU(), nn.Flatten())
        n = self.net(torch.zeros(1, *obs_shape)).shape[1]
        self.pi, self.v = nn.Linear(n, n_act), nn.Linear(n, 1)

    def forward(self, obs, action=None):
        h = self.net(obs)
        dist = torch.distributions.Categorical(logits=self.pi(h))
        action = dist.sample() if action is None else action
        return action, dist.log_prob(action), dist.entropy(), self.v(h)


class DictObsPolicy(nn.Module):
    def __init__(self, action_size=4):
        super().__init__()
        self.cam, self.prop = nn.Conv2d(3, 8, 3, 2), nn.Linear(9, 16)
        self.out = nn.Linear(24, action_size)

    def forward(self, obs):
        image = obs["pixels"].float() / 255.0
        c = F.relu(self.cam(image)).mean(dim=(-1, -2))
        return self.out(torch.cat([c, F.relu(self.prop(obs["proprio"]))], dim=-1))


class RSSM(nn.Module):
    def __init__(self, deter=16, stoch=8, act=3, obs=10):
        super().__init__()
        self.cell = nn.GRUCell(stoch + act, deter)
        self.prior, self.post = nn.Linear(deter, 2 * stoch), nn.Linear(deter + obs, 2 * stoch)

    def forward(self, prev_stoch, prev_action, prev_deter, embed):
        deter = self.cell(torch.cat([prev_stoch, prev_action], -1), prev_deter)
        mean, std = self.post(torch.cat([deter, embed], -1)).chunk(2, -1)
        return deter, mean + F.softplus(std) * torch.randn_like(std), self.prior(deter)


class FeedForwardNet(nn.Module):
    """Any number of inputs."""

    def __init__(self, n_in=12):
        super().__init__()
        self.lin = nn.Linear(n_in, 5)

    def forward(self, *inputs):
        return self.lin(torch.cat(inputs, dim=-1)) if len(inputs) > 1 else self.lin(inputs[0])


class KeywordBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(3, 6)

    def forward(self, **batch):
        return self.a(batch["dense"]) + self.b(batch["extra"])


class TwoTower(nn.Module):
    def __init__(self, user_tower: nn.Module, item_tower: nn.Module, temperature=0.07):
        super().__init__()
        self.user_tower, self.item_tower, self.temperature = user_tower, item_tower, temperature

    def forward(self, user_features, item_features):
        return F.normalize(self.user_tower(user_features), dim=-1) @ F.normalize(self.item_tower(item_features), dim=-1).T / self.temperature


class TransferModel(nn.Module):
    def __init__(self, backbone, feature_dim, num_classes, freeze_backbone=True):
        super().__init__()
        self.backbone = backbone
        if freeze_backbone:
            for p in self.backbone.parameters():
                p.requires_grad = False
        self.fc = nn.Linear(feature_dim, num_classes)

    def forward(self, x):
        return self.fc(self.backbone(x))


class LitRegressor(nn.Module):
    def __init__(self, hidden=16, lr=1e-3):
        super().__init__()
        self.l1, self.l2, self.lr = nn.Linear(11, hidden), nn.Linear(hidden, 1), lr

    def forward(self, x):
        return self.l2(torch.relu(self.l1(x)))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x).squeeze(-1), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class FreeFieldSignal(nn.Module):
    def __init__(self, sample_rate: int = 8000, n_fft: int = 128, n_mels: int = 20, n_keywords: int = 6):
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft))
        self.mel = nn.Linear(n_fft // 2 + 1, n_mels, bias=False)
        self.gru = nn.GRU(n_mels, 24, batch_first=True)
        self.out = nn.Linear(24, n_keywords)

    def forward(self, waveform):
        spec = torch.stft(waveform, self.n_fft, 64, window=self.window, return_complex=True).abs()
        return self.out(self.gru(self.mel(spec.transpose(1, 2)).clamp_min(1e-5).log())[1][-1])


class LazyStart(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.first, self.second = nn.LazyLinear(hidden), nn.Linear(hidden, 2)

    def forward(self, x):
        return self.second(F.relu(self.first(x)))


class HalfPrecisionHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10, 3).double()

    def forward(self, x):
        return self.fc(x)


class MaskedSet(nn.Module):
    def __init__(self, d=14):
        super().__init__()
        self.phi, self.rho = nn.Linear(d, 20), nn.Linear(20, 1)

    def forward(self, elements, mask):
        h = torch.relu(self.phi(elements)) * mask.unsqueeze(-1)
        return self.rho(h.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))


class QuantileNet(nn.Module):
    def __init__(self, n_features: "int", quantiles: "t.Sequence[float]" = (0.1, 0.5, 0.9)):
        super().__init__()
        self.trunk, self.heads = nn.Linear(n_features, 16), nn.ModuleList(nn.Linear(16, 1) for _ in quantiles)

    def forward(self, X: "torch.Tensor") -> "torch.Tensor":
        h = torch.relu(self.trunk(X))
        return torch.cat([head(h) for head in self.heads], dim=1)
