// News of the gateway: one stream for all tabs, regions that refresh themselves, what is new that
// waits behind a button, and how fresh the page is. The gateway sends topics and ids; what a page
// shows is fetched from its own address.

const STALE = 15_000;
const OLD = 60_000;
const FIRST_GAP = 1_000;
const LAST_GAP = 30_000;
const CLICK_AFTER = 100; // a click follows the release; on a touch screen somewhat later
const KINDS = ["changes", "tick", "reset", "end"];
const NAME = "rx-gateway stream";

// -- the stream, which one tab holds for all ------------------------------------------------

function lead(say) {
  const recent = [];
  let place = null;
  let pause = FIRST_GAP;
  const open = () => {
    const source = new EventSource(`/dashboard/stream${place === null ? "" : `?after=${place}`}`);
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        pause = FIRST_GAP;
        if (event.lastEventId) place = event.lastEventId;
        const message = { kind, ...JSON.parse(event.data) };
        if (kind === "changes") recent.push({ message, at: Date.now() });
        while (recent.length && Date.now() - recent[0].at > STALE) recent.shift();
        if (kind === "end" && message.reason !== "stopping") source.close();
        say(message);
      });
    }
    source.onerror = async () => {
      if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
      const answer = await fetch("/api/session", { headers: { "X-Gateway-Quiet": "1" } }).catch(() => null);
      if (answer?.status === 401) say({ kind: "end", reason: "signed_out" });
      else setTimeout(open, (pause = Math.min(pause * 2, LAST_GAP)));
    };
  };
  open();
  return () => recent.map((each) => each.message);
}

function listen(hear) {
  if (!navigator.locks || !window.BroadcastChannel) {
    lead(hear);
    return;
  }
  const channel = new BroadcastChannel(NAME);
  let heard = null;
  channel.onmessage = ({ data }) => {
    if (data.kind !== "hello") hear(data);
    else for (const message of heard?.() ?? []) channel.postMessage(message);
  };
  // What came while this page was on its way.
  channel.postMessage({ kind: "hello" });
  navigator.locks.request(NAME, () => {
    heard = lead((message) => {
      channel.postMessage(message);
      hear(message);
    });
    return new Promise(() => {}); // until this tab closes
  });
}

// -- regions ------------------------------------------------------------------------------------

let keep = () => () => {}; // what a person did in a part that is replaced; live.js knows how
const dirty = new Set();
const counted = new Map(); // by region: ids that are new, known without fetching
let gap = FIRST_GAP;
let notBefore = 0;
let newsAt = 0;
let timer = null;

const rowsOf = (region) => new Map([...region.querySelectorAll("[data-id]")].map((row) => [row.dataset.id, row]));

function concerns(token, change) {
  const [topic, id] = token.split(":");
  return topic === change.topic && (!id || change.more || change.ids.includes(id));
}

function note(changes) {
  const { liveMode, liveSite } = document.body.dataset;
  const own = changes.filter(
    (each) => (!each.mode || !liveMode || each.mode === liveMode) && (!each.site || !liveSite || each.site === liveSite),
  );
  for (const region of document.querySelectorAll("[data-live]")) {
    const tokens = region.dataset.live.split(/\s+/);
    const found = own.filter((change) => tokens.some((token) => concerns(token, change)));
    if (found.length) mark(region, found);
  }
  schedule();
}

function mark(region, changes) {
  if (region.dataset.liveUnfiltered !== undefined && region.querySelector("[data-id]") && !changes.some((e) => e.more)) {
    // Of a list that shows everything, newest first, what isn't in it is new.
    const rows = rowsOf(region);
    const kind = rows.keys().next().value.split("_")[0];
    const ids = changes.flatMap((each) => each.ids).filter((id) => id.split("_")[0] === kind);
    const unknown = ids.filter((id) => !rows.has(id));
    if (unknown.length && unknown.length === ids.length && isHeld(region)) {
      const all = counted.get(region.id) ?? new Set();
      unknown.forEach((id) => all.add(id));
      counted.set(region.id, all);
      offer(region, all.size);
      return;
    }
  }
  dirty.add(region.id);
}

