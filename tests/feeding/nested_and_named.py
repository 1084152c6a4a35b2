# nested and named inputs, packed lengths, attention masks, constructor lists whose lengths a check tells
from collections import namedtuple
from types import SimpleNamespace
from typing import Dict, List, Sequence, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import weight_norm

Output = namedtuple("Output", ["loss", "logits"])


class PreTrainedish(nn.Module):
    main_input_name = "input_ids"
    config_class = SimpleNamespace

    def __init__(self, config):
        super().__init__()
        self.config = config


class TinyBertForSequenceClassification(PreTrainedish):
    def __init__(self, config):
        super().__init__(config)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        enc = nn.TransformerEncoderLayer(
            config.hidden_size, config.num_attention_heads, config.intermediate_size,
            dropout=config.hidden_dropout_prob, activation=config.hidden_act, batch_first=True)
        self.encoder = nn.TransformerEncoder(enc, config.num_hidden_layers, enable_nested_tensor=False)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None):
        if input_ids is None:
            raise ValueError("You have to specify input_ids")
        pos = torch.arange(input_ids.shape[1], device=input_ids.device)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        h = self.word_embeddings(input_ids) + self.position_embeddings(pos) + self.token_type_embeddings(token_type_ids)
        h = self.encoder(self.LayerNorm(h), src_key_padding_mask=attention_mask == 0)
        logits = self.classifier(h[:, 0])
        loss = F.cross_entropy(logits, labels) if labels is not None else None
        return Output(loss, logits)


class TransformerMT(nn.Module):
    def __init__(self, num_encoder_layers: int, num_decoder_layers: int, emb_size: int, nhead: int,
                 src_vocab_size: int, tgt_vocab_size: int, dim_feedforward: int = 512, dropout: float = 0.1):
        super().__init__()
        self.transformer = nn.Transformer(emb_size, nhead, num_encoder_layers, num_decoder_layers, dim_feedforward, dropout)
        self.generator = nn.Linear(emb_size, tgt_vocab_size)
        self.src_tok_emb = nn.Embedding(src_vocab_size, emb_size)
        self.tgt_tok_emb = nn.Embedding(tgt_vocab_size, emb_size)

    def forward(self, src: Tensor, trg: Tensor, src_mask: Tensor, tgt_mask: Tensor,
                src_padding_mask: Tensor, tgt_padding_mask: Tensor, memory_key_padding_mask: Tensor):
        outs = self.transformer(self.src_tok_emb(src), self.tgt_tok_emb(trg), src_mask, tgt_mask, None,
                                src_padding_mask, tgt_padding_mask, memory_key_padding_mask)
        return self.generator(outs)


class ShuffleUnit(nn.Module):
    def __init__(self, inp, oup, stride):
        super().__init__()
        self.stride = stride
        mid = oup // 2
        self.b2 = nn.Sequential(nn.Conv2d(inp if stride > 1 else mid, mid, 1), nn.BatchNorm2d(mid), nn.ReLU(True),
                                nn.Conv2d(mid, mid, 3, stride, 1, groups=mid), nn.Conv2d(mid, mid, 1), nn.ReLU(True))
        if stride > 1:
            self.b1 = nn.Sequential(nn.Conv2d(inp, inp, 3, stride, 1, groups=inp), nn.Conv2d(inp, mid, 1))

    def forward(self, x):
        if self.stride == 1:
            a, b = x.chunk(2, 1)
            out = torch.cat((a, self.b2(b)), 1)
        else:
            out = torch.cat((self.b1(x), self.b2(x)), 1)
        b, c, h, w = out.shape
        return out.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class ShuffleNet(nn.Module):
    def __init__(self, stages_repeats: List[int], stages_out_channels: List[int], num_classes: int = 100):
        super().__init__()
        if len(stages_repeats) != 3:
            raise ValueError("expected stages_repeats as list of 3 positive ints")
        if len(stages_out_channels) != 5:
            raise ValueError("expected stages_out_channels as list of 5 positive ints")
        ci = 3
        co = stages_out_channels[0]
        self.conv1 = nn.Sequential(nn.Conv2d(ci, co, 3, 2, 1), nn.BatchNorm2d(co), nn.ReLU(True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        seqs = []
        ci = co
        for r, co in zip(stages_repeats, stages_out_channels[1:]):
            seqs.append(nn.Sequential(ShuffleUnit(ci, co, 2), *[ShuffleUnit(co, co, 1) for _ in range(r - 1)]))
            ci = co
        self.stages = nn.Sequential(*seqs)
        self.conv5 = nn.Conv2d(ci, stages_out_channels[-1], 1)
        self.fc = nn.Linear(stages_out_channels[-1], num_classes)

    def forward(self, x):
        return self.fc(self.conv5(self.stages(self.pool(self.conv1(x)))).mean([2, 3]))


class DeepLabHead(nn.Module):
    def __init__(self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = (12, 24, 36)):
        super().__init__()
        self.branches = nn.ModuleList([nn.Conv2d(in_channels, 64, 1)] + [
            nn.Conv2d(in_channels, 64, 3, padding=r, dilation=r) for r in atrous_rates])
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, 64, 1), nn.ReLU())
        self.project = nn.Sequential(nn.Conv2d(64 * (len(atrous_rates) + 2), 64, 1), nn.BatchNorm2d(64), nn.ReLU())
        self.classifier = nn.Conv2d(64, num_classes, 1)

    def forward(self, x: torch.Tensor, input_size: Tuple[int, int]) -> torch.Tensor:
        res = [b(x) for b in self.branches]
        res.append(F.interpolate(self.pool(x), size=x.shape[-2:], mode="bilinear", align_corners=False))
        out = self.classifier(self.project(torch.cat(res, 1)))
        return F.interpolate(out, size=input_size, mode="bilinear", align_corners=False)


