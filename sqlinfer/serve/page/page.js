// The page of `sqlinfer serve`. All that comes from the registry is put into the document as text, never as HTML.
"use strict";

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const NOT_FINITE = { nan: "NaN", inf: "Infinity", infinity: "Infinity", "-inf": "-Infinity", "-infinity": "-Infinity" };
const TOKEN = "sqlinfer-token";
const MOST_BARS = 12;

const $ = (id) => document.getElementById(id);

/** An element with attributes and children; texts stay texts. */
function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The server

class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response, text;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
    text = await response.text();
  } catch {
    throw new Failed(0, "The server does not answer. Is it still running?");
  }
  if (!response.ok) throw new Failed(response.status, messageOf(text) || `HTTP ${response.status}`);
  return { response, text };
}

function messageOf(text) {
  try {
    const found = JSON.parse(text);
    return String(found.message || found.error || "");
  } catch {
    return text.slice(0, 500);
  }
}

/** JSON as it was written: a number keeps its digits, and NaN and Infinity are read. Objects are lists of pairs, as
 * the order of classes is theirs. */
function parse(text) {
  let place = 0;
  const token = /\s*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|([^\s{}[\],:"]+))/y;
  const next = () => {
    token.lastIndex = place;
    const found = token.exec(text);
    if (!found) throw new Failed(0, "The server's answer is no JSON.");
    place = token.lastIndex;
    return found;
  };
  const peek = () => /\S/.exec(text.slice(place, place + 64))?.[0];
  const value = () => {
    const [, sign, quoted, word] = next();
    if (quoted !== undefined) return JSON.parse(quoted);
    if (word !== undefined) return word === "null" ? null : word === "true" ? true : word === "false" ? false : { number: word };
    const closing = sign === "[" ? "]" : "}";
    const items = [];
    if (peek() === closing) next();
    else {
      do items.push(sign === "[" ? value() : [JSON.parse(next()[2]), (next(), value())]);
      while (next()[1] === ",");
    }
    return sign === "[" ? items : { pairs: items };
  };
  return value();
}

const field = (value, name) => value?.pairs?.find(([key]) => key === name)?.[1];

function textOf(value) {
  if (value === null || value === undefined) return "NULL";
  if (value.number !== undefined) return value.number;
  if (Array.isArray(value)) return `[${value.map(quotedText).join(", ")}]`;
  if (value.pairs) return `{${value.pairs.map(([key, one]) => `${key}: ${quotedText(one)}`).join(", ")}}`;
  return String(value);
}

const quotedText = (value) => (typeof value === "string" ? JSON.stringify(value) : textOf(value));

// The list of models

let overview = { models: [] };

async function start() {
  try {
    overview = JSON.parse((await ask("models")).text);
  } catch (error) {
    if (error.status === 401) return signIn(error);
    return say(error.message, true);
  }
  $("sign-in").hidden = true;
  $("server").textContent = `${overview.sqlinfer} at ${location.host}`;
  $("search").hidden = overview.models.length < 10;
  listModels();
  if (!overview.models.length) return say("No model is registered yet. Register one: sqlinfer register NAME FILE");
  await show();
}

function signIn(error) {
  const had = sessionStorage.getItem(TOKEN) !== null;
  sessionStorage.removeItem(TOKEN);
  $("sign-in").hidden = false;
  say(had ? error.message : "", had);
  $("token").focus();
}

function say(message, isError = false) {
  $("status").textContent = message;
  $("status").className = message ? (isError ? "error" : "note") : "";
}

/** #churn, #churn@champion, #churn/2 → the model and which of its references. */
function chosen() {
  let hash = location.hash.slice(1);
  try {
    hash = decodeURIComponent(hash);
  } catch {
    hash = "";
  }
  const name = hash.split(/[/@]/)[0];
  const model = overview.models.find((one) => one.name === name) ?? overview.models[0];
  const choice = model.choices.find((one) => one.reference === hash) ?? model.choices[0];
  return { model, choice };
}

function listModels() {
  const wanted = $("search").value.trim().toLowerCase();
  const current = overview.models.length ? chosen().model : null;
  const links = overview.models
    .filter((model) => model.name.includes(wanted))
    .map((model) => {
      const [first] = model.choices;
      const versions = new Set(model.choices.map((choice) => choice.version)).size;
      const told = versions > 1 ? `${versions} versions` : first?.version ? `version ${first.version}` : "";
      const attributes = { href: `#${first?.reference ?? model.name}`, "aria-current": model === current ? "page" : null };
      return make("li", {}, make("a", attributes, model.name, make("small", {}, told)));
    });
  $("models").replaceChildren(...links);
}

// One model

let shows = 0;

async function show() {
  const turn = ++shows;
  const { model, choice } = chosen();
  listModels();
  say("");
  if (!choice) return cannotShow(model.name, "No version of it is served.");
  try {
    const told = JSON.parse((await ask(choice.path)).text);
    if (turn !== shows) return;
    document.title = `${told.name} · sqlinfer`;
    $("content").replaceChildren(...pageOf(model, choice, told));
  } catch (error) {
    if (turn !== shows) return;
    if (error.status === 401) return signIn(error);
    cannotShow(choice.reference, error.message);
  }
}

function cannotShow(title, message) {
  $("content").replaceChildren(make("h2", {}, title), make("p", { class: "error", role: "alert" }, message));
}

function pageOf(model, choice, told) {
  const answer = make("section", { class: "card answer", "aria-labelledby": "answer-title" });
  const title = make("h3", { id: "answer-title" }, "Answer");
  const shown = make("div", { id: "answer", "aria-live": "polite" }, make("p", { class: "note" }, "Predict shows it here."));
  const request = make("pre", { id: "curl", tabindex: "0" });
  answer.append(title, shown, copied("The same request", request));
  return [
    make("h2", {}, told.name, ...told.aliases.map((alias) => make("span", { class: "alias" }, `@${alias}`))),
    make("p", { class: "facts" }, factsOf(told)),
    versionsOf(model, choice),
    make("div", { class: "work" }, formOf(choice, told, shown, request), answer),
    tableOf(told),
  ];
}

function factsOf(told) {
  const target = told.target ? `predicts ${told.target}` : null;
  const classes = told.classes.length ? `${told.classes.length} classes` : null;
  const parts = [`version ${told.version}`, told.task, target, classes, told.model, told.framework, told.created];
  return [...parts.filter(Boolean), `sha256 ${told.sha256.slice(0, 12)}…`].join(" · ");
}

function versionsOf(model, choice) {
  const select = make(
    "select",
    { id: "version", onchange: () => (location.hash = select.value) },
    ...model.choices.map((one) => {
      const meaning = one.version && !one.reference.endsWith(`/${one.version}`) ? ` → version ${one.version}` : "";
      return make("option", { value: one.reference, selected: one === choice }, one.reference + meaning);
    }),
  );
  return make("p", { class: "bar-of-versions" }, make("label", { for: "version" }, "Reference"), select);
}

// The form

function formOf(choice, told, shown, request) {
  const fields = told.features.map(fieldOf);
  let example = 0;
  const fill = () => {
    const row = told.examples[example];
    if (row) fields.forEach((one, i) => one.set(row[i]));
    refresh();
  };
  const refresh = () => {
    const row = rowOf(fields);
    request.textContent = row === null ? "One of the values cannot be sent; the form says which." : curlOf(choice, row);
  };
  const submit = make("button", { type: "submit", id: "predict" }, "Predict");
  const another = make("button", { type: "button", id: "another", onclick: () => {
    example = (example + 1) % told.examples.length;
    fill();
  } }, "Another example");
  const form = make("form", { id: "row", novalidate: true, autocomplete: "off", onsubmit: async (event) => {
    event.preventDefault();
    const row = rowOf(fields, true);
    if (row === null) return;
    submit.disabled = true;
    await predict(choice, told, row, shown);
    submit.disabled = false;
    shown.parentElement.scrollIntoView({ block: "nearest" });
  }, oninput: refresh, onchange: refresh }, make("div", { class: "fields" }, ...fields.map((one) => one.element)));
  const note = told.examples.length ? null : make("p", { class: "hint" }, "No rows of its sample were kept: fill in your own.");
  form.append(make("div", { class: "buttons" }, submit, told.examples.length > 1 ? another : null ?? "", note ?? ""));
  fill();
  return make("section", { class: "card", "aria-labelledby": "row-title" }, make("h3", { id: "row-title" }, "A row"), form);
}

/** A labelled control for one feature. `set(text)` fills it, `json()` is its value as JSON, or throws an Error. */
function fieldOf(feature, number) {
  const id = `f${number}`;
  const wrong = make("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const control = controlOf(feature, id);
  control.setAttribute("aria-describedby", `${id}-wrong`);
  const isText = feature.kind === "text" || feature.kind === "long text";
  const isNull = isText ? make("input", { type: "checkbox", id: `${id}-null`, onchange: () => (control.disabled = isNull.checked) }) : null;
  const nulls = isText ? make("label", { class: "is-null", for: `${id}-null` }, isNull, make("span", {}, "NULL"),
    make("span", { hidden: true }, ` for ${feature.name}`)) : null;
  if (isNull) isNull.setAttribute("aria-label", `NULL for ${feature.name}`);
  const seen = feature.seen && feature.kind !== "bytes" ? make("p", { class: "hint" }, `in the sample: ${feature.seen}`) : null;
  const element = make("div", { class: isWide(feature) ? "field wide" : "field" },
    make("label", { for: id }, make("b", {}, feature.name), make("small", { title: feature.type }, feature.type)),
    control, ...datalistOf(feature, id), nulls, seen, wrong);
  const file = feature.kind === "bytes" ? fileOf(feature, control) : null;
  if (file) control.after(file);
  return {
    element,
    control,
    set(text) {
      control.value = text ?? "";
      if (isNull) {
        isNull.checked = text === null;
        control.disabled = text === null;
      }
      tell(control, wrong, "");
    },
    json: () => (isNull?.checked ? "null" : jsonOf(feature, control.value)),
    name: feature.name,
    tell: (message) => tell(control, wrong, message),
  };
}

const isWide = (feature) => ["list", "long text", "bytes"].includes(feature.kind);

function tell(control, place, message) {
  place.textContent = message;
  place.hidden = !message;
  if (message) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}

function controlOf(feature, id) {
  if (feature.kind === "boolean") {
    const option = (value, text) => make("option", { value }, text);
    return make("select", { id }, option("true", "true"), option("false", "false"), option("", "NULL"));
  }
  if (isWide(feature)) return make("textarea", { id, rows: 4, spellcheck: "false", class: "mono" });
  const isNumber = feature.kind === "number" || feature.kind === "integer";
  return make("input", {
    id,
    type: "text",
    spellcheck: "false",
    inputmode: isNumber ? "decimal" : null,
    placeholder: isNumber ? "NULL" : null,
    list: feature.kind === "text" && feature.values.length ? `${id}-values` : null,
  });
}

function datalistOf(feature, id) {
  if (feature.kind !== "text" || !feature.values.length) return [];
  return [make("datalist", { id: `${id}-values` }, ...feature.values.map((value) => make("option", { value })))];
}

function fileOf(feature, control) {
  return make("input", { type: "file", "aria-label": `A file for ${feature.name}`, onchange: async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    const bytes = new Uint8Array(await file.arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
    control.value = btoa(text);
    control.dispatchEvent(new Event("input", { bubbles: true }));
  } });
}

function jsonOf(feature, text) {
  if (feature.kind === "text" || feature.kind === "long text") return JSON.stringify(text);
  const given = text.trim();
  if (given === "" || given.toUpperCase() === "NULL") return "null";
  if (feature.kind === "boolean") return given;
  if (feature.kind === "bytes") return JSON.stringify(given);
  if (feature.kind === "list") return listOf(given);
  if (/^(true|false)$/i.test(given)) return given.toLowerCase();
  if (NOT_FINITE[given.toLowerCase()]) return NOT_FINITE[given.toLowerCase()];
  if (!NUMBER.test(given)) throw new Error(`${feature.type}: a number, or nothing for NULL`);
  return numberOf(given);
}

/** As JSON writes it, with the same digits. */
function numberOf(text) {
  const [, sign, whole, point, digits, exponent] = /^([+-]?)(\d*)(\.?)(\d*)(e[+-]?\d+)?$/i.exec(text);
  const before = (whole || "0").replace(/^0+(?=\d)/, "");
  return `${sign === "-" ? "-" : ""}${before}${point && `.${digits || "0"}`}${exponent ?? ""}`;
}

function listOf(text) {
  try {
    if (!Array.isArray(JSON.parse(text.replace(/\b(NaN|Infinity)\b/g, "0")))) throw new Error();
  } catch {
    throw new Error("a list, as JSON has it: [1, 2, 3]");
  }
  return text.replace(/\s*\n\s*/g, " ");
}

/** The row as JSON; null where a value cannot be sent, which is said beside it if `aloud`. */
function rowOf(fields, aloud = false) {
  const pairs = [];
  let first = null;
  for (const one of fields) {
    try {
      pairs.push(`${JSON.stringify(one.name)}: ${one.json()}`);
      one.tell("");
    } catch (error) {
      if (aloud) one.tell(error.message);
      first ??= one;
    }
  }
  if (first && aloud) first.control.focus();
  return first ? null : `{${pairs.join(", ")}}`;
}

// The answer

const bodyOf = (row) => `{"dataframe_records": [${row}]}`;

function curlOf(choice, row) {
  const url = new URL(`${choice.path}/invocations`, document.baseURI).href;
  const token = sessionStorage.getItem(TOKEN) ? ` \\\n  -H "Authorization: Bearer $TOKEN"` : "";
  const body = bodyOf(row).replaceAll("'", "'\\''");
  return `curl '${url}'${token} \\\n  -H 'Content-Type: application/json' \\\n  -d '${body}'`;
}

async function predict(choice, told, row, shown) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: bodyOf(row) };
  const started = performance.now();
  try {
    const { response, text } = await ask(`${choice.path}/invocations`, options);
    const took = performance.now() - started;
    const version = response.headers.get("X-Model-Version");
    const sha256 = response.headers.get("X-Model-Sha256") ?? "";
    const answer = field(parse(text), "predictions")[0];
    // of the version that has answered, whatever the reference means by now
    const of = `models/${told.name}/versions/${version}/invocations?call=predict_proba`;
    const chances = "predict_proba" in told.calls ? field(parse((await ask(of, options)).text), "predictions")[0] : null;
    shown.replaceChildren(
      ...answerOf(answer),
      ...(chances ? [barsOf(chances, answer)] : []),
      make("p", { class: "note", id: "took" }, `${told.name} version ${version}, sha256 ${sha256.slice(0, 12)}…, in ${took.toFixed(1)} ms`),
    );
  } catch (error) {
    if (error.status === 401) return signIn(error);
    const again = error.status === 429 ? " Press Predict again in a moment." : "";
    shown.replaceChildren(make("p", { class: "error", role: "alert" }, error.message + again));
  }
}

function answerOf(answer) {
  const isLong = answer !== null && typeof answer === "object" && answer.number === undefined;
  return [make("p", { class: isLong ? "result long mono" : "result", id: "result" }, textOf(answer))];
}

function barsOf(chances, answer) {
  const name = answer === null ? null : textOf(answer);
  const sorted = [...chances.pairs].sort(([, a], [, b]) => Number(b?.number ?? -1) - Number(a?.number ?? -1));
  const rows = sorted.slice(0, MOST_BARS).map(([label, chance]) => {
    const share = Math.min(1, Math.max(0, Number(chance?.number) || 0));
    const bar = make("div");
    bar.style.width = `${share * 100}%`;
    const shown = chance === null ? "NULL" : Number(chance.number).toFixed(4);
    return make("tr", { class: label === name ? "chosen" : null }, make("th", { scope: "row" }, label),
      make("td", { "aria-hidden": "true" }, make("div", { class: "track" }, bar)), make("td", { title: textOf(chance) }, shown));
  });
  const head = make("tr", {}, make("th", { scope: "col" }, "class"), make("th", { "aria-hidden": "true" }), make("th", { scope: "col" }, "probability"));
  const more = sorted.length > MOST_BARS ? make("p", { class: "hint" }, `and ${sorted.length - MOST_BARS} less likely ones`) : "";
  return make("div", {}, make("table", { class: "probabilities", "aria-label": "Probabilities" }, make("thead", { class: "note" }, head), make("tbody", {}, ...rows)), more);
}

function copied(title, content) {
  const button = make("button", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(content.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(content);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  } }, "Copy");
  return make("div", {}, make("div", { class: "copied" }, make("h4", {}, title), button), content);
}

