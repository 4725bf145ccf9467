"""By operator, where its results have the rows of a run, or that it computes across them.

The operators are those of https://onnx.ai/onnx/operators/ and of ONNX Runtime's domain com.microsoft.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import onnx

from sqlinfer.graphs.row_places import Lost, Mixed, Node, Order, Rows, seen_inside

__all__ = ["ACROSS_ALL", "MEASURES", "QUIET", "RULES"]

Rule = Callable[[Node], Rows | Sequence[Rows | Order | None]]


def _same(places: Iterable[Rows]) -> Rows:
    """Of values that meet: their rows must be in the same place, or each meets others."""
    found = set(places)
    if len(found) > 1:
        raise Mixed
    return found.pop()


def _broadcast(node: Node) -> Rows:
    """Axes are counted from the last."""
    rank = len(node.shape_out)
    places = [(node.place(i), len(node.shape_in(i))) for i in range(len(node.inputs)) if node.place(i)]
    return _same(place.at(place.axis + rank - own) for place, own in places if place)


def _kept(node: Node) -> Rows:
    return node.only()


def _apart_from(*axes: int) -> Rule:
    """What is computed over these axes of the first input."""

    def rule(node: Node) -> Rows:
        place = node.only()
        rank = len(node.shape_in())
        if place.axis in [axis % rank for axis in axes]:
            raise Mixed
        return place

    return rule


def _over_one(default: int, *, since: int = 0) -> Rule:
    """Over its attribute ``axis``; before the opset ``since`` over that, 1 by default, and all behind it."""

    def rule(node: Node) -> Rows:
        place = node.only()
        older = node.opset < since
        axis = node.axis(1 if older else default)
        if place.axis == axis or (older and place.axis > axis):
            raise Mixed
        return place

    return rule


def _over_the_last(node: Node) -> Rows:
    """Over its attribute ``axis`` and all behind it."""
    place = node.only()
    if place.axis >= node.axis(-1):
        raise Mixed
    return place


def _reduced(node: Node) -> Rows:
    place, rank = node.only(), len(node.shape_in())
    if node.op.startswith("Arg"):
        axes = [node.integer("axis", 0)]
    else:
        axes = node.integers("axes") or node.constant(1) or []
        if not axes and node.integer("noop_with_empty_axes", 0):
            return place
    over = {axis % rank for axis in axes} or set(range(rank))
    if place.axis in over:
        raise Mixed
    gone = 0 if node.integer("keepdims", 1) else sum(axis < place.axis for axis in over)
    return place.at(place.axis - gone)


def _summed_up(node: Node) -> Rows:
    place = node.only()
    if place.axis in [axis % len(node.shape_in()) for axis in node.constant(1) or [0]]:
        raise Mixed
    return place


def _transposed(node: Node) -> Rows:
    place, rank = node.only(), len(node.shape_in())
    order = node.integers("perm") or list(range(rank))[::-1]
    return place.at(order.index(place.axis))


def _reshaped(node: Node) -> Rows:
    """The values stay in their order, in which so many blocks of all rows come one after the other."""
    place, before = node.only(), node.shape_in()
    blocks = math.prod(before[: place.axis]) * place.left
    passed = 1
    for axis, length in enumerate(node.shape_out):
        left = blocks // passed if passed and blocks % passed == 0 else 0
        if left and length and length % (left * node.rows) == 0:
            return place.at(axis, left)
        passed *= length
    raise Lost


def _expanded(node: Node) -> Rows:
    place = node.only()
    return place.at(place.axis + len(node.shape_out) - len(node.shape_in()))


def _tiled(node: Node) -> Rows:
    place = node.only()
    return place.at(place.axis, place.left * (node.shape_out[place.axis] // node.shape_in()[place.axis]))


def _joined(node: Node) -> Rows:
    place = _same(found for i in range(len(node.inputs)) if (found := node.place(i)) is not None)
    if len(node.inputs) > 1 and place.axis == node.axis(0 if node.opset >= 4 else 1):
        raise Mixed
    return place


def _split(node: Node) -> Rows:
    place = node.only()
    if len(node.names) > 1 and place.axis == node.axis(0):
        raise Mixed
    return place


def _sliced(node: Node) -> Rows:
    place = node.only()
    if node.shape_out[place.axis] != node.shape_in()[place.axis]:
        raise Mixed
    steps = node.constant(4) if node.opset >= 10 else None
    if steps is not None:
        axes = node.constant(3) or list(range(len(steps)))
        turned = [axis % len(node.shape_in()) for axis, step in zip(axes, steps, strict=True) if step < 0]
        if place.axis in turned:
            raise Mixed
    return place


def _padded(node: Node) -> Rows:
    place = node.only()
    if node.shape_out[place.axis] != node.shape_in()[place.axis]:
        raise Mixed
    return place


def _gathered(node: Node) -> Rows:
    """From the first input, at the places that the second has."""
    axis = node.axis(0)
    if (order := node.order(1)) is not None:
        return _put_in(order, node.place(0), axis)
    data, where = node.place(0), node.place(1)
    if data is not None and data.axis == axis:
        raise Mixed
    picked = [where.at(where.axis + axis)] if where is not None else []
    if data is not None:
        more = len(node.shape_in(1)) - 1 if data.axis > axis else 0
        picked.append(data.at(data.axis + more))
    return _same(picked)


def _put_in(order: Order, data: Rows | None, axis: int) -> Rows:
    """Rows that are not sorted yet are, and those that are so are as they were."""
    if data is None:
        raise Lost
    if (data.axis, data.left, data.order) != (axis, 1, order.of if order.undone else None):
        raise Mixed
    return Rows(axis, 1, None if order.undone else order.of)


def _largest(node: Node) -> Rows | list[Rows | Order]:
    """All of the rows in order, or some values of each."""
    place = node.only()
    if place.axis != node.axis(-1):
        return place
    if node.shape_out != node.shape_in() or len(node.shape_in()) != 1 or place.order:
        raise Mixed
    return [Rows(0, 1, node.names[0]), Order(node.names[0])]


def _same_order(node: Node) -> Rows | list[Rows | Order]:
    order = node.order(0)
    return _broadcast(node) if order is None else [order]


def _scattered(node: Node) -> Rows | list[Rows | Order]:
    order = node.order(1)
    if order is None:
        return _picked_beside(node)
    if order.undone or node.place(0) is not None or not node.is_range(2):
        raise Lost
    return [Order(order.of, undone=True)]


def _picked_beside(node: Node) -> Rows:
    """Along an axis, each at a place of its own."""
    place = _same(found for i in range(len(node.inputs)) if (found := node.place(i)) is not None)
    if place.axis == node.axis(0):
        raise Mixed
    return place


def _picked_columns(node: Node) -> Rows:
    place = node.only()
    if place.axis == len(node.shape_in()) - 1:
        raise Mixed
    return place


def _one_hot(node: Node) -> Rows:
    place = node.only()
    axis = node.integer("axis", -1) % (len(node.shape_in()) + 1)
    return place.at(place.axis + (place.axis >= axis))


def _contracted(node: Node, given: Mapping[int, str], made: str) -> Rows:
    """Each axis has a letter: those that are not in the result are summed over. ``given``: by input."""
    found = set()
    for i, letters in given.items():
        place = node.place(i)
        if place is not None and letters[place.axis] not in made:
            raise Mixed
        if place is not None:
            found.add((letters[place.axis], place.left, place.order))
    if len(found) != 1 or any(node.place(i) for i in range(len(node.inputs)) if i not in given):
        raise Mixed if len(found) > 1 else Lost
    letter, left, order = found.pop()
    return Rows(made.index(letter), left, order)


def _multiplied(first: int = 0, second: int = 1) -> Rule:
    """As MatMul: [… m, k] by [… k, n]."""

    def rule(node: Node) -> Rows:
        one, other = len(node.shape_in(first)), len(node.shape_in(second))
        depth = max(one, other) - 2
        outer = "ABCDEFGH"[: max(depth, 0)]
        a = f"{outer[max(depth, 0) - max(one - 2, 0) :]}mk" if one > 1 else "k"
        b = f"{outer[max(depth, 0) - max(other - 2, 0) :]}kn" if other > 1 else "k"
        return _contracted(node, {first: a, second: b}, outer + "m" * (one > 1) + "n" * (other > 1))

    return rule


def _gemm(node: Node) -> Rows:
    a = "km" if node.integer("transA", 0) else "mk"
    b = "nk" if node.integer("transB", 0) else "kn"
    given = {0: a, 1: b}
    if len(node.inputs) > 2 and node.inputs[2]:
        given[2] = "mn"[2 - len(node.shape_in(2)) :]
    return _contracted(node, given, "mn")


def _einsum(node: Node) -> Rows:
    equation = node.text("equation").replace(" ", "")
    taken, arrow, made = equation.partition("->")
    if "." in equation or not arrow:
        raise Lost
    return _contracted(node, dict(enumerate(taken.split(","))), made)


def _convolved(node: Node) -> Rows:
    """Of [rows, channels, …], and what is laid out so."""
    place = node.only()
    if place.axis > 1:
        kernel = node.integers("kernel_shape") or list(node.shape_in(1)[2:]) if len(node.inputs) > 1 else []
        if not kernel or kernel[place.axis - 2] != 1:
            raise Mixed
    if place.axis == 1:
        raise Lost
    return place


def _over_space(node: Node) -> Rows:
    """All that is behind [rows, channels]."""
    place = node.only()
    if place.axis > 1:
        raise Mixed
    return place


def _pooled(node: Node) -> Rows:
    place = node.only()
    if place.axis > 1 and (node.integers("kernel_shape") or [])[place.axis - 2 : place.axis - 1] != [1]:
        raise Mixed
    return place


def _normalised_by_batch(node: Node) -> Rows:
    place = node.only()
    if node.integer("training_mode", 0) and place.axis != 1:
        raise Mixed
    return place


def _normalised_over(node: Node) -> Rows:
    place = node.only()
    if place.axis in [axis % len(node.shape_in()) for axis in node.integers("axes") or [0, 2, 3]]:
        raise Mixed
    return place


def _recurrent(node: Node) -> list[Rows | None]:
    """[steps, rows, values], or the rows first; what they begin with is [directions, rows, values], or so."""
    first = node.integer("layout", 0) == 1
    place = node.place()
    if place is None:
        raise Lost
    if place.axis != (0 if first else 1):
        raise Mixed
    beside = {4: place.at(0), 5: place, 6: place}
    if place.left != 1 or any(node.place(i) not in (None, beside.get(i)) for i in range(1, len(node.inputs))):
        raise Lost
    return [place.at(0 if first else 2), place, place]


def _reversed(node: Node) -> Rows:
    place = node.only(1)
    if place.axis == node.integer("time_axis", 0):
        raise Mixed
    return place


def _scanned(node: Node) -> list[Rows | None]:
    """Over the rows, with something that is handed on from each to the next; without it each of them is on its own."""
    scanned = node.integer("num_scan_inputs", 0)
    states = len(node.inputs) - scanned
    axes = node.integers("scan_input_axes") or [0] * scanned
    inside = any(node.known.get(name) for name in seen_inside(node.node))
    if node.opset < 9 or inside or any(node.place(i) is not None for i in range(states)):
        raise Lost
    places = [(node.place(states + i), axis % len(node.shape_in(states + i))) for i, axis in enumerate(axes)]
    if any(place is None or place.axis != axis or place.left != 1 for place, axis in places):
        raise Lost
    if not all(_is_passed_on(node.body("body"), i) for i in range(states)):
        raise Mixed
    made = node.integers("scan_output_axes") or [0] * (len(node.names) - states)
    given = [Rows(axis % len(node.shape(name))) for axis, name in zip(made, node.names[states:], strict=True)]
    return [*[None] * states, *given]


def _is_passed_on(body: onnx.GraphProto, i: int) -> bool:
    """Whether a state is what it was."""
    given, made = body.input[i].name, body.output[i].name
    same = {name for node in body.node if node.op_type == "Identity" and given in node.input for name in node.output}
    return made == given or made in same


def _rows_first(node: Node) -> Rows:
    """Of operators that take and give the rows on the first axis, whatever else."""
    places = [place for i in range(len(node.inputs)) if (place := node.place(i)) is not None]
    if any(place.axis for place in places):
        raise Lost
    return _same(places)


def _unique(node: Node) -> Rows:
    place = node.only()
    if node.integer("axis", place.axis) % len(node.shape_in()) == place.axis:
        raise Mixed
    raise Lost


def _rules(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


# What comes of them has to do with how many rows there are, and not with what is in them.
MEASURES = {"Shape", "Size", "SequenceLength", "EyeLike", "RandomNormalLike", "RandomUniformLike"}
# One scale for all that is in a run.
ACROSS_ALL = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
RULES: dict[str, Rule] = {
    **_rules(
        _broadcast,
        "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast "
        "CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid "
        "HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or Pow PRelu "
        "Reciprocal RegexFullMatch Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt StringConcat "
        "Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor Affine ParametricSoftplus ScaledTanh BiasGelu FastGelu "
        "QuickGelu",
    ),
    **_rules(_kept, "DequantizeLinear Dropout QuantizeLinear Binarizer CategoryMapper Imputer LabelEncoder Scaler"),
    **_rules(_over_one(-1, since=13), "Hardmax LogSoftmax Softmax"),
    **_rules(_over_one(-1), "LpNormalization"),
    **_rules(_over_the_last, "LayerNormalization RMSNormalization SimplifiedLayerNormalization"),
    **_rules(
        _reduced,
        "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
        "ReduceSum ReduceSumSquare",
    ),
    **_rules(_summed_up, "CumSum CumProd"),
    **_rules(_reshaped, "Flatten Reshape Squeeze Unsqueeze"),
    **_rules(_over_space, "GlobalAveragePool GlobalLpPool GlobalMaxPool InstanceNormalization"),
    **_rules(_pooled, "AveragePool LpPool MaxPool"),
    **_rules(_convolved, "Conv ConvInteger ConvTranspose QLinearConv"),
    **_rules(_recurrent, "GRU LSTM RNN"),
    **_rules(_apart_from(-1, -2), "Trilu Det"),
    **_rules(_apart_from(-1), "Normalizer"),
    **_rules(_picked_beside, "GatherElements Scatter"),
    **_rules(
        _rows_first,
        "AffineGrid Attention BiasSplitGelu Col2Im DepthToSpace DictVectorizer EmbedLayerNormalization "
        "FeatureVectorizer FusedConv GridSample GroupNormalization GroupQueryAttention ImageScaler LRN "
        "LinearClassifier LinearRegressor MatMulNBits MultiHeadAttention NhwcConv OneHotEncoder RegexSplit "
        "RotaryEmbedding SVMClassifier SVMRegressor SkipLayerNormalization SkipSimplifiedLayerNormalization "
        "SpaceToDepth StringSplit TfIdfVectorizer Tokenizer TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor",
    ),
    **_rules(_multiplied(), "MatMul MatMulInteger MatMulIntegerToFloat"),
    "ArrayFeatureExtractor": _picked_columns,
    "BatchNormalization": _normalised_by_batch,
    "CenterCropPad": _padded,
    "Cast": _same_order,
    "Concat": _joined,
    "Einsum": _einsum,
    "Expand": _expanded,
    "Gather": _gathered,
    "Gemm": _gemm,
    "MeanVarianceNormalization": _normalised_over,
    "OneHot": _one_hot,
    "Pad": _padded,
    "QLinearMatMul": _multiplied(0, 3),
    "Resize": _padded,
    "ReverseSequence": _reversed,
    "Scan": _scanned,
    "ScatterElements": _scattered,
    "Slice": _sliced,
    "Split": _split,
    "StringNormalizer": _padded,
    "Tile": _tiled,
    "TopK": _largest,
    "Transpose": _transposed,
    "Unique": _unique,
    "Upsample": _padded,
}
# Whatever stands where, these take a row by itself.
QUIET = {name for name, rule in RULES.items() if rule in (_broadcast, _same_order, _kept, _rows_first)} | {"Constant"}
