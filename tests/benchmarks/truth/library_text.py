"""Stages of transformers architectures, built offline from tiny configurations."""

from __future__ import annotations

from .library_vision import Stages

TOKENS = "torch.randint(0, 30, (4, 6))"
LABELS = "torch.randint(0, 4, (4,))"

_BERT_LIKE = "vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24"
_DECODER_LIKE = f"{_BERT_LIKE}, num_key_value_heads=1, max_position_embeddings=32"


def _classifier(name: str, model: str, config: str, options: str, arguments: str = "") -> Stages:
    """Embeddings, the library's layers, a user's adapter and head."""
    init = (
        f"config = {config}({options})",
        f"self.body = {model}(config{arguments})",
        "self.adapter = nn.Linear(16, 8)",
        "self.norm = nn.LayerNorm(8)",
        "self.head = nn.Linear(8, 4)",
    )
    forward = (
        "x = self.body.get_input_embeddings()(x)",
        "x = self.body(inputs_embeds=x).last_hidden_state",
        "x = torch.tanh(self.adapter(x))",
        "x = self.norm(x)",
        "return self.head(x.mean(dim=1))",
    )
    return Stages(name, (f"from transformers import {config}, {model}",), init, forward, TOKENS, LABELS)


def _language_model(name: str, model: str, config: str, options: str) -> Stages:
    """A causal language model whose logits a user rescales before the loss."""
    init = (
        f"self.body = {model}({config}({options}))",
        "self.scale = nn.Parameter(torch.ones(16))",
        "self.head = nn.Linear(16, 30, bias=False)",
    )
    forward = (
        "hidden = self.body(x).last_hidden_state",
        "hidden = hidden * self.scale",
        "logits = self.head(hidden)",
        "return logits[:, :-1]",
    )
    loss = "F.cross_entropy(output.flatten(0, 1), y[:, 1:].flatten())"
    return Stages(name, (f"from transformers import {config}, {model}",), init, forward, TOKENS, TOKENS, loss)


_NO_POOLER = ", add_pooling_layer=False"
_T5 = "vocab_size=30, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2"
_BART = (
    "vocab_size=30, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, "
    "decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=32"
)

TEXT = (
    _classifier("transformers_bert", "BertModel", "BertConfig", _BERT_LIKE, _NO_POOLER),
    _classifier("transformers_roberta", "RobertaModel", "RobertaConfig", _BERT_LIKE, _NO_POOLER),
    _classifier("transformers_electra", "ElectraModel", "ElectraConfig", f"{_BERT_LIKE}, embedding_size=16"),
    _classifier("transformers_albert", "AlbertModel", "AlbertConfig", f"{_BERT_LIKE}, embedding_size=8", _NO_POOLER),
    _classifier("transformers_mpnet", "MPNetModel", "MPNetConfig", _BERT_LIKE, _NO_POOLER),
    _classifier(
        "transformers_distilbert",
        "DistilBertModel",
        "DistilBertConfig",
        "vocab_size=30, dim=16, hidden_dim=24, n_layers=2, n_heads=2",
    ),
    _classifier("transformers_deberta", "DebertaV2Model", "DebertaV2Config", _BERT_LIKE),
    _classifier("transformers_llama", "LlamaModel", "LlamaConfig", _DECODER_LIKE),
    _classifier("transformers_t5_encoder", "T5EncoderModel", "T5Config", _T5),
    _classifier("transformers_gpt_neox", "GPTNeoXModel", "GPTNeoXConfig", _BERT_LIKE),
    _language_model("transformers_gpt2", "GPT2Model", "GPT2Config", "vocab_size=30, n_embd=16, n_layer=2, n_head=2"),
    _language_model("transformers_mistral", "MistralModel", "MistralConfig", _DECODER_LIKE),
    _language_model("transformers_qwen2", "Qwen2Model", "Qwen2Config", _DECODER_LIKE),
    _language_model("transformers_gemma", "GemmaModel", "GemmaConfig", f"{_DECODER_LIKE}, head_dim=8"),
    _language_model("transformers_phi", "PhiModel", "PhiConfig", _BERT_LIKE),
    _language_model(
        "transformers_opt",
        "OPTModel",
        "OPTConfig",
        "vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24, word_embed_proj_dim=16",
    ),
    _language_model(
        "transformers_bloom", "BloomModel", "BloomConfig", "vocab_size=30, hidden_size=16, n_layer=2, n_head=2"
    ),
    _language_model(
        "transformers_mamba",
        "MambaModel",
        "MambaConfig",
        "vocab_size=30, hidden_size=16, num_hidden_layers=2, state_size=4",
    ),
    _language_model("transformers_bart", "BartModel", "BartConfig", _BART),
    Stages(
        "transformers_vit",
        ("from transformers import ViTConfig, ViTModel",),
        (
            "config = ViTConfig(image_size=16, patch_size=8, hidden_size=16, num_hidden_layers=2,",
            "                   num_attention_heads=2, intermediate_size=24)",
            "self.body = ViTModel(config, add_pooling_layer=False)",
            "self.neck = nn.Linear(16, 8)",
            "self.head = nn.Linear(8, 4)",
        ),
        (
            "tokens = self.body(pixel_values=x).last_hidden_state",
            "x = F.gelu(self.neck(tokens[:, 0]))",
            "return self.head(x)",
        ),
        "torch.randn(4, 3, 16, 16)",
        LABELS,
    ),
)
