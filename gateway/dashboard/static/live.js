// What lives on a page: regions swapped in place, dialogs, copying, dropping files, keys, ages.
// Each works as a plain link or form without this script; the attributes are in docs/how-to/add-a-page.md.

const REGION = "X-Gateway-Region";
const SKELETON_AFTER_MS = 300;
const TOAST_MS = 10_000;
const SENT_MS = 5000;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const wordsOf = (header) => (header ? decodeURIComponent(header) : "");
const isTyping = (at) => at?.closest?.("input, textarea, select, [contenteditable]") != null;

let rescan = () => {};
let isBusy = () => false;

// Toasts: what is so now. They stay ten seconds, and while they have the focus.

function toast(text, isBad = false) {
  if (!text) return;
  all("[data-toast]").forEach((each) => each.remove());
  const made = byId("toast").content.firstElementChild.cloneNode(true);
  made.querySelector("span").textContent = text;
  if (isBad) {
    made.dataset.s = "bad";
    made.setAttribute("role", "alert");
    made.querySelector("use").setAttribute("href", "#s-fail");
  }
  document.body.append(made);
  fade(made);
}

function fade(each) {
  setTimeout(() => {
    if (each.matches(":hover, :focus-within")) fade(each);
    else each.remove();
  }, TOAST_MS);
}

// Regions: an element with an id, replaced by the one that the gateway answers.

async function ask(url, names, options = {}) {
  const headers = { ...options.headers, [REGION]: names.join(",") };
  return fetch(url, { ...options, headers });
}

function put(text, names, isNews = false) {
  const parsed = new DOMParser().parseFromString(text, "text/html");
  const found = names.map((name) => [byId(name), parsed.getElementById(name)]);
  if (found.some(([old, fresh]) => !old || !fresh)) return false;
  for (const [old, fresh] of found) {
    const mine = document.adoptNode(fresh);
    const back = isNews ? keep(old, mine) : stay(old, mine);
    if (!isNews) carry(old, mine, takeEdited(old));
    old.replaceWith(mine);
    if (pending.get(mine.id) > 1) mine.setAttribute("aria-busy", "true");
    ready(mine);
    back();
    if (!isNews) showTab(mine);
    rescan(mine);
  }
  return true;
}

// A row of tabs that is longer than the page begins at the one that is shown.
function showTab(part) {
  for (const row of [part, ...all(".tabs", part)].filter((each) => each.matches(".tabs"))) {
    const tab = row.querySelector("[aria-current]")?.getBoundingClientRect();
    const { left, width } = row.getBoundingClientRect();
    if (tab) row.scrollBy({ left: tab.left - left - (width - tab.width) / 2, behavior: "instant" });
  }
}

// What was checked or typed in a region while its answer was on its way: newer than the answer.
const edited = new Set();

addEventListener("input", ({ target }) => target.closest?.("[aria-busy=true]") && edited.add(target));

function takeEdited(within) {
  const found = [...edited].filter((each) => within.contains(each));
  found.forEach((each) => edited.delete(each));
  return found;
}

// Two elements are the same one, before and after, by their id; else by row, kind, name and words.
function sign(each) {
  if (each.id) return each.id;
  const words = each.matches("a, button") ? each : each.querySelector(":scope > summary");
  const value = each.matches("[type=checkbox], [type=radio]") ? each.value : "";
  const label = each.getAttribute("aria-label") ?? words?.textContent.trim();
  return [each.closest("[data-id]")?.dataset.id, each.type, each.name, value, each.getAttribute("href"), label].join("|");
}

function twinOf(each, old, fresh) {
  const key = sign(each);
  const same = (within) => all(each.localName, within).filter((other) => sign(other) === key);
  return same(fresh)[same(old).indexOf(each)];
}

function carry(old, fresh, fields) {
  for (const each of fields) {
    const twin = each.name && twinOf(each, old, fresh);
    if (!twin) continue;
    if (each.type === "file") twin.files = each.files;
    else if (each.type === "checkbox" || each.type === "radio") twin.checked = each.checked;
    else twin.value = each.value;
  }
}

