"""Second collection of sequence models."""

import math
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def precompute_freqs_cis(dim, end, theta=10000.0):
    freqs = 1.0 / (theta ** (torch.arange(0, dim, 2)[: (dim // 2)].float() / dim))
    return torch.polar(torch.ones(end, dim // 2), torch.outer(torch.arange(end), freqs))


class LlamaAttention(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.n_heads, self.head_dim = args.n_heads, args.dim // args.n_heads
        self.wqkv = nn.Linear(args.dim, 3 * args.dim, bias=False)
        self.wo = nn.Linear(args.dim, args.dim, bias=False)

    def forward(self, x, freqs_cis, mask):
        b, s, _ = x.shape
        q, k, v = (t.view(b, s, self.n_heads, self.head_dim) for t in self.wqkv(x).chunk(3, -1))

        def rot(t):
            c = torch.view_as_complex(t.float().reshape(*t.shape[:-1], -1, 2))
            return torch.view_as_real(c * freqs_cis[None, :, None]).flatten(3)

        q, k, v = rot(q).transpose(1, 2), rot(k).transpose(1, 2), v.transpose(1, 2)
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        if mask is not None:
            scores = scores + mask
        return self.wo((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, s, -1))


class MiniLlama(nn.Module):
    def __init__(self, params):
        super().__init__()
        self.params = params
        self.tok_embeddings = nn.Embedding(params.vocab_size, params.dim)
        self.attention = nn.ModuleList([LlamaAttention(params) for _ in range(params.n_layers)])
        self.ffn = nn.ModuleList([nn.Linear(params.dim, params.dim) for _ in range(params.n_layers)])
        self.norm = RMSNorm(params.dim, eps=params.norm_eps)
        self.output = nn.Linear(params.dim, params.vocab_size, bias=False)
        self.freqs_cis = precompute_freqs_cis(params.dim // params.n_heads, params.max_seq_len * 2)

    def forward(self, tokens: torch.Tensor, start_pos: int):
        _, seqlen = tokens.shape
        h = self.tok_embeddings(tokens)
        freqs = self.freqs_cis[start_pos : start_pos + seqlen]
        mask = None
        if seqlen > 1:
            mask = torch.triu(torch.full((seqlen, seqlen), float("-inf")), diagonal=1)
        for a, f in zip(self.attention, self.ffn):
            h = h + a(self.norm(h), freqs, mask)
            h = h + f(h)
        return self.output(self.norm(h)).float()


class MultiHeadedAttention(nn.Module):
    def __init__(self, h, d_model, dropout=0.1):
        super().__init__()
        assert d_model % h == 0
        self.d_k, self.h = d_model // h, h
        self.linears = nn.ModuleList([nn.Linear(d_model, d_model) for _ in range(4)])

    def forward(self, query, key, value, mask=None):
        if mask is not None:
            mask = mask.unsqueeze(1)
        n = query.size(0)
        q, k, v = [lin(x).view(n, -1, self.h, self.d_k).transpose(1, 2) for lin, x in zip(self.linears, (query, key, value))]
        s = q @ k.transpose(-2, -1) / math.sqrt(self.d_k)
        if mask is not None:
            s = s.masked_fill(mask == 0, -1e9)
        return self.linears[-1]((s.softmax(-1) @ v).transpose(1, 2).contiguous().view(n, -1, self.h * self.d_k))


class AnnotatedTransformer(nn.Module):
    def __init__(self, src_vocab, tgt_vocab, N=2, d_model=32, d_ff=64, h=4, dropout=0.1):
        super().__init__()
        self.src_embed, self.tgt_embed = nn.Embedding(src_vocab, d_model), nn.Embedding(tgt_vocab, d_model)
        self.self_attn = nn.ModuleList([MultiHeadedAttention(h, d_model) for _ in range(N)])
        self.cross = nn.ModuleList([MultiHeadedAttention(h, d_model) for _ in range(N)])
        self.generator = nn.Linear(d_model, tgt_vocab)

    def forward(self, src, tgt, src_mask, tgt_mask):
        m, y = self.src_embed(src), self.tgt_embed(tgt)
        for a in self.self_attn:
            m = m + a(m, m, m, src_mask)
        for a, c in zip(self.self_attn, self.cross):
            y = y + a(y, y, y, tgt_mask)
            y = y + c(y, m, m, src_mask)
        return F.log_softmax(self.generator(y), dim=-1)


class BertForTagging(nn.Module):
    def __init__(self, config: Dict[str, Any]):
        super().__init__()
        hidden = config["hidden_size"]
        self.word_embeddings = nn.Embedding(config["vocab_size"], hidden, padding_idx=0)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], hidden)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])
        layer = nn.TransformerEncoderLayer(hidden, config["num_attention_heads"], config["intermediate_size"], batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, config["num_hidden_layers"])
        self.classifier = nn.Linear(hidden, config.get("num_labels", 5))

    def forward(self, input_ids, attention_mask, token_type_ids=None, position_ids=None, labels=None):
        if position_ids is None:
            position_ids = torch.arange(input_ids.size(1), device=input_ids.device).unsqueeze(0)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        e = self.word_embeddings(input_ids) + self.position_embeddings(position_ids) + self.token_type_embeddings(token_type_ids)
        h = self.encoder(self.LayerNorm(e), src_key_padding_mask=attention_mask == 0)
        logits = self.classifier(h)
        return (F.cross_entropy(logits.transpose(1, 2), labels), logits) if labels is not None else (logits,)


class EncoderCNN(nn.Module):
    def __init__(self, embed_size):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, embed_size), nn.BatchNorm1d(embed_size))

    def forward(self, images):
        return self.net(images)


class DecoderRNN(nn.Module):
    def __init__(self, embed_size, hidden_size, vocab_size, num_layers=1):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embed_size)
        self.lstm = nn.LSTM(embed_size, hidden_size, num_layers, batch_first=True)
        self.linear = nn.Linear(hidden_size, vocab_size)

    def forward(self, features, captions):
        embeddings = torch.cat((features.unsqueeze(1), self.embed(captions[:, :-1])), 1)
        return self.linear(self.lstm(embeddings)[0])


class BahdanauDecoder(nn.Module):
    def __init__(self, hidden=32, vocab=60):
        super().__init__()
        self.embedding = nn.Embedding(vocab, hidden)
        self.Wa, self.Ua, self.Va = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        self.gru = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, vocab)

    def forward(self, input_token, decoder_hidden, encoder_outputs):
        query = decoder_hidden.permute(1, 0, 2)
        weights = F.softmax(self.Va(torch.tanh(self.Wa(query) + self.Ua(encoder_outputs))).squeeze(2).unsqueeze(1), dim=-1)
        context = torch.bmm(weights, encoder_outputs)
        out, hidden = self.gru(torch.cat((self.embedding(input_token), context), dim=2), decoder_hidden)
        return self.out(out), hidden


