// Tracks out of the page's data, and how they are drawn on a canvas.
"use strict";

const page = JSON.parse(document.getElementById("data").textContent);

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

// Views are decoded when they are first shown.
function decodeView(view) {
  if (view.decoded) return view.decoded;
  const starts = new Float32Array(bytesOf(view.starts)); // [P, 2]
  const tracksOf = (base64) => new Int16Array(bytesOf(base64)); // [k, P, T, 2]
  const decoded = {
    starts,
    still: new Float32Array(bytesOf(view.still)), // [N, 2]
    points: starts.length / 2,
    forecasts: {},
    truth: view.truth === null ? null : tracksOf(view.truth),
  };
  for (const [model, { samples, offsets }] of Object.entries(view.forecasts)) {
    const tracks = tracksOf(offsets);
    decoded.forecasts[model] = { samples, tracks, mean: meanOf(tracks, samples) };
  }
  view.decoded = decoded;
  return decoded;
}

function meanOf(tracks, samples) {
  const length = tracks.length / samples;
  const mean = new Float32Array(length);
  for (let i = 0; i < tracks.length; i++) mean[i % length] += tracks[i] / samples;
  return mean;
}

// The colours of lines, from now to the horizon.
function timeColour(t, opacity) {
  const [red, green, blue] = page.colours[Math.min(t, page.colours.length - 1)];
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
}

// Draws one view's forecast of one model until frame `time`.
// show: {samples, which (-1 is all), mean, truth, points (how many at most)}
function drawView(canvas, view, picture, model, time, show) {
  const decoded = decodeView(view);
  const context = canvas.getContext("2d");
  const zoom = canvas.width / view.width;
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (picture !== null) {
    context.filter = "brightness(0.8)";
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    context.filter = "none";
  }
  context.fillStyle = "rgba(255, 255, 255, 0.25)";
  for (let i = 0; i < decoded.still.length; i += 2) {
    context.fillRect(decoded.still[i] * zoom - 0.5, decoded.still[i + 1] * zoom - 0.5, 1, 1);
  }
  const points = Math.min(decoded.points, show.points);
  const frames = view.frames;
  const unit = Math.max(1, canvas.width / 480);
  const x = (tracks, first, t, point) => (decoded.starts[2 * point] + tracks[first + 2 * t] / view.scale) * zoom;
  const y = (tracks, first, t, point) => (decoded.starts[2 * point + 1] + tracks[first + 2 * t + 1] / view.scale) * zoom;

  // All lines of a moment have one colour, so that they are one path.
  const lines = (tracks, sample, width, colourAt) => {
    context.lineWidth = width * unit;
    for (let t = 1; t <= time; t++) {
      context.strokeStyle = colourAt(t);
      context.beginPath();
      for (let point = 0; point < points; point++) {
        const first = (sample * decoded.points + point) * frames * 2;
        context.moveTo(x(tracks, first, t - 1, point), y(tracks, first, t - 1, point));
        context.lineTo(x(tracks, first, t, point), y(tracks, first, t, point));
      }
      context.stroke();
    }
  };
  const heads = (tracks, sample, radius, colour) => {
    context.fillStyle = colour;
    context.beginPath();
    for (let point = 0; point < points; point++) {
      const first = (sample * decoded.points + point) * frames * 2;
      const [px, py] = [x(tracks, first, time, point), y(tracks, first, time, point)];
      context.moveTo(px + radius * unit, py);
      context.arc(px, py, radius * unit, 0, 2 * Math.PI);
    }
    context.fill();
  };

  const forecast = decoded.forecasts[model];
  if (forecast !== undefined && show.samples) {
    for (let sample = 0; sample < forecast.samples; sample++) {
      if (show.which >= 0 && show.which !== sample) continue;
      lines(forecast.tracks, sample, 1, (t) => timeColour(t, show.which >= 0 ? 0.9 : 0.4));
      heads(forecast.tracks, sample, show.which >= 0 ? 1.6 : 1, timeColour(time, 0.7));
    }
  }
  if (forecast !== undefined && show.mean) {
    lines(forecast.mean, 0, 3.2, () => "rgba(0, 0, 0, 0.5)");
    lines(forecast.mean, 0, 2, (t) => timeColour(t, 1));
    heads(forecast.mean, 0, 2.2, timeColour(time, 1));
  }
  if (decoded.truth !== null && show.truth) {
    if (forecast !== undefined) {
      context.setLineDash([4 * unit, 3 * unit]);
      lines(decoded.truth, 0, 1.2, () => "rgba(255, 255, 255, 0.9)");
      context.setLineDash([]);
      heads(decoded.truth, 0, 1.6, "white");
    } else { // alone, it is what the page is about
      lines(decoded.truth, 0, 1.6, (t) => timeColour(t, 1));
      heads(decoded.truth, 0, 1.8, timeColour(time, 1));
    }
  }
}
