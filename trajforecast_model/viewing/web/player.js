// The controls, and a panel for each view and model that is shown.
"use strict";

const MOST_POINTS = 3000; // of a view

const control = (id) => document.getElementById(id);
const player = {
  scene: 0,
  panels: [], // {canvas, view, picture, model}
  hidden: new Set(), // names of views
  playing: null,
  columns: page.models.length ? page.models : [null], // models, left to right
  titles: new Map(page.models.map((model) => [model, page.models.length > 1 ? model : ""])),
};

function showScene(number) {
  player.scene = number;
  const scene = page.scenes[number];
  control("scene").value = String(number);
  control("instruction").textContent = scene.instruction ? `“${scene.instruction}”` : "";
  const frames = Math.max(...scene.views.map((view) => view.frames));
  control("time").max = frames - 1;
  control("time").value = frames - 1;
  const samples = Math.max(0, ...scene.views.flatMap((view) => Object.values(view.forecasts).map((f) => f.samples)));
  fill(control("which"), [["-1", "all"], ...Array.from({ length: samples }, (_, i) => [String(i), String(i + 1)])]);
  for (const id of ["samples", "which", "mean"]) control(id).parentElement.hidden = samples === 0;
  control("truth-switch").hidden = page.blind || scene.views.every((view) => view.truth === null);
  switchesOfViews(scene);
  buildPanels();
}

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}

function switchesOfViews(scene) {
  control("views").replaceChildren(...scene.views.map((view) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = !player.hidden.has(view.name);
    box.dataset.view = view.name;
    box.addEventListener("change", () => {
      if (box.checked) player.hidden.delete(view.name);
      else player.hidden.add(view.name);
      buildPanels();
    });
    label.append(box, ` ${view.name}`);
    return label;
  }));
}

function buildPanels() {
  const scene = page.scenes[player.scene];
  const views = scene.views.filter((view) => !player.hidden.has(view.name));
  const several = player.columns.length > 1; // then a row a view, a column a model
  control("panels").style.gridTemplateColumns = `repeat(${several ? player.columns.length : views.length || 1}, auto)`;
  player.panels = [];
  control("panels").replaceChildren(...views.flatMap((view) => player.columns.map((model) => {
    const panel = { canvas: document.createElement("canvas"), view, picture: null, model };
    const wide = Math.max(240, Math.min(560, (window.innerWidth - 60) / (several ? player.columns.length : views.length)));
    const ratio = window.devicePixelRatio || 1;
    panel.canvas.width = Math.round(wide * ratio);
    panel.canvas.height = Math.round((wide * ratio * view.height) / view.width);
    panel.canvas.style.width = `${wide}px`;
    if (view.picture !== null) {
      const picture = new Image();
      picture.onload = () => {
        panel.picture = picture;
        draw();
      };
      picture.src = view.picture;
    }
    player.panels.push(panel);
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = [view.name, player.titles.get(model)].filter(Boolean).join(", ");
    figure.append(caption, panel.canvas);
    return figure;
  })));
  draw();
}

function draw() {
  const time = Number(control("time").value);
  const points = Math.round(MOST_POINTS * (Number(control("points").value) / 100) ** 2);
  control("seconds").textContent = `${(time * page.scenes[player.scene].dt).toFixed(2)} s`;
  const show = {
    samples: control("samples").checked,
    which: Number(control("which").value),
    mean: control("mean").checked,
    truth: control("truth").checked && !page.blind,
    points,
  };
  for (const { canvas, view, picture, model } of player.panels) {
    drawView(canvas, view, picture, model, Math.min(time, view.frames - 1), show);
  }
}

function step(by) {
  const time = control("time");
  const frames = Number(time.max) + 1;
  time.value = (Number(time.value) + by + frames) % frames;
  draw();
}

function play(on) {
  clearInterval(player.playing);
  const seconds = Math.max(0.06, page.scenes[player.scene].dt);
  player.playing = on ? setInterval(() => step(1), 1000 * seconds) : null;
  control("play").textContent = on ? "pause" : "play";
}

fill(control("scene"), page.scenes.map((scene, i) => [String(i), scene.title]));
control("choose-scene").hidden = page.scenes.length < 2;
control("scene").addEventListener("change", () => showScene(Number(control("scene").value)));
for (const id of ["time", "points"]) control(id).addEventListener("input", draw);
for (const id of ["samples", "which", "mean", "truth"]) control(id).addEventListener("change", draw);
control("play").addEventListener("click", () => play(player.playing === null));
window.addEventListener("resize", buildPanels);
document.addEventListener("keydown", (event) => {
  if (["SELECT", "INPUT", "BUTTON"].includes(event.target.tagName) && event.target.type !== "checkbox") return;
  if (event.key === " ") play(player.playing === null);
  else if (event.key === "ArrowRight") step(1);
  else if (event.key === "ArrowLeft") step(-1);
  else return;
  event.preventDefault();
});
showScene(0);
