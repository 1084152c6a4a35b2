# graphs, tables, recommenders, points, pairs, policies, structured inputs
from argparse import Namespace
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F


class GCNLayer(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.weight = nn.Parameter(torch.FloatTensor(in_features, out_features).normal_())

    def forward(self, input, adj):
        return torch.mm(adj, torch.mm(input, self.weight))


class GCN(nn.Module):
    def __init__(self, nfeat, nhid, nclass, dropout):
        super().__init__()
        self.gc1, self.gc2 = GCNLayer(nfeat, nhid), GCNLayer(nhid, nclass)
        self.dropout = dropout

    def forward(self, x, adj):
        x = F.dropout(F.relu(self.gc1(x, adj)), self.dropout, training=self.training)
        return F.log_softmax(self.gc2(x, adj), dim=1)


class SAGE(nn.Module):
    def __init__(self, in_dim=12, hidden=16, out_dim=4):
        super().__init__()
        self.self1, self.neigh1 = nn.Linear(in_dim, hidden), nn.Linear(in_dim, hidden)
        self.self2, self.neigh2 = nn.Linear(hidden, out_dim), nn.Linear(hidden, out_dim)

    @staticmethod
    def aggregate(x, edge_index):
        row, col = edge_index
        out = torch.zeros_like(x).index_add_(0, row, x[col])
        deg = torch.zeros(x.size(0)).index_add_(0, row, torch.ones(row.numel())).clamp(min=1)
        return out / deg.unsqueeze(-1)

    def forward(self, x, edge_index):
        h = F.relu(self.self1(x) + self.neigh1(self.aggregate(x, edge_index)))
        return self.self2(h) + self.neigh2(self.aggregate(h, edge_index))


class GraphClassifier(nn.Module):
    def __init__(self, num_features, num_classes):
        super().__init__()
        self.lin = nn.Linear(num_features, 32)
        self.head = nn.Linear(32, num_classes)

    def forward(self, x, edge_index, batch):
        src, dst = edge_index[0], edge_index[1]
        h = self.lin(x)
        h = F.relu(h + torch.zeros_like(h).index_add(0, dst, h[src]))
        n = int(batch.max()) + 1
        pooled = torch.zeros(n, h.size(1)).index_add(0, batch, h)
        return self.head(pooled)


class EdgeConvData(nn.Module):
    """Takes a PyG-like data object."""

    def __init__(self, width=16):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * 6, width), nn.ReLU(), nn.Linear(width, width))
        self.out = nn.Linear(width, 3)

    def forward(self, data):
        x, edge_index = data.x, data.edge_index
        i, j = edge_index
        m = self.mlp(torch.cat([x[i], x[j] - x[i]], dim=-1))
        return self.out(torch.zeros(x.shape[0], m.shape[1]).index_add(0, i, m))


class MatrixFactorization(nn.Module):
    def __init__(self, n_users, n_items, n_factors=20):
        super().__init__()
        self.user_factors = nn.Embedding(n_users, n_factors)
        self.item_factors = nn.Embedding(n_items, n_factors)

    def forward(self, user, item):
        return (self.user_factors(user) * self.item_factors(item)).sum(1)


class NeuMF(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.eu = nn.Embedding(config["num_users"], config["latent_dim"])
        self.ei = nn.Embedding(config["num_items"], config["latent_dim"])
        dims = config["layers"]
        self.first = nn.Linear(2 * config["latent_dim"], dims[0])
        self.fc = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims[:-1], dims[1:]))
        self.out = nn.Linear(dims[-1], 1)

    def forward(self, user_indices, item_indices):
        v = self.first(torch.cat([self.eu(user_indices), self.ei(item_indices)], dim=-1))
        for layer in self.fc:
            v = F.relu(layer(v))
        return torch.sigmoid(self.out(v))


class TabularNet(nn.Module):
    def __init__(self, emb_szs: List[Tuple[int, int]], n_cont: int, out_sz: int, layers: List[int], p: float = 0.5):
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(ni, nf) for ni, nf in emb_szs])
        self.bn_cont = nn.BatchNorm1d(n_cont)
        n_in = sum(nf for _, nf in emb_szs) + n_cont
        mods = []
        for i in layers:
            mods += [nn.Linear(n_in, i), nn.ReLU(inplace=True), nn.BatchNorm1d(i), nn.Dropout(p)]
            n_in = i
        self.layers = nn.Sequential(*mods, nn.Linear(layers[-1], out_sz))

    def forward(self, x_cat, x_cont):
        e = torch.cat([emb(x_cat[:, i]) for i, emb in enumerate(self.embeds)], 1)
        return self.layers(torch.cat([e, self.bn_cont(x_cont)], 1))