function isChanged(each) {
  if (each.type === "file") return each.files.length > 0;
  if (each.options) return each.value !== (each.querySelector("option[selected]") ?? each.options[0])?.value;
  return each.type === "checkbox" || each.type === "radio" ? each.checked !== each.defaultChecked : each.value !== each.defaultValue;
}

/** Stay at the row of J and K, and answer what puts the focus back: where it was, or on the new part. */
function stay(old, fresh) {
  if (old.classList.contains("cursor")) fresh.classList.add("cursor");
  const row = old.querySelector(".cursor[data-id]")?.dataset.id;
  if (row) fresh.querySelector(`[data-id="${CSS.escape(row)}"]`)?.classList.add("cursor");
  const at = document.activeElement;
  const isInside = old.contains(at);
  const twin = isInside && old !== at && twinOf(at, old, fresh);
  const isLost = () => isInside && document.activeElement === document.body;
  return () => {
    if (twin && isLost()) twin.focus({ preventScroll: true });
    if (!isLost()) return;
    if (!fresh.hasAttribute("tabindex")) fresh.tabIndex = -1;
    fresh.focus({ preventScroll: true });
  };
}

/** Bring what a person did in a part of the page into the news that replaces it: what is typed,
 *  chosen and checked, what is open. Answers what to call after: scrolled to, and the focus. */
function keep(old, fresh) {
  const fields = all("input, select, textarea", old).filter((each) => each.type !== "hidden" && isChanged(each));
  carry(old, fresh, [...takeEdited(old), ...fields]);
  for (const each of all("details", old)) {
    const twin = twinOf(each, old, fresh);
    if (twin) twin.open = each.open;
  }
  const scrolled = [old, ...all("*", old)].filter((each) => each.scrollTop || each.scrollLeft)
    .map((each) => [each === old ? fresh : twinOf(each, old, fresh), each.scrollLeft, each.scrollTop]);
  const back = stay(old, fresh);
  return () => {
    scrolled.forEach(([each, left, top]) => each?.scrollTo({ left, top, behavior: "instant" }));
    back();
  };
}

const pending = new Map(); // by region: how many answers are on their way

function busy(names) {
  const regions = () => names.map(byId).filter(Boolean);
  names.forEach((each) => pending.set(each, (pending.get(each) ?? 0) + 1));
  regions().forEach((each) => each.setAttribute("aria-busy", "true"));
  const timer = setTimeout(() => regions().forEach((each) => each.classList.add("waits")), SKELETON_AFTER_MS);
  return () => {
    clearTimeout(timer);
    names.forEach((each) => pending.set(each, pending.get(each) - 1));
    regions().filter((each) => !pending.get(each.id)).forEach((each) => {
      each.removeAttribute("aria-busy");
      each.classList.remove("waits");
    });
  };
}

const address = () => location.pathname + location.search;
let shownAddress = address();
let turns = 0;
const latest = new Map(); // by region: the last view that was asked for

async function swap(url, names, options = {}, isKept = true) {
  const done = busy(names);
  const turn = (turns += 1);
  if (!options.method) names.forEach((each) => latest.set(each, turn));
  try {
    const answer = await ask(url, names, options);
    const text = await answer.text();
    const problem = wordsOf(answer.headers.get("X-Gateway-Problem"));
    // Another view was asked for meanwhile: that one is wanted, whichever answer comes first.
    if (!options.method && names.some((each) => latest.get(each) !== turn)) return;
    if (!put(text, names)) {
      if (answer.redirected) location.assign(answer.url);
      else if (problem || !answer.ok) toast(problem || failed(), true);
      else location.assign(url);
      return;
    }
    if (!options.method && isKept) {
      history.pushState({ swapped: names }, "", answer.url);
      document.body.dataset.here = shownAddress = address();
    }
    if (problem) toast(problem, true);
    else toast(wordsOf(answer.headers.get("X-Gateway-Toast")));
  } catch {
    toast(failed(), true);
  } finally {
    done();
  }
}