class WaveNet(nn.Module):
    def __init__(self, layers, blocks, dilation_channels=16, residual_channels=16, skip_channels=24, classes=64, kernel_size=2):
        super().__init__()
        self.start = nn.Conv1d(classes, residual_channels, 1)
        self.filters, self.gates, self.res, self.skips, self.dils = nn.ModuleList(), nn.ModuleList(), nn.ModuleList(), nn.ModuleList(), []
        for b in range(blocks):
            for i in range(layers):
                self.filters.append(nn.Conv1d(residual_channels, dilation_channels, kernel_size, dilation=2**i))
                self.gates.append(nn.Conv1d(residual_channels, dilation_channels, kernel_size, dilation=2**i))
                self.res.append(nn.Conv1d(dilation_channels, residual_channels, 1))
                self.skips.append(nn.Conv1d(dilation_channels, skip_channels, 1))
        self.end = nn.Conv1d(skip_channels, classes, 1)

    def forward(self, one_hot):
        x, skip = self.start(one_hot), 0
        for f, g, r, s in zip(self.filters, self.gates, self.res, self.skips):
            h = torch.tanh(f(x)) * torch.sigmoid(g(x))
            skip = s(h) + (skip[..., -h.size(2) :] if torch.is_tensor(skip) else 0)
            x = r(h) + x[..., -h.size(2) :]
        return self.end(F.relu(skip))


