"""What a folder says of its tokenizer beside tokenizer.json: it says the same, or it is refused by name.

transformers lets tokenizer_config.json, and the defaults and habits of the tokenizer's class, change what the other
file says; other programs do not. The reference is transformers 4.57.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlinfer.errors import InvalidModel

__all__ = ["read_object", "require_limit", "require_one_tokenizer"]

_NORMALIZING = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# The families whose classes have these defaults.
_BERTS = {"Bert", "DistilBert", "Electra", "MobileBert", "SqueezeBert", "ConvBert", "Funnel", "LayoutLM", "MPNet"}
_BERTS |= {"LayoutLMv2", "Lxmert", "Splinter"}
_BERTS_OWN = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
# Those that write the template anew: whether they put something before a text by default, and behind it.
_TEMPLATED = {
    **dict.fromkeys(("Llama", "CodeLlama", "Gemma", "Cohere"), (True, False)),
    "GPTNeoX": (False, False),
}
_BOTH = (("add_bos_token", "bos_token", "<s>"), ("add_eos_token", "eos_token", "</s>"))
# Those that put the name of a language before a text, and cut it in a way of their own.
_REFUSED = {"MBart", "MBart50", "Nllb", "SeamlessM4T", "Whisper", "RoFormer"}
# By the model_type of a config.json, for a folder that names no class.
_BY_MODEL = {
    **{name.lower(): name for name in ("Bert", "DistilBert", "Electra", "MobileBert", "SqueezeBert", "ConvBert")},
    **{name.lower(): name for name in ("Funnel", "LayoutLM", "LayoutLMv2", "Lxmert", "MPNet", "Splinter")},
    **{name.lower(): name for name in ("Llama", "Cohere", "MBart", "Whisper", "RoFormer")},
    **dict.fromkeys(("gemma", "gemma2"), "Gemma"),
    "mistral": "Llama",
    "gpt_neox": "GPTNeoX",
    "seamless_m4t": "SeamlessM4T",
}
# How an added token is found in a text.
_MATCHING = ("lstrip", "rstrip", "single_word", "normalized")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_SPECIAL_LISTS = ("additional_special_tokens", "extra_special_tokens")


def require_one_tokenizer(folder: Path) -> None:
    """Raises InvalidModel, with the name of what is said otherwise."""
    config, fields = read_object(folder / "tokenizer_config.json"), read_object(folder / "tokenizer.json")
    model = read_object(folder / "config.json")
    family = str(config.get("tokenizer_class") or model.get("tokenizer_class") or "")
    family = family.removesuffix("Fast").removesuffix("Tokenizer") or _BY_MODEL.get(str(model.get("model_type")), "")
    _require_known(folder, config, family)
    _require_normalizer(folder, config, fields, family)
    name, space = "add_prefix_space", config.get("add_prefix_space", False)
    cut = fields.get("pre_tokenizer") or {}
    if (folder / "tokenizer_config.json").is_file() and name in cut and bool(cut[name]) != bool(space):
        raise _two_ways(folder, name, space, name, cut[name], said=name in config)
    _require_template(folder, config, fields, family)
    _require_tokens(folder, config, fields)


def require_limit(folder: Path) -> None:
    """Of a folder that has none but tokenizer.json's, which is not taken where tokenizer_config.json is there."""
    cut = read_object(folder / "tokenizer.json").get("truncation")
    if cut and (folder / "tokenizer_config.json").is_file():
        raise InvalidModel(
            f"{folder}: tokenizer.json cuts texts to {cut.get('max_length')} tokens, and tokenizer_config.json, which "
            "has the last word, has no model_max_length: say how many the model takes, with --max-length N "
            "(max_length=N)"
        )


def _require_known(folder: Path, config: Mapping[str, Any], family: str) -> None:
    if "AutoTokenizer" in (config.get("auto_map") or {}):
        raise _refused(folder, "auto_map says that its tokenizer is code of its own")
    if "add_special_tokens" in config:
        raise _refused(
            folder, f"add_special_tokens is {config['add_special_tokens']!r}, which no tokenizer takes there"
        )
    if config.get("split_special_tokens"):
        raise _refused(folder, "split_special_tokens is true")
    if family in _REFUSED:
        raise _refused(folder, f"the tokenizer_class {family}Tokenizer changes what tokenizer.json says")


