"""Text goes in as VARCHAR: tokens, pooling and probabilities are the model's own business, on every engine."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

import sqlinfer
from sqlinfer.errors import FeatureError, InvalidModel, MissingExtra, RegistryError

WIDTH, POSITIONS = 8, 40
SENTENCES = [
    "the cat sat on the mat",
    "a dog runs in the park, and the cat follows",
    "stock markets fell sharply on Monday",
    "",
    "Würde sie 1,5 Millionen € kosten? 机器学习 🙂",
    "word " * 100,
]


def tiny_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    return tokenizer


def tiny_encoder(
    *,
    masked=True,
    quantized=False,
    logits=0,
    length="tokens",
    dtype=TensorProto.INT64,
    opset=17,
    table="position_embeddings",
):
    """One layer of attention over random embeddings. Without ``masked`` padding leaks into the answers; ``quantized``
    scales by the largest value of the whole batch, as dynamic int8 does; ``logits`` adds a classifier's head."""
    random = np.random.default_rng(0)
    nodes, weights = [], []

    def weight(name, array):
        weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(kind, *inputs, out, **attributes):
        nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def dense(name, *shape):
        return weight(name, random.normal(0, 0.7, shape).astype(np.float32))

    op("Shape", "input_ids", out="size")
    op("Gather", "size", weight("one", np.int64(1)), out="count")
    op("Range", weight("zero", np.int64(0)), "count", "one", out="places")
    op("Gather", dense(table, POSITIONS, WIDTH), "places", out="place")
    op("Gather", dense("words", 300, WIDTH), "input_ids", out="word")
    op("Gather", dense("types", 2, WIDTH), "token_type_ids", out="type")
    x = op("Add", op("Add", "word", "place", out="sum"), "type", out="x")
    if quantized:
        op("ReduceMax", op("Abs", x, out="size_of_x"), out="largest", keepdims=0)
        x = op(
            "Round", op("Div", op("Mul", x, weight("levels", np.float32(20)), out="x20"), "largest", out="x1"), out="xq"
        )
    op("MatMul", x, op("Transpose", x, out="xt", perm=[0, 2, 1]), out="scores")
    op("Cast", "attention_mask", out="mask", to=TensorProto.FLOAT)
    op("Sub", "mask", weight("unit", np.float32(1)), out="absent")
    op("Mul", "absent", weight("far", np.float32(1e9 if masked else 0)), out="away")
    op("Reshape", "away", weight("to", np.array([0, 1, -1])), out="bias")
    op("Softmax", op("Add", "scores", "bias", out="biased"), out="attention", axis=-1)
    hidden = op(
        "MatMul", op("MatMul", "attention", x, out="mixed"), dense("out", WIDTH, WIDTH), out="last_hidden_state"
    )
    output = helper.make_tensor_value_info(hidden, TensorProto.FLOAT, ["batch", length, WIDTH])
    if logits:
        op("Gather", hidden, weight("first", np.int64(0)), out="cls", axis=1)
        op("MatMul", "cls", dense("classes", WIDTH, logits), out="logits")
        output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", logits])
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, dtype, ["batch", length]) for name in names]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


class Folder:
    """A model and its tokenizer as files, and what they answer one text at a time."""

    def __init__(self, path, **how):
        self.path = path
        self.model = path / "model.onnx"
        self.tokenizer = path / "tokenizer.json"
        onnx.save(tiny_encoder(**how), self.model)
        tiny_tokenizer().save(str(self.tokenizer))
        self._reader = Tokenizer.from_file(str(self.tokenizer))
        self._reader.no_padding()
        self._session = ort.InferenceSession(self.model)

    def with_graph(self, name):
        self._session = ort.InferenceSession(self.path / name)
        return self

    def raw(self, text, most=POSITIONS):
        """The graph's answer: [tokens, WIDTH], or logits."""
        self._reader.enable_truncation(most)
        ids = np.array([self._reader.encode(text).ids])
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return self._session.run(None, feeds)[0][0]

    def write(self, name, fields):
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_text(json.dumps(fields))


