"""The architectures of the tiny profile, as plain numbers.

Each model is the real class of ``transformers`` made small by its config, except ``encoder`` and
``supernet``, which are the course's own. Dropout is 0 in the language models, as in most recent ones. Initial
ranges are larger than the published 0.02: with a width near 100, 0.02 leaves the first layers almost linear
and training slow.
"""

from __future__ import annotations

from typing import Any

PROSE_TOKENS = 512
LANGUAGE_TOKENS = 1_024
CLASSES = 10

_DECODER: dict[str, Any] = {
    "vocab_size": PROSE_TOKENS,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "initializer_range": 0.07,
}

TINY: dict[str, dict[str, Any]] = {
    "bert": {
        "vocab_size": LANGUAGE_TOKENS,
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 40,
        "num_labels": CLASSES,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": 0,
        "initializer_range": 0.03,
    },
    "gpt2": {
        "vocab_size": PROSE_TOKENS,
        "n_embd": 128,
        "n_layer": 4,
        "n_head": 4,
        "n_positions": 128,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "loss_type": "ForCausalLM",
        "initializer_range": 0.05,
    },
    "llama": dict(_DECODER),
    "llama-outliers": dict(_DECODER),
    "mistral": {**_DECODER, "sliding_window": 32},
    "vit": {
        "image_size": 28,
        "patch_size": 7,
        "num_channels": 1,
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_labels": CLASSES,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.1,
    },
    "encoder": {
        "image_size": 28,
        "patch_size": 7,
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_layers": 3,
        "num_heads": 4,
        "num_labels": CLASSES,
        "dropout": 0.1,
    },
    "supernet": {
        "image_size": 28,
        "patch_size": 7,
        "hidden_size": 64,
        "head_size": 16,
        "heads": [4, 4, 4, 4, 4, 4],
        "ffn": [256, 256, 256, 256, 256, 256],
        "num_labels": CLASSES,
        "initializer_range": 0.1,
    },
}

CLASS_NAMES = {
    "bert": ("BertConfig", "BertForSequenceClassification"),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "llama-outliers": ("LlamaConfig", "LlamaForCausalLM"),
    "mistral": ("MistralConfig", "MistralForCausalLM"),
    "vit": ("ViTConfig", "ViTForImageClassification"),
}

TASKS = {
    "bert": "languages",
    "vit": "fashion",
    "encoder": "fashion",
    "supernet": "fashion",
    "gpt2": "prose",
    "llama": "prose",
    "llama-outliers": "prose",
    "mistral": "prose",
}
