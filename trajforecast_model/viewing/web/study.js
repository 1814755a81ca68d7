// Two models' forecasts side by side without their names, moment after moment in a shuffled order; at the end who won.
"use strict";

const START = 1000; // of a rating
const STEP = 32; // the most that a judgement moves it

// #seed=7 in the address gives the same order again.
function randomNumbers() {
  const given = /seed=(\d+)/.exec(location.hash);
  let state = given ? Number(given[1]) : crypto.getRandomValues(new Uint32Array(1))[0];
  return () => { // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(values, random) {
  const order = [...values];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// score: 1 where the first is better, 0 where the second is, 0.5 where neither is.
function rate(ratings, first, second, score) {
  const expected = 1 / (1 + 10 ** ((ratings[second] - ratings[first]) / 400));
  ratings[first] += STEP * (score - expected);
  ratings[second] -= STEP * (score - expected);
}

const random = randomNumbers();
const study = {
  questions: shuffled(page.scenes.keys(), random).map((scene) => ({ scene, sides: shuffled(page.models, random) })),
  answers: [], // {scene, left, right, better}: better is a model's name, or null
};

function ask() {
  const question = study.questions[study.answers.length];
  if (question === undefined) return finish();
  control("progress").textContent = `${study.answers.length + 1} of ${study.questions.length}`;
  player.columns = question.sides;
  player.titles = new Map([[question.sides[0], "left"], [question.sides[1], "right"]]);
  showScene(question.scene);
  play(true);
}

function answer(side) {
  const question = study.questions[study.answers.length];
  if (question === undefined) return;
  const [left, right] = question.sides;
  study.answers.push({ scene: page.scenes[question.scene].title, left, right, better: side === null ? null : question.sides[side] });
  ask();
}

function finish() {
  play(false);
  const ratings = Object.fromEntries(page.models.map((model) => [model, START]));
  const wins = Object.fromEntries(page.models.map((model) => [model, 0]));
  for (const { left, right, better } of study.answers) {
    rate(ratings, left, right, better === null ? 0.5 : Number(better === left));
    if (better !== null) wins[better] += 1;
  }
  const table = document.createElement("table");
  table.insertRow().append(...["model", "ELO", "chosen"].map((text) => Object.assign(document.createElement("th"), { textContent: text })));
  for (const model of [...page.models].sort((a, b) => ratings[b] - ratings[a])) {
    const row = table.insertRow();
    for (const text of [model, ratings[model].toFixed(1), `${wins[model]} of ${study.answers.length}`]) {
      row.insertCell().textContent = text;
    }
  }
  const file = document.createElement("a");
  file.textContent = "save the answers (JSON)";
  file.download = "answers.json";
  const saved = JSON.stringify({ ratings, wins, answers: study.answers }, null, 2);
  file.href = `data:application/json,${encodeURIComponent(saved)}`;
  control("result").replaceChildren(table, file);
  control("result").hidden = false;
  control("study").hidden = true;
  player.titles = new Map(page.models.map((model) => [model, model]));
  buildPanels();
}

control("left").addEventListener("click", () => answer(0));
control("same").addEventListener("click", () => answer(null));
control("right").addEventListener("click", () => answer(1));
document.addEventListener("keydown", (event) => {
  const key = { 1: 0, 2: null, 3: 1 };
  if (event.key in key) answer(key[event.key]);
});
control("choose-scene").hidden = true;
control("mean").checked = false;
ask();