class NBeatsBlock(nn.Module):
    def __init__(self, units, thetas_dim, backcast_length, forecast_length):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(backcast_length, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())
        self.theta_b, self.theta_f = nn.Linear(units, thetas_dim), nn.Linear(units, thetas_dim)
        self.backcast_fc, self.forecast_fc = nn.Linear(thetas_dim, backcast_length), nn.Linear(thetas_dim, forecast_length)

    def forward(self, x):
        h = self.fc(x)
        return self.backcast_fc(self.theta_b(h)), self.forecast_fc(self.theta_f(h))


class NBeats(nn.Module):
    def __init__(self, device=torch.device("cpu"), nb_blocks_per_stack=2, forecast_length=5, backcast_length=10, hidden_layer_units=32, thetas_dim=4):
        super().__init__()
        self.forecast_length = forecast_length
        self.blocks = nn.ModuleList(NBeatsBlock(hidden_layer_units, thetas_dim, backcast_length, forecast_length) for _ in range(nb_blocks_per_stack))

    def forward(self, backcast):
        forecast = torch.zeros(backcast.size(0), self.forecast_length)
        for block in self.blocks:
            b, f = block(backcast)
            backcast, forecast = backcast - b, forecast + f
        return backcast, forecast


class DeepAR(nn.Module):
    def __init__(self, params):
        super().__init__()
        self.embedding = nn.Embedding(params.num_class, params.embedding_dim)
        self.lstm = nn.LSTM(1 + params.cov_dim + params.embedding_dim, params.lstm_hidden_dim, params.lstm_layers, dropout=params.lstm_dropout)
        self.mu, self.sigma = nn.Linear(params.lstm_hidden_dim * params.lstm_layers, 1), nn.Linear(params.lstm_hidden_dim * params.lstm_layers, 1)

    def forward(self, x, idx, hidden, cell):
        out, (hidden, cell) = self.lstm(torch.cat((x, self.embedding(idx)), dim=2), (hidden, cell))
        hp = hidden.permute(1, 2, 0).contiguous().view(hidden.shape[1], -1)
        return torch.squeeze(self.mu(hp)), F.softplus(self.sigma(hp)).squeeze(), hidden, cell


class SASRec(nn.Module):
    def __init__(self, user_num, item_num, args):
        super().__init__()
        self.item_emb = nn.Embedding(item_num + 1, args.hidden_units, padding_idx=0)
        self.pos_emb = nn.Embedding(args.maxlen, args.hidden_units)
        self.emb_dropout = nn.Dropout(p=args.dropout_rate)
        self.attention_layers = nn.ModuleList([nn.MultiheadAttention(args.hidden_units, args.num_heads, args.dropout_rate) for _ in range(args.num_blocks)])
        self.last_layernorm = nn.LayerNorm(args.hidden_units, eps=1e-8)

    def forward(self, user_ids, log_seqs, pos_seqs, neg_seqs):
        seqs = self.emb_dropout(self.item_emb(log_seqs) + self.pos_emb(torch.arange(log_seqs.shape[1])))
        for layer in self.attention_layers:
            s = seqs.transpose(0, 1)
            seqs = seqs + layer(s, s, s)[0].transpose(0, 1)
        f = self.last_layernorm(seqs)
        return (f * self.item_emb(pos_seqs)).sum(-1), (f * self.item_emb(neg_seqs)).sum(-1)


class MoE(nn.Module):
    def __init__(self, input_size, output_size, num_experts, hidden_size, k=2):
        super().__init__()
        self.k = k
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(input_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, output_size)) for _ in range(num_experts)])
        self.gate = nn.Linear(input_size, num_experts)

    def forward(self, x):
        w = self.gate(x).softmax(-1)
        top, idx = w.topk(self.k, dim=-1)
        outs = torch.stack([e(x) for e in self.experts], dim=-2)
        return (outs.gather(-2, idx.unsqueeze(-1).expand(*idx.shape, outs.size(-1))) * top.unsqueeze(-1)).sum(-2)


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, r: int, alpha: float):
        super().__init__()
        self.base = base
        for p in base.parameters():
            p.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(r, base.in_features) * 0.01)
        self.B = nn.Parameter(torch.zeros(base.out_features, r))
        self.scale = alpha / r

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.A), self.B) * self.scale


