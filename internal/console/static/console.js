// Accordo's console works without this file; it adds live figures, keyboard
// shortcuts, copying and answers that stream.
"use strict";

const every = 2000, slowest = 30000;
const $ = (id) => document.getElementById(id);

// Live parts: the page is fetched again and its live parts are exchanged.
function live() {
  let paused = false, wait = every, timer = 0;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "pause";
  const label = () => { button.textContent = paused ? "Go on refreshing" : "Pause refresh"; };
  const again = () => { clearTimeout(timer); if (!paused) timer = setTimeout(tick, wait); };
  button.addEventListener("click", () => { paused = !paused; label(); again(); });
  label();
  document.body.append(button);

  const busy = (part) => part.contains(document.activeElement) && document.activeElement !== document.body
    || (!getSelection().isCollapsed && part.contains(getSelection().anchorNode));
  async function tick() {
    if (document.hidden) return again();
    try {
      const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error("not live");
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live][id]")) {
        const next = fresh.getElementById(part.id);
        if (next && !busy(part) && next.innerHTML !== part.innerHTML) part.replaceChildren(...next.childNodes);
      }
      wait = every;
      if (!fresh.body.hasAttribute("data-live-page")) return button.remove();
    } catch {
      wait = Math.min(wait * 2, slowest);
    }
    again();
  }
  again();
  return () => button.click();
}

function shortcuts(pause) {
  const pages = { s: "/", p: "/pools", r: "/requests", c: "/contracts", l: "/ledger", m: "/statements", i: "/invoices", u: "/suspense", g: "/margin", k: "/claims", t: "/chat" };
  const help = $("help"), on = $("keys-on");
  const linked = (page) => page && document.querySelector(`nav a[href="${page}"]`);
  if (!linked(pages.i)) pages.i = "/sales"; // a partner's
  let went = 0;
  try { on.checked = localStorage.getItem("keys") !== "off"; } catch { /* storage may be refused */ }
  on.addEventListener("change", () => { try { localStorage.setItem("keys", on.checked ? "on" : "off"); } catch { /* as above */ } });
  for (const b of document.querySelectorAll("[data-help]")) {
    b.hidden = false;
    b.addEventListener("click", () => help.showModal());
  }
  document.addEventListener("keydown", (e) => {
    if (!on.checked || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea, select, [contenteditable]")) return;
    if (e.key === "?") { e.preventDefault(); if (!help.open) help.showModal(); return; }
    if (help.open) return;
    if (e.key === "g" && !(went && e.timeStamp - went < 1500)) { went = e.timeStamp; return; }
    if (went && e.timeStamp - went < 1500 && linked(pages[e.key])) { e.preventDefault(); location.assign(pages[e.key]); }
    else if (e.key === "p" && pause) pause();
    went = 0;
  });
}

function printing() {
  for (const b of document.querySelectorAll("[data-print]")) {
    b.hidden = false;
    b.addEventListener("click", () => window.print());
  }
}

function copying() {
  if (!navigator.clipboard) return;
  for (const b of document.querySelectorAll("[data-copy]")) {
    b.hidden = false;
    b.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(b.dataset.copy); b.textContent = "Copied"; } catch { b.textContent = "Select it instead"; }
      setTimeout(() => { b.textContent = "Copy"; }, 2000);
    });
  }
}

function forms() {
  for (const f of document.querySelectorAll("form[data-auto]")) f.addEventListener("change", () => f.requestSubmit());
  const slider = $("step");
  if (!slider) return;
  const days = slider.dataset.days.split(",");
  slider.addEventListener("input", () => { $("step-day").textContent = +slider.value === +slider.max ? "today" : days[+slider.value]; });
}

