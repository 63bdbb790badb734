"""Which dimensions of a network's layers must be pruned together."""


def dependency_groups(kinds: dict[str, str], edges: list[tuple[str, str]]) -> list[list[str]]:
    """Group the sides of layers whose channels are the same channels.

    Args:
        kinds: the kind of each layer by name. "linear": a matrix stands between its inputs and outputs, so
            channels can be removed on one side alone. "elementwise": output channel c depends on input
            channel c (norm, activation, addition, and, with whole heads as channels, attention), so both
            sides lose the same channels.
        edges: pairs (from, to): the outputs of `from` are inputs of `to`. A layer may have several edges on
            either side, as an addition has; the order of edges means nothing.

    Returns:
        The groups. A layer has two sides, written "name.in" and "name.out". An edge joins the output side of
        its first layer with the input side of its second; an elementwise layer joins its own two sides; what
        is joined directly or over others is one group. Every side is in exactly one group, also one that
        nothing is joined to. The strings of a group are sorted, and the groups are sorted by their first.
        Raises `ValueError` for an edge whose layer is not in `kinds`, and for another kind.

    Fang et al. 2023, DepGraph: Towards Any Structural Pruning (arXiv 2301.12900), equations 2 and 3: a
    dependency between layers, and one within a layer.
    """
    ### BEGIN SOLUTION
    unknown = {kind for kind in kinds.values() if kind not in ("linear", "elementwise")}
    missing = {name for edge in edges for name in edge if name not in kinds}
    if unknown or missing:
        raise ValueError(f"unknown kinds {sorted(unknown)}, layers without a kind {sorted(missing)}")
    joined = [(f"{first}.out", f"{second}.in") for first, second in edges]
    joined += [(f"{name}.in", f"{name}.out") for name, kind in kinds.items() if kind == "elementwise"]
    group_of = {side: {side} for name in kinds for side in (f"{name}.in", f"{name}.out")}
    for one, other in joined:
        if group_of[one] is not group_of[other]:
            merged = group_of[one] | group_of[other]
            for side in merged:
                group_of[side] = merged
    return sorted(list(group) for group in {tuple(sorted(group)) for group in group_of.values()})
    ### END SOLUTION