class WideAndDeep(nn.Module):
    def __init__(self, field_dims, embed_dim, mlp_dims, dropout):
        super().__init__()
        self.offsets = [0] + list(torch.tensor(field_dims).cumsum(0)[:-1].tolist())
        self.embedding = nn.Embedding(sum(field_dims), embed_dim)
        self.linear = nn.Embedding(sum(field_dims), 1)
        dim, layers = len(field_dims) * embed_dim, []
        for d in mlp_dims:
            layers += [nn.Linear(dim, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Dropout(dropout)]
            dim = d
        self.mlp = nn.Sequential(*layers, nn.Linear(dim, 1))
        self.embed_output_dim = len(field_dims) * embed_dim

    def forward(self, x):
        x = x + x.new_tensor(self.offsets).unsqueeze(0)
        e = self.embedding(x)
        return torch.sigmoid((self.linear(x).sum(1) + self.mlp(e.view(-1, self.embed_output_dim))).squeeze(1))


class PointNetCls(nn.Module):
    def __init__(self, k=4):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(3, 32, 1), nn.Conv1d(32, 64, 1)
        self.bn1, self.bn2 = nn.BatchNorm1d(32), nn.BatchNorm1d(64)
        self.fc = nn.Linear(64, k)

    def forward(self, x):
        n_pts = x.size()[2]
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x = torch.max(x, 2, keepdim=True)[0].view(-1, 64)
        return F.log_softmax(self.fc(x), dim=-1)


class DGCNN(nn.Module):
    def __init__(self, args, output_channels=8):
        super().__init__()
        self.k = args.k
        self.conv = nn.Sequential(nn.Conv2d(6, 16, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2))
        self.linear = nn.Linear(16, output_channels)
        self.dp = nn.Dropout(p=args.dropout)

    def forward(self, x):
        batch_size, dims, num_points = x.size()
        xt = x.transpose(2, 1)
        idx = torch.cdist(xt, xt).topk(self.k, largest=False)[1]
        neigh = torch.gather(xt.unsqueeze(1).expand(-1, num_points, -1, -1), 2, idx.unsqueeze(-1).expand(-1, -1, -1, dims))
        centre = xt.unsqueeze(2).expand_as(neigh)
        f = torch.cat((neigh - centre, centre), dim=3).permute(0, 3, 1, 2)
        return self.linear(self.dp(self.conv(f).max(dim=-1)[0].max(dim=-1)[0]))


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn1 = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.ReflectionPad2d(1), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.BatchNorm2d(8)
        )
        self.fc1 = nn.Sequential(nn.Linear(8 * 100 * 100, 8), nn.ReLU(), nn.Linear(8, 5))

    def forward_once(self, x):
        output = self.cnn1(x)
        return self.fc1(output.view(output.size()[0], -1))

    def forward(self, input1, input2):
        return self.forward_once(input1), self.forward_once(input2)


class TripletEncoder(nn.Module):
    def __init__(self, in_features, embedding_size):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_features, 64), nn.PReLU(), nn.Linear(64, embedding_size))

    def forward(self, anchor, positive, negative):
        return tuple(F.normalize(self.body(v), dim=1) for v in (anchor, positive, negative))


class ActorCritic(nn.Module):
    def __init__(self, state_dim, action_dim, action_std_init, has_continuous_action_space=False):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(state_dim, 64), nn.Tanh(), nn.Linear(64, action_dim), nn.Softmax(dim=-1))
        self.critic = nn.Sequential(nn.Linear(state_dim, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, state):
        return self.actor(state), self.critic(state)


class QNetwork(nn.Module):
    def __init__(self, num_inputs, num_actions, hidden_dim):
        super().__init__()
        self.linear1 = nn.Linear(num_inputs + num_actions, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, 1)

    def forward(self, state, action):
        xu = torch.cat([state, action], 1)
        return self.linear2(F.relu(self.linear1(xu)))


class DuelingDQN(nn.Module):
    def __init__(self, input_shape, n_actions):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(input_shape[0], 16, 8, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU())
        out = int(torch.prod(torch.tensor(self.conv(torch.zeros(1, *input_shape)).size())))
        self.adv, self.val = nn.Linear(out, n_actions), nn.Linear(out, 1)

    def forward(self, x):
        h = self.conv(x.float() / 256).view(x.size()[0], -1)
        adv = self.adv(h)
        return self.val(h) + adv - adv.mean(dim=1, keepdim=True)


class MultiModal(nn.Module):
    def __init__(self, vocab=200, d=32):
        super().__init__()
        self.vision = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, d))
        self.words = nn.EmbeddingBag(vocab, d)
        self.fuse = nn.Bilinear(d, d, 4)

    def forward(self, image, caption):
        return self.fuse(self.vision(image), self.words(caption))