// The chat streams the API's own answer; the panel comes from the server.
function chat() {
  const form = $("ask");
  if (!form) return;
  const log = $("log"), panel = $("panel"), key = $("key"), model = $("model"), prompt = $("prompt");
  const send = $("send"), stop = $("stop"), fresh = $("fresh"), trusted = $("trusted");
  const kept = 20;
  let messages = [], running = null;
  $("hint").hidden = fresh.hidden = false;

  function options(list, values) {
    list.replaceChildren(...values.filter(Boolean).map((v) => { const o = document.createElement("option"); o.value = v; return o; }));
  }
  function asKey() {
    const o = key.selectedOptions[0], models = o.dataset.models.split(" ");
    options($("models"), models);
    options($("territories"), o.dataset.territories.split(" "));
    if (!models.includes(model.value)) model.value = models[0];
    trusted.disabled = o.dataset.trusted !== "true";
    $("territory").placeholder = o.dataset.territories.split(" ")[0];
    if (o.dataset.perUser === "true" && !trusted.disabled && !$("end_user").value) $("end_user").value = "console-visitor";
  }
  key.addEventListener("change", () => { messages = []; asKey(); });
  asKey();

  for (const s of document.querySelectorAll(".suggestion")) {
    s.addEventListener("click", (e) => {
      e.preventDefault();
      key.value = s.dataset.key; model.value = s.dataset.model;
      $("territory").value = s.dataset.territory; $("end_user").value = s.dataset.user; $("surface").value = s.dataset.surface;
      prompt.value = s.dataset.prompt;
      clear(); asKey();
      form.requestSubmit();
    });
  }
  function clear() { messages = []; log.replaceChildren(); }
  fresh.addEventListener("click", () => { clear(); prompt.focus(); });
  stop.addEventListener("click", () => running && running.abort());
  prompt.addEventListener("keydown", (e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); form.requestSubmit(); } });

  function paragraph(kind, text) { const p = document.createElement("p"); p.className = kind; p.textContent = text; return p; }
  function said(kind, who) {
    const box = document.createElement("div");
    box.className = "said " + kind;
    box.who = paragraph("who", who);
    box.text = paragraph("text", "");
    box.append(box.who, box.text);
    log.append(box);
    box.scrollIntoView({ block: "nearest" });
    return box;
  }
  function standIn(box, says) {
    const p = paragraph("standin", " " + says), strong = document.createElement("strong");
    strong.textContent = "A stand-in answers.";
    p.prepend(strong);
    box.text.before(p);
  }

  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const question = prompt.value.trim();
    if (!question || running) return;
    const headers = { "Content-Type": "application/json", "X-Accordo-Ask-As": key.value };
    if (!trusted.disabled) {
      for (const [name, id] of [["X-Accordo-Territory", "territory"], ["X-Accordo-End-User", "end_user"], ["X-Accordo-Surface", "surface"]]) {
        if ($(id).value.trim()) headers[name] = $(id).value.trim();
      }
    }
    said("you", "You, as " + key.value).text.textContent = question;
    const box = said("", "Answer");
    messages.push({ role: "user", content: question });
    messages = messages.slice(-kept);
    running = new AbortController();
    send.disabled = true; stop.hidden = false; prompt.value = "";
    let id = "";
    try {
      const answer = await fetch("/chat/completions", {
        method: "POST", headers, signal: running.signal,
        body: JSON.stringify({ model: model.value, stream: true, stream_options: { include_usage: true }, messages }),
      });
      id = answer.headers.get("x-request-id") || "";
      const says = answer.headers.get("x-accordo-stand-in");
      if (says) standIn(box, says);
      if (!answer.ok) {
        const failed = await answer.text();
        messages.pop();
        refuse(box, answer.status, failed);
      } else {
        const text = await stream(answer.body, box);
        messages.push({ role: "assistant", content: text });
      }
    } catch (err) {
      box.who.textContent = running.signal.aborted ? "Stopped" : "The connection failed";
      if (!running.signal.aborted) box.classList.add("refused");
    }
    running = null; send.disabled = false; stop.hidden = true;
    if (id) await served(id);
    prompt.focus({ preventScroll: true });
  });

  function refuse(box, status, body) {
    box.classList.add("refused");
    let code = "", text = body;
    try { const e = JSON.parse(body).error; code = e.code || e.type || ""; text = e.message; } catch { /* shown as it is */ }
    box.who.textContent = "Refused: HTTP " + status + (code ? ", " + code : "");
    box.text.textContent = text;
  }

  async function stream(body, box) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:") || line.includes("[DONE]") && line.length < 16) continue;
        const event = JSON.parse(line.slice(5));
        if (event.error) { refuse(box, 200, JSON.stringify(event)); return text; }
        const more = event.choices && event.choices[0] && event.choices[0].delta && event.choices[0].delta.content;
        if (more) { text += more; box.text.textContent = text; box.scrollIntoView({ block: "nearest" }); }
        if (event.model) box.who.textContent = "Answer of " + event.model;
      }
    }
    return text;
  }

  async function served(id) {
    for (let n = 0; n < 6; n++) {
      const answer = await fetch("/chat/panel/" + encodeURIComponent(id));
      if (answer.ok) {
        const doc = new DOMParser().parseFromString(await answer.text(), "text/html");
        panel.replaceChildren(...doc.body.childNodes);
        return;
      }
      await new Promise((done) => setTimeout(done, 300));
    }
  }
}

shortcuts(document.body.hasAttribute("data-live-page") ? live() : null);
copying();
printing();
forms();
chat();