def _require_normalizer(folder: Path, config: Mapping[str, Any], fields: Mapping[str, Any], family: str) -> None:
    normalizer = fields.get("normalizer") or {}
    berts = [n for n in (normalizer, *normalizer.get("normalizers", ())) if n.get("type") == "BertNormalizer"]
    meant = {**(_BERTS_OWN if family in _BERTS else {}), **config}
    for name, field in _NORMALIZING.items():
        if berts and name in meant and meant[name] != berts[0].get(field):
            raise _two_ways(folder, name, meant[name], field, berts[0].get(field), said=name in config)


def _require_template(folder: Path, config: Mapping[str, Any], fields: Mapping[str, Any], family: str) -> None:
    if family not in _TEMPLATED:
        return
    meant: list[str | None] = [None]
    for (adds, token, usual), default in zip(_BOTH, _TEMPLATED[family], strict=True):
        added = [_text(config.get(token)) or usual] if config.get(adds, default) else []
        meant = [*added, *meant] if adds == "add_bos_token" else [*meant, *added]
    found = _template(fields.get("post_processor") or {})
    if found != meant:
        shown = [" ".join(one or "the text" for one in parts) for parts in (meant, found)]
        raise InvalidModel(
            f"{folder}: a model is given {shown[0]!r} by add_bos_token and add_eos_token, or by their default in the "
            f"tokenizer_class, and {shown[1]!r} by the post_processor of tokenizer.json: make both say the same"
        )


def _template(processor: Mapping[str, Any]) -> list[str | None]:
    """What stands before one text and behind it, which is None."""
    parts = [processor, *processor.get("processors", ())]
    single: list[dict[str, Any]] = next(
        (part["single"] for part in parts if part.get("type") == "TemplateProcessing"), []
    )
    found = [one["SpecialToken"]["id"] if "SpecialToken" in one else None for one in single]
    return found or [None]


def _require_tokens(folder: Path, config: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """What is not among the added tokens is added to them when the library loads the folder."""
    added = {token.get("content"): token for token in fields.get("added_tokens", ())}
    decoder = config.get("added_tokens_decoder") or {}
    for token in decoder.values():
        known = added.get(token.get("content"))
        if known is None or any(known.get(key) != token[key] for key in _MATCHING if key in token):
            raise InvalidModel(
                f"{folder}: the token {token.get('content')!r} of added_tokens_decoder in tokenizer_config.json is not "
                "among the added_tokens of tokenizer.json, or not with the same properties: save the tokenizer anew, "
                "so that both say the same"
            )
    said = [("tokenizer_config.json", name, token) for name, token in _special(config)]
    if not decoder:  # older folders
        file = "special_tokens_map.json"
        said += [(file, name, token) for name, token in _special(read_object(folder / file))]
        said += [("added_tokens.json", token, token) for token in read_object(folder / "added_tokens.json")]
    for file, name, token in said:
        if token and token not in added:
            raise InvalidModel(
                f"{folder}: the token {token!r} ({name}) of {file} is not among the added_tokens of tokenizer.json, "
                "and transformers adds it: save the tokenizer anew, so that both say the same"
            )


def _special(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _SPECIAL:
        yield name, _text(config.get(name))
    for name in _SPECIAL_LISTS:
        tokens = config.get(name) or ()
        yield from ((name, _text(token)) for token in (tokens.values() if isinstance(tokens, dict) else tokens))


def _text(token: Any) -> str:
    """Of a token, which may be written with its properties."""
    return str((token.get("content") if isinstance(token, dict) else token) or "")


def _two_ways(folder: Path, name: str, value: object, field: str, other: object, *, said: bool) -> InvalidModel:
    where = "in tokenizer_config.json" if said else "by default of the tokenizer_class in tokenizer_config.json"
    return InvalidModel(
        f"{folder}: {name} is {value!r} {where}, and {field} is {other!r} in tokenizer.json: make both say the same"
    )


def _refused(folder: Path, what: str) -> InvalidModel:
    return InvalidModel(
        f"{folder}: {what} (tokenizer_config.json), which is not known here; give the path of the .onnx file, with "
        "--tokenizer tokenizer.json (tokenizer=…), if that alone makes the tokens"
    )


def read_object(path: Path) -> Any:
    """What a JSON file holds; nothing where there is no file. Raises InvalidModel."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidModel(f"{path} cannot be read: {error}") from error
