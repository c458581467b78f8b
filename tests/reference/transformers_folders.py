"""Model folders as `transformers` saves them and opens them, and what it computes with them.

  python transformers_folders.py make DIR     # DIR/NAME and DIR/NAME.ids for each case below
  python transformers_folders.py check DIR    # DIR/NAME.dump is from vlm-train dump --grads
  python transformers_folders.py load DIR     # the same of folders of ours, which must open with nothing left over

Prints "NAME: ok", or a line for each number that is further away than it may be; then the exit status is 1.
"""

import json
import logging
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel,
                          LlamaConfig, LlamaForCausalLM)

LOGITS, GRADS = 1e-4, 1e-3  # largest difference beside the largest number of a tensor


def gpt2(**more):
    keys = dict(n_layer=2, n_embd=24, n_head=4, vocab_size=61, n_positions=32, attn_pdrop=0, resid_pdrop=0,
                embd_pdrop=0, bos_token_id=0, eos_token_id=0, initializer_range=0.3)
    keys.update(more)
    return GPT2LMHeadModel(GPT2Config(**keys))


def llama(**more):
    keys = dict(num_hidden_layers=2, hidden_size=24, num_attention_heads=4, vocab_size=61, intermediate_size=40,
                max_position_embeddings=32, bos_token_id=0, eos_token_id=0, initializer_range=0.3)
    keys.update(more)
    return LlamaForCausalLM(LlamaConfig(**keys))