const failed = () => byId("dialog")?.dataset.failed ?? "";

function body(form, by) {
  const fields = new FormData(form, by ?? undefined);
  return form.enctype === "multipart/form-data" ? fields : new URLSearchParams(fields);
}

// Dialogs: a page's region "dialog", shown over the page that leads to it.

const shared = byId("dialog");

async function openDialog(url) {
  const turn = (turns += 1);
  latest.set("dialog", turn);
  const text = await ask(url, ["dialog"]).then((answer) => answer.text()).catch(() => "");
  if (latest.get("dialog") === turn && !inDialog(text)) location.assign(url);
}

function inDialog(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("dialog-body");
  if (!fresh) return false;
  carry(shared, fresh, takeEdited(shared));
  shared.replaceChildren(...document.adoptNode(fresh).childNodes);
  ready(shared);
  if (!shared.open) shared.showModal();
  (shared.querySelector("[autofocus], [aria-invalid]") ?? shared.querySelector("input:not([type=hidden])"))?.focus();
  return true;
}

async function sendDialog(form, by) {
  const done = busy(["dialog"]);
  try {
    const answer = await ask(form.action, ["dialog"], { method: "POST", body: body(form, by) });
    const text = await answer.text();
    if (answer.redirected) location.assign(answer.url);
    else if (!inDialog(text)) toast(wordsOf(answer.headers.get("X-Gateway-Problem")) || failed(), true);
  } catch {
    toast(failed(), true);
  } finally {
    done();
  }
}

// A question before what can't be undone.

function confirmed(question, by) {
  const dialog = byId("confirm").content.firstElementChild.cloneNode(true);
  const [no, yes] = dialog.querySelectorAll("button");
  const asked = question.search(/\?\s/) + 1;
  dialog.querySelector("h2").textContent = asked ? question.slice(0, asked) : question;
  if (asked) dialog.querySelector(".body").textContent = question.slice(asked).trim();
  yes.textContent = (by?.textContent.trim() ?? "").replace(/…$/, "");
  if (by?.classList.contains("danger")) yes.className = "btn danger";
  document.body.append(dialog);
  return new Promise((resolve) => {
    no.addEventListener("click", () => dialog.close());
    yes.addEventListener("click", () => dialog.close("yes"));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
    no.focus();
  });
}

addEventListener("submit", async (event) => {
  const form = event.target;
  const by = event.submitter;
  const question = by?.dataset.confirm ?? form.dataset.confirm;
  if (question && !form.dataset.confirmed) {
    event.preventDefault();
    if (await confirmed(question, by)) {
      form.dataset.confirmed = "yes";
      form.requestSubmit(by);
      delete form.dataset.confirmed;
    }
    return;
  }
  const names = (by?.dataset.swap ?? form.dataset.swap)?.split(" ");
  const action = by?.hasAttribute("formaction") ? by.formAction : form.action;
  if (form.method === "dialog") return;
  if (shared?.contains(form) && form.method === "post") {
    event.preventDefault();
    if (!pending.get("dialog")) sendDialog(form, by);
  } else if (names && form.method === "get") {
    event.preventDefault();
    const query = body(form, by);
    [...query].forEach(([name, value]) => value === "" && query.delete(name));
    swap(`${action.split("?")[0]}?${query}`, names);
  } else if (names) {
    event.preventDefault();
    swap(action, names, { method: "POST", body: body(form, by) });
  } else if (form.method === "post") {
    if (form.dataset.sent) event.preventDefault(); // a second click is one too many
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, SENT_MS); // a file was fetched, and the page stays
  }
});

addEventListener("pageshow", () => all("form[data-sent]").forEach((each) => delete each.dataset.sent));
// Back to a view that was swapped away; a step to another place of the same page is no such thing.
addEventListener("popstate", () => {
  if (address() !== shownAddress) location.reload();
});

addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const link = event.target.closest?.("a[data-swap], a[data-dialog]");
  if (link) {
    event.preventDefault();
    if ("dialog" in link.dataset) openDialog(link.href);
    else swap(link.href, link.dataset.swap.split(" "), {}, !("quiet" in link.dataset));
    return;
  }
  const button = event.target.closest?.("button");
  if (button && "copy" in button.dataset) copy(button);
  if (button && "print" in button.dataset) print();
  if (button && "close" in button.dataset) button.closest("dialog")?.close();
});

async function copy(button) {
  const from = byId(button.dataset.copy);
  const text = button.dataset.copyText ?? from?.value ?? from?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text.trim());
    toast(button.dataset.done);
  } catch {
    const range = document.createRange();
    if (from) range.selectNodeContents(from);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }
}

// A menu that the focus has left closes; Escape is the browser's, and returns it to the button.

addEventListener("focusout", ({ target, relatedTarget: next }) => {
  const menu = target.closest?.(":popover-open");
  if (menu && next && !menu.contains(next) && next.popoverTargetElement !== menu) menu.hidePopover();
});

// Boxes: how many are checked, all of them, and what can be done with them.

function count(within) {
  const boxes = all("tbody input[type=checkbox], ol input[type=checkbox]", within);
  const checked = boxes.filter((each) => each.checked).length;
  const bar = byId(within.dataset.counts);
  if (bar) {
    bar.hidden = checked === 0;
    all("[data-n]", bar).forEach((each) => { each.textContent = checked; });
  }
  const head = within.querySelector("[data-select-all]");
  if (head) {
    head.checked = checked > 0 && checked === boxes.length;
    head.indeterminate = checked > 0 && checked < boxes.length;
  }
}

addEventListener("change", (event) => {
  const box = event.target;
  const within = box.closest?.("[data-counts]");
  if (within) {
    if ("selectAll" in box.dataset) {
      all("tbody input[type=checkbox]", within).forEach((each) => { each.checked = box.checked; });
    }
    count(within);
  }
  const form = box.closest?.("form[data-auto]");
  if (form && box.type !== "search") form.requestSubmit();
  if (box.matches?.("[data-drop] input[type=file]") && box.files.length) dropped(box);
});

addEventListener("input", (event) => {
  const form = event.target.form;
  if (form && event.target.name === "confirm") all("[data-type-name]", form).forEach(typedName);
});

function typedName(button) {
  button.disabled = button.form.elements.confirm?.value.trim() !== button.dataset.typeName;
}

// Files: dropped or pasted into the field of the zone.

function dropped(input) {
  const zone = input.closest("[data-drop]");
  if (zone.dataset.drop !== "wait") input.form.requestSubmit();
}

for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    const zone = event.target.closest?.("[data-drop]") ?? document.querySelector("[data-drop=page]");
    if (!zone || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    zone.toggleAttribute("data-over", kind === "dragover");
    if (kind === "drop") fileInto(zone, event.dataTransfer.files);
  });
}

addEventListener("paste", (event) => {
  const zone = document.querySelector("[data-drop]");
  if (zone && event.clipboardData?.files.length) fileInto(zone, event.clipboardData.files);
});

function fileInto(zone, files) {
  const input = zone.querySelector("input[type=file]");
  if (!input || !files.length) return;
  const one = new DataTransfer();
  one.items.add(files[0]);
  input.files = one.files;
  dropped(input);
}

// Keys: single ones can be switched off.

const hasKeys = !document.body.hasAttribute("data-no-keys");
let cursor = null;

function move(step) {
  if (!cursor?.isConnected) cursor = document.querySelector("[data-list] > .cursor"); // its row was replaced
  const list = cursor?.parentElement ?? document.querySelector("[data-list]");
  if (!list) return false;
  const rows = all(":scope > tr, :scope > li", list);
  const place = rows.indexOf(cursor);
  const next = rows[Math.max(0, Math.min(rows.length - 1, place < 0 ? 0 : place + step))];
  if (!next) return false;
  all(".cursor").forEach((each) => each.classList.remove("cursor"));
  cursor = next;
  cursor.classList.add("cursor");
  cursor.scrollIntoView({ block: "nearest" });
  const at = cursor.querySelector("a.row, input[type=checkbox], a");
  at?.focus({ preventScroll: true });
  return true;
}

