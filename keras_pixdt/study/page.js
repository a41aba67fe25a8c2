"use strict";

const study = JSON.parse(byId("study").textContent);
const STORE = `keras_pixdt.study.${study.study}`;

// step: 0 is the introduction, then the photos, then the end.
let state = kept() ?? begun();
// The questions on the page: { key, title, question, inputs }, in their order.
let groups = [];

function byId(id) {
  return document.getElementById(id);
}

function begun() {
  const photos = shuffled(study.photos.keys()).map((photo) => ({
    photo,
    shown: shuffled(Object.keys(study.photos[photo].results)),
    ratings: {},
  }));
  return { rater: "", step: 0, photos };
}

function shuffled(items) {
  const list = [...items];
  for (let last = list.length - 1; last > 0; last--) {
    const other = random() % (last + 1);
    [list[last], list[other]] = [list[other], list[last]];
  }
  return list;
}

function random() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

// What an earlier visit left; null if it left nothing, or the browser does not let pages keep.
function kept() {
  try {
    return JSON.parse(localStorage.getItem(STORE));
  } catch {
    return null;
  }
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(state));
  } catch {
    byId("unkept").hidden = false;
  }
}

function go(step) {
  state.step = step;
  keep();
  show();
}

function show() {
  const last = state.photos.length + 1;
  byId("intro").hidden = state.step !== 0;
  byId("rate").hidden = state.step === 0 || state.step === last;
  byId("end").hidden = state.step !== last;
  if (state.step === 0) {
    byId("rater").value = state.rater;
  } else if (state.step === last) {
    showEnd();
  } else {
    showPhoto();
  }
  scrollTo(0, 0);
}

function current() {
  return state.photos[state.step - 1];
}

function showPhoto() {
  const { photo, results } = study.photos[current().photo];
  byId("progress").textContent = `Photo ${state.step} of ${state.photos.length}`;
  byId("bar").max = state.photos.length;
  byId("bar").value = state.photos.filter(isRated).length;
  byId("error").textContent = byId("changed").textContent = "";
  byId("photo").replaceChildren(picture(photo, "Photo of a dressed person"));
  groups = [];
  const cards = current().shown.map((key, i) => card(key, results[key], i));
  byId("results").replaceChildren(...cards);
  mark();
  focusOn(groups.find((group) => valueOf(group) === undefined) ?? groups[0]);
}

function picture({ source, width, height }, alt) {
  const image = make("img", { src: source, alt });
  image.width = width * study.zoom;
  image.height = height * study.zoom;
  return image;
}

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function card(key, image, position) {
  const title = `Result ${position + 1}`;
  const fields = study.questions.map((question) => {
    const inputs = question.values.map((value) =>
      make("input", { type: "radio", name: `${question.name}${position}`, value }),
    );
    const group = { key, title, question, inputs };
    groups.push(group);
    const labels = inputs.map((input, i) => {
      input.addEventListener("change", () => answer(group, question.values[i]));
      return make("label", {}, input, `${question.values[i]} ${question.labels[i]}`.trim());
    });
    const unseen = make("span", { className: "unseen" }, `${title}: `);
    return make("fieldset", {}, make("legend", {}, unseen, question.text), ...labels);
  });
  const section = make("section", {}, make("h2", {}, title), picture(image, title), ...fields);
  section.setAttribute("aria-label", title);
  return section;
}

function valueOf({ key, question }) {
  return current().ratings[key]?.[question.name];
}

function answer(group, value) {
  const { ratings } = current();
  const { name, ranking } = group.question;
  byId("error").textContent = byId("changed").textContent = "";
  const other =
    ranking &&
    groups.find((one) => one !== group && one.question === group.question && valueOf(one) === value);
  if (other) {
    // Ranks have no ties: the other result takes the rank that this one gives up, if any.
    const given = valueOf(group);
    if (given === undefined) {
      delete ratings[other.key][name];
    } else {
      ratings[other.key][name] = given;
    }
    byId("changed").textContent = `${other.title} now has ${given ? `rank ${given}` : "no rank"}.`;
  }
  (ratings[group.key] ??= {})[name] = value;
  keep();
  mark();
}

function mark() {
  for (const group of groups) {
    const value = valueOf(group);
    group.inputs.forEach((input, i) => (input.checked = group.question.values[i] === value));
  }
}

function focusOn(group) {
  const input = group.inputs.find((one) => one.checked) ?? group.inputs[0];
  input.focus();
}

function isRated({ shown, ratings }) {
  return shown.every((key) =>
    study.questions.every(({ name }) => ratings[key]?.[name] !== undefined),
  );
}

function showEnd() {
  const rated = state.photos.filter(isRated).length;
  const all = state.photos.length;
  byId("thanks").textContent = rated === all ? "Thank you" : "Stopped before the end";
  byId("rated").textContent = `You rated ${rated} of ${all} photos.`;
  byId("saved").textContent = "";
  byId("another").hidden = true;
  byId("download").focus();
}

byId("intro").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("rater").value.trim();
  state.rater = name || `rater-${random().toString(16).padStart(8, "0")}`;
  go(1);
});

byId("rate").addEventListener("submit", (event) => {
  event.preventDefault();
  const missing = groups.find((group) => valueOf(group) === undefined);
  if (missing) {
    byId("error").textContent = `${missing.title} has no answer yet: ${missing.question.text}`;
    focusOn(missing);
  } else {
    go(state.step + 1);
  }
});

byId("rate").addEventListener("keydown", (event) => {
  const at = groups.findIndex(({ inputs }) => inputs.includes(event.target));
  if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const input = groups[at].inputs.find(({ value }) => value === event.key);
  if (!input) return;
  event.preventDefault();
  answer(groups[at], Number(event.key));
  if (at + 1 < groups.length) {
    focusOn(groups[at + 1]);
  } else {
    byId("next").focus();
  }
});

byId("back").addEventListener("click", () => go(state.step - 1));
byId("stop").addEventListener("click", () => go(state.photos.length + 1));

byId("return").addEventListener("click", () => {
  const unrated = state.photos.findIndex((place) => !isRated(place));
  go(unrated < 0 ? state.photos.length : unrated + 1);
});

byId("end").addEventListener("submit", (event) => {
  event.preventDefault();
  const { rater, photos } = state;
  const content = { study: study.study, protocol: study.protocol, rater, photos };
  const file = new Blob([JSON.stringify(content, null, 1)], { type: "application/json" });
  const name = `answers-${rater.replace(/[^\p{L}\p{N}_-]+/gu, "-")}.json`;
  const link = make("a", { href: URL.createObjectURL(file), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  byId("saved").textContent = `Your answers are in ${name}: send it to who asked you.`;
  byId("another").hidden = false;
});

byId("another").addEventListener("click", () => {
  state = begun();
  go(0);
});

show();
