"""A student that starts as a part of its teacher (DistilBERT: Sanh et al. 2019, arXiv 1910.01108)."""

from torch import Tensor, nn


def init_from_teacher(state: dict[str, Tensor], layers: list[int], inner: int) -> dict[str, Tensor]:
    """The parameters of a BERT with fewer layers, and fewer inner units in each, taken from a larger one.

    Args:
        state: `state_dict` of the teacher. Keys that hold `.encoder.layer.<i>.` belong to layer i; in a layer
            `intermediate.dense.weight` is (units, width), `intermediate.dense.bias` (units,) and
            `output.dense.weight` (width, units). The attention's `attention.output.dense.weight` is (width, width) and
            is no part of the feed-forward network.
        layers: the teacher's layer that layer 0, 1, ... of the student starts as; in rising order.
        inner: inner units of each layer that stay, 1 to units.

    Returns:
        A dict for `load_state_dict` of the student. Layer j of the student has the tensors of layer `layers[j]`,
        under the number j; tensors outside the layers (embeddings, pooler, classifier) are the teacher's; other
        layers are left out. In each layer the `inner` units with the largest score stay, in their old order. The
        score of a unit is the length (2-norm) of its row in `intermediate.dense.weight` times the length of its
        column in `output.dense.weight`. Every tensor is a copy: training the student leaves the teacher alone.
    """
    ### BEGIN SOLUTION
    made: dict[str, Tensor] = {}
    inside = ".encoder.layer."
    for key, value in state.items():
        if inside not in key:
            made[key] = value.detach().clone()
    for own, taken in enumerate(layers):
        ours = {key: value for key, value in state.items() if f"{inside}{taken}." in key}
        prefix = next(iter(ours)).split(inside)[0] + inside
        start = f"{prefix}{taken}."
        up, down = ours[f"{start}intermediate.dense.weight"], ours[f"{start}output.dense.weight"]
        score = up.norm(dim=1) * down.norm(dim=0)
        kept = score.topk(inner).indices.sort().values
        for key, value in ours.items():
            name = key.removeprefix(start)
            if name.startswith("intermediate.dense."):
                value = value[kept]
            elif name == "output.dense.weight":
                value = value[:, kept]
            made[f"{prefix}{own}.{name}"] = value.detach().clone()
    return made
    ### END SOLUTION


def compression_ratio(teacher: nn.Module, student: nn.Module) -> dict[str, float]:
    """How many times fewer parameters the student has.

    Args:
        teacher: the larger model.
        student: the smaller one.

    Returns:
        "total": the teacher's number of parameters over the student's. A parameter that is used in two places,
        such as an output layer tied to the embedding, is one parameter;
        "without embeddings": the same, without the parameters of every `nn.Embedding` (a tied output layer is
        such a parameter too). Python floats.
    """
    ### BEGIN SOLUTION

    def counts(model: nn.Module) -> tuple[int, int]:
        lookups = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
        everything = list(model.parameters())
        rest = [parameter for parameter in everything if id(parameter) not in lookups]
        return sum(p.numel() for p in everything), sum(p.numel() for p in rest)

    (all_teacher, rest_teacher), (all_student, rest_student) = counts(teacher), counts(student)
    return {"total": all_teacher / all_student, "without embeddings": rest_teacher / rest_student}
    ### END SOLUTION


def distill_config(layers: list[int], *, temperature: float, hidden_weight: float) -> dict:
    """The settings with which `textbrewer.GeneralDistiller` trains such a student.

    Args:
        layers: as of `init_from_teacher`: layer j of the student started as layer `layers[j]` of the teacher.
        temperature: above 0.
        hidden_weight: weight of each pair of hidden states.

    Returns:
        A dict of keyword arguments of `textbrewer.DistillationConfig`: "temperature"; "kd_loss_type", the string
        "ce"; "kd_loss_weight", 1; "hard_label_weight", 0; and "intermediate_matches", a list with one dict for each
        pair of hidden states that are compared: "layer_T" and "layer_S" (indices into `hidden_states`),
        "feature", the string "hidden", "loss", the string "hidden_mse", and "weight".

        The first pair is the embeddings' output, `hidden_states[0]` of both. The next are the outputs of layer j of
        the student and layer `layers[j]` of the teacher, for j = 0, 1, ...; the output of layer i is
        `hidden_states[i + 1]`.
    """
    ### BEGIN SOLUTION
    pairs = [(0, 0)] + [(taken + 1, own + 1) for own, taken in enumerate(layers)]
    return {
        "temperature": temperature,
        "kd_loss_type": "ce",
        "kd_loss_weight": 1,
        "hard_label_weight": 0,
        "intermediate_matches": [
            {
                "layer_T": of_teacher,
                "layer_S": of_student,
                "feature": "hidden",
                "loss": "hidden_mse",
                "weight": hidden_weight,
            }
            for of_teacher, of_student in pairs
        ],
    }
    ### END SOLUTION