function schedule() {
  if (timer !== null || !dirty.size || document.hidden) return;
  // Not all browsers at once.
  timer = setTimeout(refresh, Math.max(0, notBefore - Date.now()) + Math.random() * 150);
}

// A button between press and release: replaced now, its click would be lost.
let pressed = null;

addEventListener("pointerdown", (event) => (pressed = event.target), true);
for (const kind of ["pointerup", "pointercancel"]) {
  addEventListener(kind, () => setTimeout(() => (pressed = null), CLICK_AFTER), true);
}

// A field that is typed in, or something open, pressed or being sent, is left alone until it is done with.
export function isBusy(region) {
  const active = document.activeElement;
  if (region.contains(active) && active.matches("input:not([type=checkbox],[type=radio]), textarea, select")) return true;
  if (pressed !== null && region.contains(pressed)) return true;
  return region.matches("[aria-busy=true]") || region.querySelector("dialog[open], :popover-open, [aria-busy=true]") !== null;
}

async function refresh() {
  timer = null;
  const all = [...dirty].map((id) => document.getElementById(id)).filter(Boolean);
  const wanted = all.filter((region) => !isBusy(region));
  const later = all.filter((region) => isBusy(region)).map((region) => region.id);
  dirty.clear();
  const now = Date.now();
  gap = now - newsAt > 2 * gap + FIRST_GAP ? FIRST_GAP : Math.min(gap * 2, LAST_GAP);
  newsAt = now;
  notBefore = now + gap;
  if (wanted.length) await fetchInto(wanted, false);
  later.forEach((id) => dirty.add(id));
  schedule();
}

async function fetchInto(regions, isWanted) {
  const ids = regions.map((region) => region.id);
  const headers = { "X-Gateway-Quiet": "1", "X-Gateway-Region": ids.join(",") };
  let text = null;
  try {
    const answer = await fetch(location.href, { headers, redirect: "manual" });
    if (answer.ok) text = await answer.text();
  } catch {
    // Out of reach: the freshness mark says so.
  }
  if (text === null) {
    ids.forEach((id) => dirty.add(id));
    notBefore = Math.max(notBefore, Date.now() + 5_000);
    return;
  }
  const found = new DOMParser().parseFromString(text, "text/html");
  for (const region of regions) {
    const fresh = found.getElementById(region.id);
    // What replaced it meanwhile, or is about to, is newer than this answer.
    if (!region.isConnected) {
      if (document.getElementById(region.id)?.dataset.live !== undefined) dirty.add(region.id);
    } else if (!isWanted && isBusy(region)) dirty.add(region.id);
    else if (fresh) update(region, document.adoptNode(fresh), isWanted);
  }
}

// Rows that a person is at don't move: under the pointer, with the focus, checked, scrolled to.
function isHeld(region) {
  return (
    region.matches(":hover") ||
    region.contains(document.activeElement) ||
    region.querySelector("input:checked") !== null ||
    region.getBoundingClientRect().top < 0
  );
}

function update(region, fresh, isWanted) {
  const before = rowsOf(region);
  const after = rowsOf(fresh);
  if (!before.size || !after.size || isWanted) {
    if (isWanted || !isHeld(region) || !before.size) return swap(region, fresh, before);
  }
  const added = [...after.keys()].filter((id) => !before.has(id)).length;
  const gone = [...before.keys()].filter((id) => !after.has(id)).length;
  if ((added || gone) && !isHeld(region)) return swap(region, fresh, before);
  for (const [id, row] of before) {
    if (after.has(id)) patch(row, after.get(id));
  }
  if (added || gone) offer(region, added || gone);
  return undefined;
}