class CaptionModel(nn.Module):
    def __init__(self, embed_size, hidden_size, vocab_size, num_layers, max_seq_length=20):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.linear = nn.Linear(64, embed_size)
        self.bn = nn.BatchNorm1d(embed_size, momentum=0.01)
        self.embed = nn.Embedding(vocab_size, embed_size)
        self.lstm = nn.LSTM(embed_size, hidden_size, num_layers, batch_first=True)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, images, captions, lengths):
        features = self.bn(self.linear(self.cnn(images)))
        embeddings = torch.cat((features.unsqueeze(1), self.embed(captions)), 1)
        packed = nn.utils.rnn.pack_padded_sequence(embeddings, lengths, batch_first=True)
        hiddens, _ = self.lstm(packed)
        return self.out(hiddens[0])


class MelVocoder(nn.Module):
    def __init__(self, h):
        super().__init__()
        self.conv_pre = weight_norm(nn.Conv1d(h.num_mels, h.upsample_initial_channel, 7, 1, padding=3))
        self.ups = nn.ModuleList()
        ch = h.upsample_initial_channel
        for i, (u, k) in enumerate(zip(h.upsample_rates, h.upsample_kernel_sizes)):
            self.ups.append(nn.ConvTranspose1d(ch // (2 ** i), ch // (2 ** (i + 1)), k, u, padding=(k - u) // 2))
        self.conv_post = nn.Conv1d(ch // (2 ** len(self.ups)), 1, 7, padding=3)

    def forward(self, mel):
        x = self.conv_pre(mel)
        for up in self.ups:
            x = up(F.leaky_relu(x, 0.1))
        return torch.tanh(self.conv_post(x))


class TemporalFusionLite(nn.Module):
    def __init__(self, static_sizes: dict, time_varying_dim: int, hidden: int = 32):
        super().__init__()
        self.static = nn.ModuleDict({k: nn.Embedding(v, hidden) for k, v in static_sizes.items()})
        self.inp = nn.Linear(time_varying_dim, hidden)
        self.rnn = nn.LSTM(hidden, hidden, batch_first=True)
        self.gate = nn.Linear(hidden, hidden * 2)
        self.head = nn.Linear(hidden, 3)

    def forward(self, static, history):
        c = sum(self.static[k](static[k]) for k in self.static)
        h, _ = self.rnn(self.inp(history) + c.unsqueeze(1))
        return self.head(F.glu(self.gate(h)))


class TTSEncoderDecoder(nn.Module):
    def __init__(self, hp):
        super().__init__()
        self.hp = hp
        self.embedding = nn.Embedding(hp.n_symbols, hp.symbols_embedding_dim)
        self.encoder = nn.LSTM(hp.symbols_embedding_dim, hp.encoder_embedding_dim // 2, batch_first=True, bidirectional=True)
        self.prenet = nn.Sequential(nn.Linear(hp.n_mel_channels, hp.prenet_dim), nn.ReLU())
        self.decoder = nn.LSTMCell(hp.prenet_dim + hp.encoder_embedding_dim, hp.decoder_rnn_dim)
        self.query = nn.Linear(hp.decoder_rnn_dim, hp.encoder_embedding_dim)
        self.mel = nn.Linear(hp.decoder_rnn_dim, hp.n_mel_channels)

    def forward(self, inputs):
        text_inputs, text_lengths, mels, max_len, output_lengths = inputs
        memory, _ = self.encoder(self.embedding(text_inputs))
        pad = torch.arange(memory.size(1)).unsqueeze(0) >= text_lengths.unsqueeze(1)
        b = memory.size(0)
        h = memory.new_zeros(b, self.hp.decoder_rnn_dim)
        c, ctx = h.clone(), memory.new_zeros(b, memory.size(2))
        outs = []
        for t in range(mels.size(2)):
            h, c = self.decoder(torch.cat([self.prenet(mels[:, :, t]), ctx], 1), (h, c))
            e = (self.query(h).unsqueeze(1) * memory).sum(-1).masked_fill(pad, -1e9)
            ctx = (e.softmax(-1).unsqueeze(-1) * memory).sum(1)
            outs.append(self.mel(h))
        return torch.stack(outs, 2)


class STGCN(nn.Module):
    """Traffic forecasting. Input (batch, num_nodes, num_timesteps, num_features), A_hat normalised adjacency."""

    def __init__(self, num_nodes, num_features, num_timesteps_input, num_timesteps_output):
        super().__init__()
        self.t1 = nn.Conv2d(num_features, 64, (1, 3))
        self.theta = nn.Parameter(torch.randn(64, 16) * 0.1)
        self.t2 = nn.Conv2d(16, 64, (1, 3))
        self.bn = nn.BatchNorm2d(num_nodes)
        self.fully = nn.Linear((num_timesteps_input - 4) * 64, num_timesteps_output)

    def forward(self, A_hat, X):
        t = F.relu(self.t1(X.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        lfs = torch.einsum("ij,jklm->kilm", [A_hat, t.permute(1, 0, 2, 3)])
        t2 = F.relu(torch.matmul(lfs, self.theta))
        t3 = self.bn(F.relu(self.t2(t2.permute(0, 3, 1, 2))).permute(0, 2, 3, 1))
        return self.fully(t3.reshape((t3.shape[0], t3.shape[1], -1)))


class WideAndDeep(nn.Module):
    def __init__(self, sparse_features: List[str], dense_features: List[str], vocab_sizes: Dict[str, int], embed_dim: int = 8):
        super().__init__()
        self.sparse_features, self.dense_features = sparse_features, dense_features
        self.emb = nn.ModuleDict({f: nn.Embedding(vocab_sizes.get(f, 100), embed_dim) for f in sparse_features})
        self.wide = nn.Linear(len(dense_features), 1)
        self.deep = nn.Sequential(nn.Linear(len(sparse_features) * embed_dim + len(dense_features), 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, inputs):
        dense = torch.stack([inputs[f] for f in self.dense_features], 1)
        sparse = torch.cat([self.emb[f](inputs[f]) for f in self.sparse_features], 1)
        return torch.sigmoid(self.wide(dense) + self.deep(torch.cat([sparse, dense], 1))).squeeze(1)


class DecisionTransformer(nn.Module):
    def __init__(self, state_dim, act_dim, hidden_size, max_length=None, max_ep_len=4096, action_tanh=True, n_head=4, n_layer=2):
        super().__init__()
        self.state_dim, self.act_dim, self.hidden_size = state_dim, act_dim, hidden_size
        self.embed_timestep = nn.Embedding(max_ep_len, hidden_size)
        self.embed_return = nn.Linear(1, hidden_size)
        self.embed_state = nn.Linear(state_dim, hidden_size)
        self.embed_action = nn.Linear(act_dim, hidden_size)
        self.tr = nn.TransformerEncoder(nn.TransformerEncoderLayer(hidden_size, n_head, hidden_size * 2, batch_first=True), n_layer, enable_nested_tensor=False)
        self.predict_action = nn.Sequential(*([nn.Linear(hidden_size, act_dim)] + ([nn.Tanh()] if action_tanh else [])))

    def forward(self, states, actions, rewards, returns_to_go, timesteps, attention_mask=None):
        b, t = states.shape[0], states.shape[1]
        if attention_mask is None:
            attention_mask = torch.ones((b, t), dtype=torch.long)
        te = self.embed_timestep(timesteps)
        s, a, r = self.embed_state(states) + te, self.embed_action(actions) + te, self.embed_return(returns_to_go) + te
        x = torch.stack((r, s, a), dim=1).permute(0, 2, 1, 3).reshape(b, 3 * t, self.hidden_size)
        m = torch.stack((attention_mask,) * 3, dim=1).permute(0, 2, 1).reshape(b, 3 * t)
        x = self.tr(x, src_key_padding_mask=m == 0).reshape(b, t, 3, self.hidden_size).permute(0, 2, 1, 3)
        return self.predict_action(x[:, 1])


class RecurrentActorCritic(nn.Module):
    def __init__(self, obs_shape, num_actions, hidden=64):
        super().__init__()
        c, h, w = obs_shape
        self.conv = nn.Sequential(nn.Conv2d(c, 16, 3, 2, 1), nn.ELU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ELU())
        with torch.no_grad():
            n = self.conv(torch.zeros(1, c, h, w)).numel()
        self.lstm = nn.LSTMCell(n, hidden)
        self.critic, self.actor = nn.Linear(hidden, 1), nn.Linear(hidden, num_actions)

    def forward(self, inputs):
        inputs, (hx, cx) = inputs
        x = self.conv(inputs)
        hx, cx = self.lstm(x.flatten(1), (hx, cx))
        return self.critic(hx), self.actor(hx), (hx, cx)


class RealNVP(nn.Module):
    def __init__(self, nets, nett, masks, prior_dim=2):
        super().__init__()
        self.mask = nn.Parameter(masks, requires_grad=False)
        self.t = nn.ModuleList([nett() for _ in range(len(masks))])
        self.s = nn.ModuleList([nets() for _ in range(len(masks))])

    def forward(self, x):
        log_det, z = x.new_zeros(x.shape[0]), x
        for i in reversed(range(len(self.t))):
            z_ = self.mask[i] * z
            s, t = self.s[i](z_) * (1 - self.mask[i]), self.t[i](z_) * (1 - self.mask[i])
            z = (1 - self.mask[i]) * (z - t) * torch.exp(-s) + z_
            log_det = log_det - s.sum(dim=1)
        return z, log_det


class VQAModel(nn.Module):
    def __init__(self, question_vocab_size: int, ans_vocab_size: int, glimpses: int = 2, v_dim: int = 128, q_dim: int = 64):
        super().__init__()
        self.emb = nn.Embedding(question_vocab_size, 32, padding_idx=0)
        self.lstm = nn.LSTM(32, q_dim)
        self.v_conv = nn.Conv2d(v_dim, 64, 1, bias=False)
        self.q_lin = nn.Linear(q_dim, 64)
        self.x_conv = nn.Conv2d(64, glimpses, 1)
        self.cls = nn.Linear(glimpses * v_dim + q_dim, ans_vocab_size)

    def forward(self, v, q, q_len):
        e = self.emb(q)
        packed = nn.utils.rnn.pack_padded_sequence(torch.tanh(e), q_len.tolist(), batch_first=True, enforce_sorted=False)
        _, (_, c) = self.lstm(packed)
        q = c.squeeze(0)
        v = v / (v.norm(p=2, dim=1, keepdim=True) + 1e-8)
        a = self.x_conv(F.relu(self.v_conv(v) + self.q_lin(q)[:, :, None, None]))
        a = F.softmax(a.flatten(2), -1)
        out = torch.einsum("bgs,bvs->bgv", a, v.flatten(2)).flatten(1)
        return self.cls(torch.cat([out, q], 1))


class MetaLearnerProto(nn.Module):
    def __init__(self, x_dim=1, hid_dim=32, z_dim=32):
        super().__init__()
        blk = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
        self.encoder = nn.Sequential(blk(x_dim, hid_dim), blk(hid_dim, hid_dim), blk(hid_dim, z_dim), nn.Flatten())

    def forward(self, sample):
        xs, xq = sample["xs"], sample["xq"]
        n_class, n_support, n_query = xs.size(0), xs.size(1), xq.size(1)
        x = torch.cat([xs.view(n_class * n_support, *xs.size()[2:]), xq.view(n_class * n_query, *xq.size()[2:])], 0)
        z = self.encoder(x)
        proto = z[: n_class * n_support].view(n_class, n_support, -1).mean(1)
        d = torch.cdist(z[n_class * n_support:], proto)
        return F.log_softmax(-d, dim=1).view(n_class, n_query, -1)