@pytest.fixture
def folder(tmp_path):
    return lambda **how: Folder(tmp_path, **how)


@pytest.fixture
def connected(tmp_path, engine):
    """``connected(model, …)``: register as m; the model and a connection with the table texts(id, review)."""
    opened = []

    def connect(model, texts=SENTENCES, **options):
        registry = sqlinfer.Registry(tmp_path / "registry")
        stored = sqlinfer.register("m", model, registry=registry, **options)
        con = sqlinfer.connect(registry=registry, engine=engine)
        opened.append(con)
        con.execute(
            "CREATE TABLE texts AS SELECT * FROM (SELECT unnest($1) AS id, unnest($2) AS review)",
            [list(range(len(texts))), list(texts)],
        )
        return stored, con

    yield connect
    for con in opened:
        con.close()


def vectors(con, sql="SELECT predict('m', review) FROM texts ORDER BY id"):
    return [None if row is None else np.array(row) for (row,) in con.execute(sql).fetchall()]


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_a_text_becomes_the_mean_of_its_tokens(folder, connected):
    files = folder()
    stored, con = connected(files.model, [*SENTENCES, None, SENTENCES[0]], tokenizer=files.tokenizer, pool="mean")
    assert repr(stored) == f"<sqlinfer.Model m/1 predict(text VARCHAR) → FLOAT[{WIDTH}]>"
    *given, null, again = vectors(con)
    for vector, text in zip(given, SENTENCES, strict=True):
        np.testing.assert_allclose(vector, files.raw(text).mean(axis=0), rtol=1e-5, atol=1e-6)
    assert null is None
    assert (again == given[0]).all()