class LinearCRFTagger(nn.Module):
    def __init__(self, vocab, tags, emb=24, hid=24):
        super().__init__()
        self.emb, self.lstm, self.proj = nn.Embedding(vocab, emb), nn.LSTM(emb, hid, batch_first=True), nn.Linear(hid, tags)
        self.transitions = nn.Parameter(torch.randn(tags, tags))

    def forward(self, words, tags, mask):
        emissions = self.proj(self.lstm(self.emb(words))[0])
        score = emissions.gather(2, tags.unsqueeze(-1)).squeeze(-1)
        trans = self.transitions[tags[:, :-1], tags[:, 1:]]
        num = (score * mask).sum(1) + (trans * mask[:, 1:]).sum(1)
        alpha = emissions[:, 0]
        for t in range(1, words.size(1)):
            nxt = torch.logsumexp(alpha.unsqueeze(2) + self.transitions, 1) + emissions[:, t]
            alpha = torch.where(mask[:, t].unsqueeze(1).bool(), nxt, alpha)
        return (torch.logsumexp(alpha, 1) - num).mean()


class SSMBlock(nn.Module):
    def __init__(self, d_model, d_state=8, expand=2):
        super().__init__()
        d_inner = d_model * expand
        self.in_proj = nn.Linear(d_model, 2 * d_inner)
        self.conv1d = nn.Conv1d(d_inner, d_inner, 4, groups=d_inner, padding=3)
        self.x_proj = nn.Linear(d_inner, 2 * d_state + 1)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, d_state + 1).float()).repeat(d_inner, 1))
        self.out_proj = nn.Linear(d_inner, d_model)

    def forward(self, x):
        b, l, _ = x.shape
        u, gate = self.in_proj(x).chunk(2, dim=-1)
        u = F.silu(self.conv1d(u.transpose(1, 2))[..., :l].transpose(1, 2))
        n = self.A_log.shape[1]
        dt, B, C = self.x_proj(u).split([1, n, n], dim=-1)
        A = torch.exp(-F.softplus(dt).unsqueeze(-1) * self.A_log.exp())
        h, ys = torch.zeros(b, u.size(-1), n), []
        for t in range(l):
            h = A[:, t] * h + u[:, t].unsqueeze(-1) * B[:, t].unsqueeze(1)
            ys.append((h * C[:, t].unsqueeze(1)).sum(-1))
        return self.out_proj(torch.stack(ys, 1) * F.silu(gate))


class SentencePairModel(nn.Module):
    def __init__(self, embeddings: torch.Tensor, hidden: int = 24, n_labels: int = 3):
        super().__init__()
        self.emb = nn.Embedding.from_pretrained(embeddings, freeze=False)
        self.enc = nn.LSTM(embeddings.size(1), hidden, batch_first=True, bidirectional=True)
        self.clf = nn.Sequential(nn.Linear(hidden * 8, 32), nn.ReLU(), nn.Linear(32, n_labels))

    def encode(self, ids):
        return self.enc(self.emb(ids))[0].max(1).values

    def forward(self, premise, hypothesis):
        p, h = self.encode(premise), self.encode(hypothesis)
        return self.clf(torch.cat([p, h, (p - h).abs(), p * h], -1))


class PointerNetwork(nn.Module):
    def __init__(self, dim: int = 2, hidden: int = 16):
        super().__init__()
        self.embed, self.encoder, self.cell = nn.Linear(dim, hidden), nn.LSTM(hidden, hidden, batch_first=True), nn.LSTMCell(hidden, hidden)
        self.w1, self.w2, self.v = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden), nn.Parameter(torch.rand(hidden))
        self.start = nn.Parameter(torch.zeros(hidden))

    def forward(self, cities):
        b, n, _ = cities.shape
        e = self.embed(cities)
        enc, (h, c) = self.encoder(e)
        h, c, x, outs = h[0], c[0], self.start.expand(b, -1), []
        for _ in range(n):
            h, c = self.cell(x, (h, c))
            logits = torch.tanh(self.w1(enc) + self.w2(h).unsqueeze(1)) @ self.v
            outs.append(logits.log_softmax(-1))
            x = e[torch.arange(b), logits.argmax(-1)]
        return torch.stack(outs, 1)