// What it takes and gives

function tableOf(told) {
  const row = (feature) => make("tr", {}, make("th", { scope: "row" }, feature.name), make("td", {}, make("code", {}, feature.type)),
    make("td", {}, nullOf(feature.null)), make("td", {}, feature.refuses.join("; ") || "–"), make("td", {}, seenOf(feature) || "–"));
  const heads = ["Feature", "Type", "A NULL", "Refused", "In the sample"].map((text) => make("th", { scope: "col" }, text));
  const features = make("table", { class: "features" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...told.features.map(row)));
  const calls = Object.entries(told.calls).map(([name, type]) => make("li", {}, make("code", {}, `${name} → ${type}`)));
  const classes = told.classes.length ? make("p", {}, "Classes: ", told.classes.join(", ")) : null;
  return make("section", { class: "card below", "aria-labelledby": "features-title" },
    make("h3", { id: "features-title" }, told.features.length === 1 ? "1 feature" : `${told.features.length} features`),
    make("div", { class: "scroll" }, features), make("h3", { class: "below" }, "Answers"), make("ul", {}, ...calls), classes);
}

const NULLS = { null: "gives NULL", nan: "is given to the model as missing", error: "is refused" };
const nullOf = (policy) => NULLS[policy] ?? `is taken for ${policy}`;

function seenOf(feature) {
  const values = feature.values.slice(0, 5).join(", ");
  return [feature.seen, values].filter(Boolean).join(": ");
}

// Links to what needs the token are fetched with it.
async function open(event) {
  if (!sessionStorage.getItem(TOKEN)) return;
  event.preventDefault();
  const link = event.currentTarget;
  try {
    const { response, text } = await ask(link.getAttribute("href"));
    const type = response.headers.get("Content-Type").startsWith("application/json") ? "application/json" : "text/plain";
    location.assign(URL.createObjectURL(new Blob([text], { type })));
  } catch (error) {
    say(error.message, true);
  }
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value.trim());
  $("token").value = "";
  start();
});
$("search").addEventListener("input", listModels);
addEventListener("hashchange", show);
document.querySelectorAll("footer a").forEach((link) => link.addEventListener("click", open));
start();