function swap(region, fresh, before) {
  counted.delete(region.id);
  const back = keep(region, fresh);
  region.replaceWith(fresh);
  for (const [id, row] of rowsOf(fresh)) {
    if (before.size && !before.has(id)) row.dataset.new = "";
  }
  back();
  offer(fresh, 0);
  fresh.dispatchEvent(new CustomEvent("swapped", { bubbles: true }));
}

// Cell by cell: what was revealed, checked or has the focus stays.
function patch(row, fresh) {
  if (row.isEqualNode(fresh)) return;
  keep(row, fresh);
  const revealed = row.querySelector(".seen") !== null;
  const cells = [...row.children];
  const others = [...fresh.children];
  if (cells.length !== others.length) {
    if (!row.contains(document.activeElement) && !revealed) row.replaceWith(fresh);
    return;
  }
  cells.forEach((cell, place) => {
    const other = others[place];
    const isKept = cell.isEqualNode(other) || cell.contains(document.activeElement) || cell.querySelector("input");
    if (!isKept && !(revealed && (other.querySelector(".mask, .peek") || cell.querySelector(".seen")))) cell.replaceWith(other);
  });
}

function offer(region, count) {
  for (const button of document.querySelectorAll("[data-live-new]")) {
    if (button.dataset.liveNew !== region.id) continue;
    button.hidden = !count;
    if (count) button.textContent = count === 1 ? button.dataset.one : button.dataset.many.replace("%n", count);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-live-new]");
  const region = button && document.getElementById(button.dataset.liveNew);
  if (!region) return;
  event.preventDefault();
  fetchInto([region], true);
});

/** Forget what waited for a region that was replaced by other means. */
export function rescan(region) {
  counted.delete(region.id);
  dirty.delete(region.id);
  offer(region, 0);
}

// -- freshness ------------------------------------------------------------------------------

let heardAt = Date.now();

function showFreshness() {
  const age = Date.now() - heardAt;
  const mark = document.querySelector("[data-fresh]");
  if (mark) {
    const { ok, age: seconds, ageMin } = mark.dataset;
    const text = age < STALE ? ok : age < 60_000 ? seconds.replace("%n", Math.round(age / 5000) * 5) : ageMin.replace("%n", Math.floor(age / 60_000));
    const shown = mark.querySelector("[data-fresh-text]") ?? mark;
    if (text !== undefined && shown.textContent !== text) shown.textContent = text;
    if (age < STALE) delete mark.dataset.s;
    else mark.dataset.s = "stale";
  }
  const isOld = age >= OLD;
  for (const each of document.querySelectorAll("[data-stale-note]")) each.hidden = !isOld;
  for (const form of document.querySelectorAll("form[method=post]")) {
    for (const button of form.querySelectorAll("button:not([type=button], [data-always])")) {
      if (isOld && !button.disabled) {
        button.disabled = true;
        button.dataset.staleDisabled = "";
      } else if (!isOld && button.dataset.staleDisabled !== undefined) {
        button.disabled = false;
        delete button.dataset.staleDisabled;
      }
    }
  }
}

/** Begin; `onEnd(reason)` is called when the session locked or ended, `keep(old, fresh)` before a
 *  part of the page is replaced, and what it answers after. */
export function start({ onEnd, keep: keeper }) {
  keep = keeper ?? keep;
  listen((message) => {
    heardAt = Date.now();
    if (message.kind === "changes") note(message.changes);
    else if (message.kind === "reset") {
      for (const region of document.querySelectorAll("[data-live]")) dirty.add(region.id);
      schedule();
    } else if (message.kind === "end" && message.reason !== "stopping") onEnd?.(message.reason);
    showFreshness();
  });
  document.addEventListener("visibilitychange", schedule);
  setInterval(showFreshness, 1_000);
  for (const mark of document.querySelectorAll("[data-fresh]")) mark.hidden = false;
}