const keys = {
  "/": () => {
    const box = document.querySelector(".search input");
    if (!box?.offsetParent) return false;
    box.focus();
    return true;
  },
  "?": () => (byId("keys").showModal(), true),
  j: () => move(1),
  k: () => move(-1),
  x: () => {
    const box = cursor?.isConnected && cursor.querySelector("input[type=checkbox]");
    if (box) box.click();
    return Boolean(box);
  },
  r: () => {
    const eye = cursor?.isConnected && cursor.querySelector("button.peek");
    if (eye) eye.click();
    return Boolean(eye);
  },
};

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!hasKeys || document.querySelector("dialog[open]")) return;
  const isBox = event.target.type === "checkbox" || event.target.type === "radio";
  if (isTyping(event.target) && !isBox) return;
  const own = event.key.length === 1
    && document.querySelector(`[data-key="${CSS.escape(event.key)}"]:not(:disabled)`);
  if (own?.offsetParent) {
    event.preventDefault();
    own.click();
  } else if (Object.hasOwn(keys, event.key) && keys[event.key]()) {
    event.preventDefault();
  } else if (event.key === "Enter" && isBox && cursor?.contains(event.target)) {
    event.preventDefault();
    cursor.querySelector("a.row")?.click();
  }
});

// Ages and countdowns, in the units that the page was made with.

function units(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole >= 86_400) return null; // days have names; the page says them
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return minutes ? `${hours} h ${String(minutes).padStart(2, "0")} min` : `${hours} h`;
}

function tick(selector, sign) {
  for (const each of all(selector)) {
    const text = units((sign * (Date.now() - Date.parse(each.dateTime))) / 1000);
    if (text !== null && each.textContent !== text) each.textContent = text;
  }
}

setInterval(() => tick("time[data-age]", 1), 15_000);
setInterval(() => tick("time[data-until]", -1), 1000);

// What no topic reports: asked for every two seconds while it goes on, or as many as the attribute says.

let rounds = 0;
setInterval(async () => {
  rounds += 1;
  const isDue = (each) => rounds % Math.max(1, Number(each.dataset.progress) / 2) === 0;
  const names = all("[data-progress]").filter(isDue).map((each) => each.id).filter(Boolean);
  if (!names.length || document.hidden) return;
  const before = turns;
  const answer = await ask(location.href, names, { headers: { "X-Gateway-Quiet": "1" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const text = await answer.text();
  const free = names.filter((each) => byId(each) && !isBusy(byId(each)));
  if (turns === before && free.length) put(text, free, true);
}, 2000);

// What every new part of the page needs.

function ready(part) {
  all("[data-scripted]", part).forEach((each) => { each.hidden = false; });
  all("[data-type-name]", part).forEach(typedName);
  if (part.dataset?.counts) count(part);
  all("[data-counts]", part).forEach(count);
}

// What was typed before a lock or a confirmation returns into the fields that the page left as they were.
function refill(draft) {
  for (const [name, given] of Object.entries(draft)) {
    const values = [given].flat();
    const fields = all("[data-keep]").filter((each) => each.name === name);
    for (const each of fields) {
      if (each.type === "checkbox" || each.type === "radio") each.checked = values.includes(each.value);
      else each.value = values[fields.indexOf(each)] ?? each.value;
    }
  }
}

if (document.body.dataset.draft) refill(JSON.parse(document.body.dataset.draft));
ready(document.body);
showTab(document.body);
addEventListener("swapped", (event) => ready(event.target));
all("[data-toast]").forEach(fade);

if (document.body.dataset.stream) {
  const stream = await import(document.body.dataset.stream);
  rescan = stream.rescan ?? rescan;
  isBusy = stream.isBusy ?? isBusy;
  stream.start({
    keep,
    onEnd: (reason) => {
      if (reason === "locked" || reason === "signed_out") {
        location.assign(`/dashboard/lock?next=${encodeURIComponent(document.body.dataset.here)}`);
      }
    },
  });
}