@pytest.mark.parametrize("opset", [11, 12, 17])
def test_first_token_and_length_one(folder, connected, opset):
    files = folder(opset=opset)
    _, con = connected(files.model, tokenizer=files.tokenizer, pool="cls", normalize=True)
    for vector, text in zip(vectors(con), SENTENCES, strict=True):
        np.testing.assert_allclose(vector, unit(files.raw(text)[0]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_a_text_without_tokens_has_the_vector_0(tmp_path, connected, onnx_file, pool):
    """As with sentence-transformers; the texts beside it have theirs."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    graph = "(int64[n, len] input_ids) => (float[n, len, 2] last_hidden_state)"
    graph += " <float[2] w = {1, 10}, int64[1] two = {2}>"
    graph += " { f = Cast<to=1>(input_ids) u = Unsqueeze(f, two) last_hidden_state = Mul(u, w) }"
    _, con = connected(onnx_file(graph), ["b a", "", " ", None], tokenizer=tmp_path / "tokenizer.json", pool=pool)
    first = [2, 20] if pool == "cls" else [1.5, 15]
    found = vectors(con)
    assert [vector.tolist() for vector in found[:3]] == [first, [0, 0], [0, 0]] and found[3] is None


def test_tokens_can_be_kept(folder, connected):
    files = folder()
    stored, con = connected(files.model, tokenizer=files.tokenizer, pool="none")
    assert stored.manifest.signature.calls["predict"].type == f"FLOAT[{WIDTH}][]"
    for matrix, text in zip(vectors(con), SENTENCES, strict=True):
        np.testing.assert_allclose(matrix, files.raw(text), rtol=1e-5, atol=1e-6)


def many(rows=3000):
    random = np.random.default_rng(3)
    words = [word for sentence in SENTENCES[:3] for word in sentence.split()]
    return [" ".join(random.choice(words, random.integers(0, 60))) for _ in range(rows)]


@pytest.mark.parametrize(
    ("how", "most", "pad"),
    [
        ({}, None, 0),
        ({"masked": False}, None, None),
        ({"quantized": True}, 1, None),
        ({"dtype": TensorProto.INT32}, None, 0),
    ],
    ids=["padded", "padding leaks", "neighbours leak", "int32"],
)
def test_many_texts_of_all_lengths_answer_as_if_alone(folder, connected, how, most, pad):
    files = folder(**how)
    texts = many(300 if how.get("quantized") else 3000)
    dtype = np.int32 if "dtype" in how else np.int64
    stored, con = connected(files.model, texts, tokenizer=files.tokenizer, pool="mean")
    assert stored.manifest.signature.batch.most == most
    assert stored.manifest.signature.features[0].prepare.pad == pad
    reader, session = Tokenizer.from_file(str(files.tokenizer)), ort.InferenceSession(files.model)
    reader.no_padding()
    reader.enable_truncation(POSITIONS)
    for i, vector in list(enumerate(vectors(con)))[::37]:
        ids = np.array([reader.encode(texts[i]).ids], dtype)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        np.testing.assert_allclose(vector, session.run(None, feeds)[0][0].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_graph_of_fixed_length_is_padded_to_it(folder, connected):
    files = folder(length=16)
    stored, con = connected(files.model, tokenizer=files.tokenizer, pool="mean")
    assert stored.manifest.signature.features[0].prepare.max_length == 16
    onnx.save(tiny_encoder(), files.path / "loose.onnx")
    loose = files.with_graph("loose.onnx")
    for vector, text in zip(vectors(con), SENTENCES, strict=True):
        np.testing.assert_allclose(vector, loose.raw(text, 16).mean(axis=0), rtol=1e-4, atol=1e-6)


def test_texts_are_cut_to_what_is_asked(folder, connected):
    files = folder()
    _, con = connected(files.model, tokenizer=files.tokenizer, pool="mean", max_length=5)
    for vector, text in zip(vectors(con), SENTENCES, strict=True):
        np.testing.assert_allclose(vector, files.raw(text, 5).mean(axis=0), rtol=1e-5, atol=1e-6)


def test_a_limit_that_no_file_mentions_is_asked_for(folder, tmp_path):
    files = folder(table="places_of_tokens")
    with pytest.raises(InvalidModel, match=r"does not run on a text of \d+ tokens; cut texts .* --max-length"):
        sqlinfer.register("m", files.model, tokenizer=files.tokenizer, pool="mean", registry=tmp_path / "r")
    stored = sqlinfer.register(
        "m", files.model, tokenizer=files.tokenizer, pool="mean", max_length=POSITIONS, registry=tmp_path / "r"
    )
    assert stored.manifest.signature.features[0].prepare.max_length == POSITIONS


def test_a_folder_says_what_its_classifier_answers(folder, connected):
    files = folder(logits=3)
    labels = {"0": "negative", "1": "neutral", "2": "positive"}
    files.write("config.json", {"architectures": ["BertForSequenceClassification"], "id2label": labels})
    files.write("tokenizer_config.json", {"model_max_length": 12})
    stored, con = connected(files.path)
    assert stored.manifest.task == "classification"
    rows = con.execute("SELECT review, predict('m', review), predict_proba('m', review) FROM texts").fetchall()
    for text, label, scores in rows:
        odds = np.exp(files.raw(text, 12))
        np.testing.assert_allclose(list(scores.values()), odds / odds.sum(), rtol=1e-4)
        assert list(scores) == list(labels.values())
        assert label == max(scores, key=scores.get)


def test_a_regression_of_several_numbers_has_no_classes(folder, connected):
    files = folder(logits=2)
    named = {"architectures": ["TinyForSequenceClassification"], "id2label": {"0": "x", "1": "y"}}
    files.write("config.json", {**named, "problem_type": "regression"})
    stored, con = connected(files.path)
    assert "predict_proba" not in stored.manifest.signature.calls
    for vector, text in zip(vectors(con), SENTENCES, strict=True):
        np.testing.assert_allclose(vector, files.raw(text), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ({"sentence_roberta_config.json": {"max_seq_length": 5}}, 5),
        (
            {"sentence_bert_config.json": {"max_seq_length": 7}, "sentence_roberta_config.json": {"max_seq_length": 5}},
            7,
        ),
        ({"config.json": {"max_position_embeddings": 6}, "tokenizer_config.json": {"model_max_length": 11}}, 6),
        ({"config.json": {"max_position_embeddings": 9}, "tokenizer_config.json": {"model_max_length": 4}}, 4),
        ({"config.json": {"max_position_embeddings": 9}, "sentence_bert_config.json": {"max_seq_length": 10}}, 10),
    ],
)
def test_the_limit_of_a_folder_of_sentence_transformers(folder, tmp_path, said, most):
    files = folder()
    files.write("modules.json", MODULES[:2])
    files.write("1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    for name, fields in said.items():
        files.write(name, fields)
    stored = sqlinfer.register("m", files.path, registry=tmp_path / "r")
    assert stored.manifest.signature.features[0].prepare.max_length == most


def test_a_folder_of_sentence_transformers_needs_nothing_else(folder, connected):
    files = folder()
    files.write("1_Pooling/config.json", {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    files.write("modules.json", [{"type": "sentence_transformers.models.Normalize"}])
    files.write("sentence_bert_config.json", {"max_seq_length": 6})
    _, con = connected(files.path)
    for vector, text in zip(vectors(con), SENTENCES, strict=True):
        np.testing.assert_allclose(vector, unit(files.raw(text, 6).mean(axis=0)), rtol=1e-4, atol=1e-6)


def tensors(path, **arrays):
    """The format of safetensors: the length of a header, the header, the values."""
    header, values = {}, b""
    for name, array in arrays.items():
        field = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(values), len(values) + array.nbytes]}
        header[name.replace("_", ".")] = field
        values += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)


NEWER = "sentence_transformers.sentence_transformer.modules"
MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": f"{NEWER}.pooling.Pooling"},
    {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    {"path": "3_Dense", "type": "sentence_transformers.base.modules.dense.Dense"},
    {"path": "4_Normalize", "type": "sentence_transformers.models.Normalize"},
]
CASED = str.maketrans("dtc", "DTC")


@pytest.mark.parametrize(
    ("activation", "bias", "does"),
    [("activation.Tanh", True, np.tanh), ("linear.Identity", False, lambda values: values),
     ("activation.ReLU", True, lambda values: np.maximum(values, 0))],
)  # fmt: skip
def test_layers_behind_the_pooling_are_those_of_the_folder(folder, connected, activation, bias, does):
    files = folder()
    width = len(files.raw("a dog")[0])
    random = np.random.default_rng(3)
    weight, more = random.normal(size=(5, width)).astype(np.float32), random.normal(size=5).astype(np.float32)
    files.write("modules.json", MODULES)
    files.write("1_Pooling/config.json", {"pooling_mode": "cls", "embedding_dimension": width})
    usual = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    files.write("sentence_bert_config.json", {"transformer_task": "feature-extraction", "query_length": None})
    files.write("4_Normalize/config.json", usual)
    said = {"in_features": width, "out_features": 5, "bias": bias, **usual}
    files.write("3_Dense/config.json", {**said, "activation_function": f"torch.nn.modules.{activation}"})
    given = {"linear_weight": weight, "linear_bias": more} if bias else {"linear_weight": weight}
    tensors(files.path / "3_Dense/model.safetensors", **given)
    _, con = connected(files.path)
    for vector, text in zip(vectors(con), SENTENCES, strict=True):
        expected = unit(does(weight @ unit(files.raw(text)[0]) + more * bias))
        np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("modules.json", [*MODULES[:2], {"type": f"{NEWER}.layer_norm.LayerNorm"}], "the module .*LayerNorm"),
        ("modules.json", [*MODULES[:2], {"type": "my_code.Dense"}], "the module my_code.Dense"),
        ("modules.json", [MODULES[0], MODULES[2], MODULES[1]], "Pooling behind other modules"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode max"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]}, "pooling_mode cls and mean"),
        ("1_Pooling/config.json", {"pooling_mode_weightedmean_tokens": True}, "pooling_mode weightedmean"),
        ("1_Pooling/config.json", {"pooling_mode": "mean", "scaled": 2}, "scaled is 2"),
        ("sentence_bert_config.json", {"query_expansion": True}, "query_expansion is True"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task is 'fill-mask'"),
        ("config_sentence_transformers.json", {"prompts": {"q": "query: "}, "default_prompt_name": "q"},
         "default_prompt_name 'q', which puts 'query: ' before each text"),
        ("config_sentence_transformers.json", {"truncate_dim": 8}, "truncate_dim is 8"),
        ("3_Dense/config.json", {"activation_function": "torch.nn.modules.activation.GELU"}, "function .*GELU"),
        ("2_Normalize/config.json", {"module_input_name": "token_embeddings"}, "module_input_name is 'token_emb"),
        ("3_Dense/config.json", {"use_residual": True}, "use_residual is True"),
        ("3_Dense/config.json", {"in_features": 2, "out_features": 1}, "model.safetensors, the weights of a Dense"),
        ("tokenizer_config.json", {"do_lower_case": "x"}, "do_lower_case is 'x' in tokenizer_config.json"),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizerFast"},
         "do_lower_case is True by default of the tokenizer_class"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"9": {"content": "zzz"}}},
         "the token 'zzz' of added_tokens_decoder"),
        ("config.json", {"model_type": "bert"}, "do_lower_case is True by default of the tokenizer_class"),
        ("tokenizer_config.json", {"add_special_tokens": False}, "add_special_tokens is False"),
        ("tokenizer_config.json", {"split_special_tokens": True}, "split_special_tokens is true"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["own.Own", None]}}, "code of its own"),
        ("tokenizer_config.json", {"tokenizer_class": "NllbTokenizerFast"}, "tokenizer_class NllbTokenizer changes"),
        ("tokenizer_config.json", {"additional_special_tokens": ["<e>"]},
         "the token '<e>' .additional_special_tokens. of tokenizer_config.json is not among"),
        ("tokenizer_config.json", {"cls_token": {"content": "<e>"}}, "the token '<e>' .cls_token."),
        ("special_tokens_map.json", {"unk_token": "<e>"}, "the token '<e>' .unk_token. of special_tokens_map.json"),
        ("added_tokens.json", {"<e>": 300}, "the token '<e>' .* of added_tokens.json"),
        ("tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer"}, "is given '<s> the text' by .* 'the text' by"),
        ("tokenizer_config.json", {"tokenizer_class": "GPTNeoXTokenizer", "add_eos_token": True, "eos_token": "[SEP]"},
         "is given 'the text .SEP.' by"),
        ("sentence_bert_config.json", {"tokenizer_args": {"add_prefix_space": True}},
         "tokenizer_args with add_prefix_space"),
        ("sentence_bert_config.json", {"processor_kwargs": {"model_max_length": 6, "use_fast": True}},
         "processor_kwargs with model_max_length"),
    ],
)  # fmt: skip
def test_what_a_folder_of_sentence_transformers_does_besides_is_refused(folder, tmp_path, file, content, says):
    files = folder()
    spelled = json.loads((files.path / "tokenizer.json").read_text())
    files.write("tokenizer.json", {**spelled, "normalizer": {"type": "BertNormalizer", "lowercase": False}})
    files.write("modules.json", MODULES if "Dense" in file else MODULES[:3])
    files.write("1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    files.write(file, content)
    with pytest.raises(InvalidModel, match=says):
        sqlinfer.register("m", files.path, registry=tmp_path / "r")


@pytest.mark.parametrize(
    ("inside", "config", "says"),
    [
        (False, {"add_prefix_space": True}, "add_prefix_space is True in tokenizer_config.json"),
        (True, {"model_max_length": 8}, "add_prefix_space is False by default of the tokenizer_class"),
        (True, {"add_prefix_space": True}, None),
        (False, {}, None),
    ],
)
def test_a_space_before_a_text_is_said_alike(folder, tmp_path, inside, config, says):
    """Where they differ, transformers has another tokenizer than the programs that read tokenizer.json."""
    files = folder()
    spelled = json.loads((files.path / "tokenizer.json").read_text())
    bytes_ = {"type": "ByteLevel", "add_prefix_space": inside, "trim_offsets": True, "use_regex": True}
    files.write("tokenizer.json", {**spelled, "pre_tokenizer": bytes_})
    files.write("tokenizer_config.json", config)
    if says is None:
        sqlinfer.register("m", files.path, registry=tmp_path / "r", pool="mean")
        return
    with pytest.raises(InvalidModel, match=says):
        sqlinfer.register("m", files.path, registry=tmp_path / "r", pool="mean")


def test_texts_are_made_lower_case_and_cut_as_the_folder_says(folder, connected):
    files = folder()
    files.write("1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    files.write("sentence_bert_config.json", {"max_seq_length": 6, "do_lower_case": True})
    files.write("tokenizer_config.json", {"truncation_side": "left"})
    spelled = json.loads((files.path / "tokenizer.json").read_text())
    files.write("tokenizer.json", {**spelled, "normalizer": None})
    upper = [text.translate(CASED) for text in SENTENCES]
    _, con = connected(files.path, upper)
    kept = Tokenizer.from_file(str(files.path / "tokenizer.json"))
    kept.enable_truncation(6, direction="left")
    kept.no_padding()
    session = ort.InferenceSession(files.model)
    for vector, text in zip(vectors(con), upper, strict=True):
        ids = np.array([kept.encode(text.lower()).ids])
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        feeds = {name.name: feeds[name.name] for name in session.get_inputs()}
        np.testing.assert_allclose(vector, session.run(None, feeds)[0][0].mean(axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "padding", "says"),
    [
        ({"padding_side": "left"}, None, r"padded on the left \(padding_side\) to the 8 tokens"),
        ({}, {"direction": "Left", "pad_type_id": 0}, "padded on the left"),
        (
            {"padding_side": "left"},
            {"direction": "Right", "pad_type_id": 2},
            r"left .* and with the token type 2 \(pad_",
        ),
        ({"padding_side": "right"}, {"direction": "Left", "pad_type_id": 0}, None),
    ],
)
def test_short_texts_are_filled_up_as_usual_or_not_at_all(tmp_path, onnx_file, engine, config, padding, says):
    """In a graph that takes so many tokens, the place of each counts."""
    takes = "int64[N, 8] input_ids, int64[N, 8] token_type_ids"
    path = onnx_file(f"({takes}) => (int64[N, 8] y) {{ y = Add(input_ids, token_type_ids) }}")
    usual = {"strategy": {"Fixed": 8}, "pad_to_multiple_of": None, "pad_id": 0, "pad_token": "[PAD]"}
    model = {"type": "WordLevel", "vocab": {"[PAD]": 0, "a": 1, "b": 2}, "unk_token": "[PAD]"}
    given = None if padding is None else {**usual, **padding}
    fields = {"version": "1.0", "pre_tokenizer": {"type": "Whitespace"}, "model": model, "padding": given}
    (tmp_path / "tokenizer.json").write_text(json.dumps({**fields, "added_tokens": []}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    if says is not None:
        with pytest.raises(InvalidModel, match=says):
            sqlinfer.register("m", path.parent, registry=tmp_path / "r", pool="none")
        return
    sqlinfer.register("m", path.parent, registry=tmp_path / "r", pool="none", trials=40)
    with sqlinfer.connect(registry=tmp_path / "r", engine=engine) as con:
        assert con.execute("SELECT predict('m', 'b a b')").fetchall() == [((2, 1, 2, 0, 0, 0, 0, 0),)]


def test_a_limit_that_the_library_does_not_take_is_asked_for(folder, tmp_path):
    """With a tokenizer_config.json, transformers does not cut texts as tokenizer.json says."""
    files = folder()
    spelled = json.loads((files.path / "tokenizer.json").read_text())
    cut = {"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0}
    files.write("tokenizer.json", {**spelled, "truncation": cut})
    files.write("tokenizer_config.json", {"cls_token": "[CLS]"})
    with pytest.raises(InvalidModel, match=r"cuts texts to 6 tokens, and tokenizer_config\.json.* --max-length N"):
        sqlinfer.register("m", files.path, registry=tmp_path / "r", pool="mean")
    given = sqlinfer.register("m", files.path, registry=tmp_path / "r", pool="mean", max_length=7)
    files.write("tokenizer_config.json", {"max_len": 5})
    older = sqlinfer.register("m", files.path, registry=tmp_path / "r", pool="mean")
    assert [one.manifest.signature.features[0].prepare.max_length for one in (given, older)] == [7, 5]


def test_the_side_that_is_cut_is_the_configurations(folder, connected):
    """tokenizer_config.json has the last word, as it has in transformers."""
    files = folder()
    spelled = json.loads((files.path / "tokenizer.json").read_text())
    cut = {"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    files.write("tokenizer.json", {**spelled, "truncation": cut})
    files.write("tokenizer_config.json", {"truncation_side": "right", "model_max_length": 4})
    _, con = connected(files.path, pool="mean")
    kept = Tokenizer.from_file(str(files.path / "tokenizer.json"))
    kept.enable_truncation(4, direction="right")
    kept.no_padding()
    session = ort.InferenceSession(files.model)
    for vector, text in zip(vectors(con), SENTENCES, strict=True):
        ids = np.array([kept.encode(text).ids])
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        feeds = {value.name: feeds[value.name] for value in session.get_inputs()}
        np.testing.assert_allclose(vector, session.run(None, feeds)[0][0].mean(axis=0), rtol=1e-4, atol=1e-6)


def test_labels_from_a_file_and_scores_of_their_own(folder, connected):
    files = folder(logits=2)
    (files.path / "labels.txt").write_text("spam\nurgent\n")
    _, con = connected(files.model, tokenizer=files.tokenizer, labels=files.path / "labels.txt", sigmoid=True)
    for text, scores in con.execute("SELECT review, predict_proba('m', review) FROM texts").fetchall():
        expected = 1 / (1 + np.exp(-files.raw(text)))
        np.testing.assert_allclose([scores["spam"], scores["urgent"]], expected, rtol=1e-4)


def test_enumerations_rows_and_stand_ins(folder, connected):
    files = folder()
    texts = ["a dog", "the cat", None, "a dog"]
    _, con = connected(
        files.model, texts, tokenizer=files.tokenizer, pool="mean", features=["review"], null={"review": "the cat"}
    )
    con.execute("CREATE TYPE phrase AS ENUM ('a dog', 'the cat')")
    dog, cat, null, again = vectors(con)
    assert (null == cat).all()
    assert (again == dog).all()
    for sql in ("predict('m', review::phrase)", "predict('m', texts)", "predict('m', review := review)"):
        for one, other in zip(vectors(con, f"SELECT {sql} FROM texts ORDER BY id"), (dog, cat, cat, dog), strict=True):
            assert (one == other).all()


def test_a_text_beside_other_features(connected, onnx_file, tmp_path):
    """The sum of the tokens' ids, times a price, in groups of equal and of neighbouring lengths."""
    file = onnx_file(
        "(int64[n, t] input_ids, int64[n, t] attention_mask, float[n, 1] price, string[n, 1] city)"
        " => (float[n, 1] score, string[n, 1] place) <int64[1] axis = {1}>"
        " { shown = Mul(input_ids, attention_mask)  total = ReduceSum<keepdims=1>(shown, axis)"
        "   number = Cast<to=1>(total)  score = Mul(number, price)  place = Identity(city) }"
    )
    words = Tokenizer(models.WordLevel({"?": 0, "one": 1, "two": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "words.json"))
    texts = ["one two " * (i % 7) + "two" for i in range(500)]
    _, con = connected(file, texts, tokenizer=tmp_path / "words.json", pool="none")
    rows = con.execute("SELECT id, predict('m', review, id / 10, id::VARCHAR) FROM texts ORDER BY id").fetchall()
    for i, answer in rows:
        assert answer["score"] == pytest.approx((3 * (i % 7) + 2) * i / 10, rel=1e-6)
        assert answer["place"] == str(i)


@pytest.mark.slow
def test_a_filter_keeps_what_it_scored(folder, connected):
    files = folder()
    _, con = connected(files.model, many(5000), tokenizer=files.tokenizer, pool="mean")
    kept = con.execute(
        "SELECT predict('m', review) AS v FROM texts WHERE predict('m', review)[1] > 0 ORDER BY id"
    ).fetchall()
    assert [list(row) for (row,) in kept] == [list(v) for v in vectors(con) if v[0] > 0]


def test_what_could_mean_several_things_is_asked(folder, tmp_path):
    files = folder()
    registry = tmp_path / "registry"
    with pytest.raises(InvalidModel, match=r"a vector for each token \(last_hidden_state of 3 axes\).*--pool mean"):
        sqlinfer.register("m", files.model, tokenizer=files.tokenizer, registry=registry)
    with pytest.raises(InvalidModel, match="is not a tokenizer in Hugging Face's format"):
        sqlinfer.register("m", files.model, tokenizer=files.model, pool="mean", registry=registry)
    with pytest.raises(InvalidModel, match="softmax or sigmoid"):
        sqlinfer.register("m", files.path, pool="mean", softmax=True, sigmoid=True, registry=registry)
    with pytest.raises(TypeError, match="no option 'tokeniser'"):
        sqlinfer.register("m", files.model, tokeniser="x", registry=registry)  # type: ignore[call-arg]
    with pytest.raises(FeatureError, match="2 feature names given for a model of 1 features"):
        sqlinfer.register("m", files.path, pool="none", features=["a", "b"], registry=registry)
    with pytest.raises(FeatureError, match="2 labels are given, and no output has so many scores"):
        sqlinfer.register("m", files.path, pool="mean", labels=["a", "b"], registry=registry)


def test_wrong_types_are_refused(folder, connected):
    files = folder()
    _, con = connected(files.model, tokenizer=files.tokenizer, pool="mean")
    with pytest.raises(FeatureError, match=r"feature 'text' is VARCHAR, but the argument is INTEGER; give the text"):
        con.execute("SELECT predict('m', 3)").fetchall()
    assert len(vectors(con)) == len(SENTENCES)


def test_a_changed_tokenizer_is_noticed(folder, connected, engine):
    files = folder()
    _, con = connected(files.model, tokenizer=files.tokenizer, pool="mean")
    registry = files.path / "registry"
    beside = registry / "models/m/1/tokenizer.json"
    beside.write_text("{}")
    with pytest.raises(RegistryError, match=r"tokenizer\.json"):
        con.execute("SELECT predict('m', 'x')").fetchall()
    with pytest.raises(RegistryError, match=r"tokenizer\.json is not the file that was registered"):
        sqlinfer.verify("m", registry=registry, engine=engine)


@pytest.mark.slow
def test_without_the_package_the_error_says_how_to_get_it(folder, tmp_path, without):
    files = folder()
    without("tokenizers")
    with pytest.raises(MissingExtra, match=r"pip install 'sqlinfer\[text\]'"):
        sqlinfer.register("m", files.model, tokenizer=files.tokenizer, pool="mean", registry=tmp_path / "r")
