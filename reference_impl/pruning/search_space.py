"""A space of subnets of one network, numbered without gaps."""

import torch


def encode(subnet: dict[str, list[int]], space: dict) -> int:
    """The number of a subnet in its space.

    Args:
        subnet: "heads" and "ffn", two lists with one int for each layer it has: how many of the first
            heads, how many of the first inner channels. A subnet with d layers has the first d layers.
        space: "layers", the most layers (int); "heads" and "ffn", the values a layer may have, each a
            rising list of ints. A subnet has 1 to "layers" layers.

    Returns:
        A Python int from 0 up. A layer is one of C = len(space["heads"]) * len(space["ffn"]) kinds, with
        the number (place of its heads) * len(space["ffn"]) + (place of its ffn), places counted from 0.
        Subnets with fewer layers come first; among those of one depth the kinds of the layers are
        the digits of a number in base C, the first layer's digit the most significant.

        Raises `ValueError` when the lists differ in length, when the depth is not 1 to "layers", or when
        a layer has a value that the space lacks.
    """
    ### BEGIN SOLUTION
    heads, ffn = subnet["heads"], subnet["ffn"]
    if len(heads) != len(ffn) or not 1 <= len(heads) <= space["layers"]:
        raise ValueError(f"{len(heads)} entries of heads and {len(ffn)} of ffn, 1 to {space['layers']} each")
    kinds = len(space["heads"]) * len(space["ffn"])
    number = 0
    for count, inner in zip(heads, ffn, strict=True):
        digit = space["heads"].index(count) * len(space["ffn"]) + space["ffn"].index(inner)
        number = number * kinds + digit
    return number + sum(kinds**depth for depth in range(1, len(heads)))
    ### END SOLUTION


def decode(number: int, space: dict) -> dict[str, list[int]]:
    """The subnet with this number: the inverse of `encode`.

    Args:
        number: an int, from 0 to one less than there are subnets.
        space: as of `encode`.

    Returns:
        The subnet, a dict with the lists "heads" and "ffn". `decode(encode(subnet, space), space)` is
        `subnet`. Raises `ValueError` when there is no subnet with this number.
    """
    ### BEGIN SOLUTION
    kinds = len(space["heads"]) * len(space["ffn"])
    rest, depth = number, 1
    while depth <= space["layers"] and rest >= kinds**depth:
        rest -= kinds**depth
        depth += 1
    if number < 0 or depth > space["layers"]:
        raise ValueError(f"no subnet has the number {number}")
    digits = [rest // kinds**place % kinds for place in reversed(range(depth))]
    inner = len(space["ffn"])
    return {
        "heads": [space["heads"][digit // inner] for digit in digits],
        "ffn": [space["ffn"][digit % inner] for digit in digits],
    }
    ### END SOLUTION


def random_subnet(space: dict, generator: torch.Generator) -> dict[str, list[int]]:
    """A random subnet: first its depth, each equally likely, then heads and ffn of each of its layers.

    A random number instead would almost always mean a subnet of full depth: most subnets are.
    """

    def pick(values: list[int]) -> int:
        return values[int(torch.randint(len(values), (), generator=generator))]

    depth = int(torch.randint(1, space["layers"] + 1, (), generator=generator))
    return {
        "heads": [pick(space["heads"]) for _ in range(depth)],
        "ffn": [pick(space["ffn"]) for _ in range(depth)],
    }
