"""Makes tests/vectors/folder_gpt2 and folder_llama: small models as `transformers` saves them, and what it computes.

  python tests/reference/make_model_folders.py tests/vectors        # transformers 5.24.0, torch 2.13.0

Beside config.json and model.safetensors each has expected.safetensors: ids [T], logits [T, V], loss, and grad.NAME.
"""

import os
import sys

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

MODELS = {
    "folder_gpt2": lambda: GPT2LMHeadModel(GPT2Config(
        n_layer=2, n_embd=9, n_head=3, n_inner=14, vocab_size=19, n_positions=11, attn_pdrop=0, resid_pdrop=0,
        embd_pdrop=0, bos_token_id=0, eos_token_id=0, initializer_range=0.4)),
    "folder_llama": lambda: LlamaForCausalLM(LlamaConfig(
        num_hidden_layers=2, hidden_size=12, num_attention_heads=4, num_key_value_heads=2, head_dim=4,
        intermediate_size=14, vocab_size=19, max_position_embeddings=11, attention_bias=True, bos_token_id=0,
        eos_token_id=0, initializer_range=0.4)),
}

for name, make in MODELS.items():
    torch.manual_seed(3)
    model = make().eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 1:
                p += 0.2 * torch.randn(p.shape)
    path = os.path.join(sys.argv[1], name)
    model.save_pretrained(path)
    os.remove(os.path.join(path, "generation_config.json"))
    ids = torch.randint(0, 19, (11,))
    logits = model(ids[None]).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], ids[1:])
    loss.backward()
    expected = {"ids": ids, "logits": logits.detach().contiguous(), "loss": loss.detach()}
    expected.update({"grad." + key: p.grad for key, p in model.named_parameters()})
    save_file(expected, os.path.join(path, "expected.safetensors"))