CASES = {
    "gpt2": lambda: gpt2(),
    "gpt2_odd": lambda: gpt2(n_embd=33, n_head=3, n_layer=3, vocab_size=53, n_positions=19),
    "gpt2_head_1": lambda: gpt2(n_embd=7, n_head=7),
    "gpt2_inner": lambda: gpt2(n_inner=37, activation_function="relu"),
    "gpt2_untied": lambda: gpt2(tie_word_embeddings=False, activation_function="gelu"),
    "gpt2_epsilon": lambda: gpt2(layer_norm_epsilon=0.03, activation_function="silu"),
    "gpt2_bare": lambda: gpt2(),
    "llama": lambda: llama(),
    "llama_grouped": lambda: llama(num_key_value_heads=2, rms_norm_eps=1e-5),
    "llama_one_key_head": lambda: llama(num_key_value_heads=1, head_dim=10),
    "llama_wide_heads": lambda: llama(head_dim=16, num_key_value_heads=2),
    "llama_tied": lambda: llama(tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
    "llama_attention_bias": lambda: llama(attention_bias=True, num_key_value_heads=2),
    "llama_mlp_bias": lambda: llama(mlp_bias=True),
    "llama_all_biases": lambda: llama(attention_bias=True, mlp_bias=True, hidden_size=30, num_attention_heads=5, intermediate_size=31),
    "llama_old_keys": lambda: llama(rope_parameters={"rope_type": "default", "rope_theta": 77.0}),
    "llama_shards": lambda: llama(num_hidden_layers=3, num_key_value_heads=2).to(torch.bfloat16),
    "gpt2_half": lambda: gpt2().to(torch.float16),
}


def randomize(model):
    """Biases and norms begin as 0 and 1, which would hide one that is left out."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p += 0.2 * torch.randn(p.shape, dtype=torch.float32).to(p.dtype)


def edit_config(path, edit):
    with open(path) as file:
        config = json.load(file)
    edit(config)
    with open(path, "w") as file:
        json.dump(config, file)


def old_keys(config):
    """As transformers 4 spelled them."""
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    del config["head_dim"]
    del config["tie_word_embeddings"]


def make(folder):
    for name, case in CASES.items():
        torch.manual_seed(7)
        model = case()
        randomize(model)
        path = os.path.join(folder, name)
        model.save_pretrained(path, max_shard_size="12KB" if "shards" in name else "1GB")
        if name == "llama_old_keys":
            edit_config(os.path.join(path, "config.json"), old_keys)
        if name == "gpt2_bare":  # as OpenAI's file: no prefix, the masks, the tied head
            weights = {k.removeprefix("transformer."): v for k, v in load_file(path + "/model.safetensors").items()}
            weights["lm_head.weight"] = weights["wte.weight"].clone()
            for i in range(model.config.n_layer):
                weights[f"h.{i}.attn.bias"] = torch.tril(torch.ones(1, 1, 32, 32))
                weights[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
            save_file(weights, path + "/model.safetensors", {"format": "pt"})
        size = model.config.max_position_embeddings
        generator = torch.Generator().manual_seed(1)
        with open(path + ".ids", "w") as file:
            for n in (1, 2, 5, size):
                ids = torch.randint(0, model.config.vocab_size, (n,), generator=generator)
                print(*ids.tolist(), file=file)


class Report:
    def __init__(self):
        self.name, self.failed, self.bad = "", False, []

    def begin(self, name):
        self.name, self.bad = name, []

    def end(self):
        print(f"{self.name}: {'; '.join(self.bad[:5]) or 'ok'}")
        self.failed |= bool(self.bad)

    def compare(self, what, ours, theirs, limit):
        if ours.shape != theirs.shape:
            self.bad.append(f"{what} has shape {list(ours.shape)}, expected {list(theirs.shape)}")
            return
        off = (ours - theirs).abs().max().item() / max(theirs.abs().max().item(), 1e-6)
        if not off <= limit:
            self.bad.append(f"{what} is {off:.2e} of its largest number away, may be {limit:g}")


def run(report, model, path, rename=lambda name: name):
    """Logits, loss and gradients of the lines of PATH.ids, beside PATH.dump."""
    model.float().eval()
    lines = [[int(word) for word in line.split()] for line in open(path + ".ids")]
    ours = load_file(path + ".dump")
    total, count = 0, sum(len(line) - 1 for line in lines)
    for number, line in enumerate(lines):
        logits = model(torch.tensor([line])).logits[0]
        report.compare(f"logits.{number}", ours.pop(f"logits.{number}"), logits.detach(), LOGITS)
        if len(line) > 1:
            total = total + torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(line[1:]), reduction="sum")
    loss = total / count
    loss.backward()
    report.compare("loss", ours.pop("loss"), loss.detach(), GRADS)
    for name, p in model.named_parameters():
        key = "grad." + rename(name)
        if key in ours:
            report.compare(key, ours.pop(key), p.grad, GRADS)
        else:
            report.bad.append(f"{key} is missing")
    report.bad += [f"{name} is not one of the model" for name in ours]


def check(folder):
    report = Report()
    for name in CASES:
        path = os.path.join(folder, name)
        report.begin(name)
        if name == "gpt2_bare":
            model = gpt2()
            weights = load_file(path + "/model.safetensors")
            model.load_state_dict({"transformer." + key: value for key, value in weights.items()
                                   if not key.endswith((".attn.bias", ".attn.masked_bias", "lm_head.weight"))},
                                  strict=False)
            run(report, model, path, lambda key: key.removeprefix("transformer."))
        else:
            run(report, AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), path)
        report.end()
    return report.failed


def load(folder):
    report = Report()
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not os.path.exists(path + ".dump"):
            continue
        report.begin(name)
        model, info = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
        report.bad += [f"{key}: {info[key]}" for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]]
        with open(path + "/config.json") as file:
            if type(model).__name__ not in json.load(file)["architectures"]:
                report.bad.append(f"is a {type(model).__name__}")
        run(report, model, path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        text = "A photo of a bridge, 3 m wide: caf\u00e9.\n"
        if tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) != text:
            report.bad.append("the tokenizer does not give back its text")
        special = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
        if special != (model.config.pad_token_id, model.config.bos_token_id, model.config.eos_token_id):
            report.bad.append(f"special tokens are {special}")
        report.end()
    return report.failed


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    sys.exit({"make": make, "check": check, "load": load}[sys.argv[1]](sys.argv[2]))