class DictInput(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.token = nn.Embedding(50, hidden)
        self.numeric = nn.Linear(7, hidden)
        self.head = nn.Linear(hidden, 2)

    def forward(self, batch: Dict[str, torch.Tensor]):
        h = self.token(batch["input_ids"]).mean(1) + self.numeric(batch["features"])
        if "dropout_mask" in batch:
            h = h * batch["dropout_mask"]
        return {"logits": self.head(h)}


@dataclass
class Observation:
    position: torch.Tensor
    velocity: torch.Tensor
    goal: Optional[torch.Tensor] = None


class ObservationPolicy(nn.Module):
    def __init__(self):
        super().__init__()
        self.p, self.v = nn.Linear(3, 16), nn.Linear(3, 16)
        self.out = nn.Linear(16, 2)

    def forward(self, obs: Observation):
        return self.out(torch.tanh(self.p(obs.position) + self.v(obs.velocity)))


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


class PairMatcher(nn.Module):
    def __init__(self, dim=10):
        super().__init__()
        self.enc = nn.GRU(dim, 16, batch_first=True)
        self.out = nn.Linear(32, 1)

    def forward(self, pair: Pair):
        l, r = self.enc(pair.left)[1][0], self.enc(pair.right)[1][0]
        return self.out(torch.cat([l, r], -1))


class HyperNetwork(nn.Module):
    def __init__(self, z_dim=8, f_in=6, f_out=5):
        super().__init__()
        self.gen = nn.Linear(z_dim, f_in * f_out)
        self.f_in, self.f_out = f_in, f_out

    def forward(self, z, x):
        w = self.gen(z).view(-1, self.f_out, self.f_in)
        return torch.bmm(w, x.unsqueeze(-1)).squeeze(-1)


class NeRF(nn.Module):
    def __init__(self, D=4, W=32, input_ch=3, input_ch_views=3, output_ch=4, skips=(2,)):
        super().__init__()
        self.skips, self.input_ch, self.input_ch_views = skips, input_ch, input_ch_views
        self.pts_linears = nn.ModuleList([nn.Linear(input_ch, W)] + [nn.Linear(W + input_ch if i in skips else W, W) for i in range(D - 1)])
        self.views = nn.Linear(W + input_ch_views, W // 2)
        self.rgb, self.alpha = nn.Linear(W // 2, 3), nn.Linear(W, 1)

    def forward(self, x):
        pts, views = torch.split(x, [self.input_ch, self.input_ch_views], dim=-1)
        h = pts
        for i, lin in enumerate(self.pts_linears):
            h = F.relu(lin(h))
            if i in self.skips and i + 1 < len(self.pts_linears):
                pass
            if i + 1 in [s + 1 for s in self.skips]:
                h = torch.cat([pts, h], -1) if i + 1 < len(self.pts_linears) else h
        return torch.cat([self.rgb(F.relu(self.views(torch.cat([h, views], -1)))), self.alpha(h)], -1)


class RegressionMLP(nn.Module):
    def __init__(self, n_feature, n_hidden, n_output):
        super().__init__()
        self.hidden = torch.nn.Linear(n_feature, n_hidden)
        self.predict = torch.nn.Linear(n_hidden, n_output)

    def forward(self, x):
        return self.predict(F.relu(self.hidden(x)))


def make_mlp(sizes=(4, 16, 1), activation=nn.Tanh):
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), activation()]
    return nn.Sequential(*layers[:-1])


def build_network(args: Namespace):
    return nn.Sequential(nn.Linear(args.input_dim, args.hidden_dim), nn.ReLU(), nn.Linear(args.hidden_dim, args.num_classes))
