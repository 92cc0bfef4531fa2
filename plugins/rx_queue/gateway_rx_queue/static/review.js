// The desk of a prescription: what was typed is kept by the gateway, Ctrl+Enter approves, the
// page of the fax is turned and enlarged. Without this script each is a plain button.

const KEEP_AFTER_MS = 700;
const AGAIN_AFTER_MS = 5000;
const ZOOMS = ["z1", "z15", "z2", "z3"];
const TURNS = ["r0", "r90", "r180", "r270"];
const form = document.getElementById("decide");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// After a refusal the address is that of the action: the page's own is asked for again and locked.
if (form?.dataset.own && location.pathname !== form.dataset.own) {
  history.replaceState(null, "", form.dataset.own);
  document.body.dataset.here = form.dataset.own;
}

// What is answered, and what was before.

const isChanged = (field) => field.value.trim() !== (field.dataset.before ?? "").trim();

function isAnswered(question) {
  const boxes = all("input[type=checkbox], input[type=radio]", question);
  return boxes.some((each) => each.checked) || all("[data-before]", question).some(isChanged);
}

function valueOf(name) {
  const other = form.elements[`other.${name}`]?.value.trim();
  return other || form.elements[`f.${name}`]?.value.trim() || "";
}

function show(fields, isOn, value) {
  for (const each of fields) {
    if (each.matches("[data-fix]")) each.hidden = !isOn;
    else each.toggleAttribute("data-s", false);
    if (isOn && !each.matches("[data-fix]")) each.dataset.s = "fix";
    const ins = each.querySelector("ins");
    if (!ins) continue;
    ins.textContent = value || "–";
    if (!each.matches("[data-fix]")) ins.hidden = !isOn;
  }
}

function count() {
  const questions = all("[data-question]");
  let answered = 0;
  for (const each of questions) {
    const is = isAnswered(each);
    each.querySelector("[data-done]").hidden = !is;
    answered += is;
  }
  for (const each of all("[data-answered]")) {
    each.textContent = each.dataset.text.replace("{n}", answered).replace("{m}", questions.length);
  }
  for (const field of all("[data-before][name^='f.']", form)) {
    const name = field.name.slice(2);
    const own = `[data-fix="${name}"], [data-row="${name}"]`;
    show(all(own), isChanged(field), field.value.trim());
  }
  for (const radio of all("input[type=radio][name^='f.']:checked", form)) {
    const name = radio.name.slice(2);
    show(all(`[data-row="${name}"]`), true, valueOf(name));
  }
}

// The draft: kept while one types; the page says so.

let timer = null;
let sending = null;

function said(name) {
  for (const each of all("[data-saved]")) each.textContent = name ? each.dataset[name] : "";
}

async function keep() {
  clearTimeout(timer);
  timer = null;
  sending?.abort();
  sending = new AbortController();
  try {
    const answer = await fetch(form.dataset.decide, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { "X-Gateway-Region": "claim" },
      signal: sending.signal,
    });
    if (answer.status === 409 || answer.status === 404) {
      said("lost"); // another reviewer has it, or it is decided
      return;
    }
    if (answer.status !== 204) throw new Error(answer.status); // a lock answers with its own page
    said("text");
  } catch (error) {
    if (error.name === "AbortError") return;
    said("failed");
    timer = setTimeout(keep, AGAIN_AFTER_MS);
  }
}

function typed(event) {
  if (event.target.form !== form) return;
  count();
  said("");
  clearTimeout(timer);
  timer = setTimeout(keep, KEEP_AFTER_MS);
}

// Not left half-way: what was typed a moment ago is sent as the page goes.
function leave() {
  if (timer === null) return;
  clearTimeout(timer);
  fetch(form.dataset.decide, { method: "POST", body: new URLSearchParams(new FormData(form)), keepalive: true });
}

if (form?.dataset.decide) {
  addEventListener("input", typed);
  addEventListener("change", typed);
  addEventListener("pagehide", leave);
  addEventListener("submit", (event) => {
    if (event.target !== form) return;
    clearTimeout(timer);
    timer = null;
  });
  addEventListener("swapped", count);
  count();
}

addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const approve = document.querySelector("[data-approve]:not(:disabled)");
  if (!approve || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  form.requestSubmit(approve);
});

// The page of the fax.

function next(sheet, names, step, isRound) {
  const place = names.findIndex((each) => sheet.classList.contains(each));
  const to = isRound ? (place + step) % names.length : Math.max(0, Math.min(names.length - 1, place + step));
  sheet.classList.remove(...names);
  sheet.classList.add(names[to]);
}

addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-look]");
  const sheet = button?.closest("[data-sheet]")?.querySelector(".sheet");
  const undo = event.target.closest?.("button[name=undo]");
  if (sheet) {
    event.preventDefault();
    const { look } = button.dataset;
    if (look === "turn") next(sheet, TURNS, 1, true);
    else next(sheet, ZOOMS, look === "in" ? 1 : -1, false);
  } else if (undo) {
    event.preventDefault();
    const field = form.elements[`f.${undo.value}`];
    field.value = field.dataset.before;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  }
});
