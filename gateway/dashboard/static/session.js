// Passkeys, one-time links, and the lock. What this can't do works as plain forms.

const unb64 = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const b64 = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function call(path, body, method = "POST") {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
  const text = await answer.text();
  const data = text ? JSON.parse(text) : {};
  if (!answer.ok) throw new Error([data.error, ...(data.details ?? []).map((d) => d.message)].join(" "));
  return data;
}

function readable(options) {
  const list = (given) => given?.map((each) => ({ ...each, id: unb64(each.id) }));
  const read = { ...options, challenge: unb64(options.challenge) };
  if (options.user) read.user = { ...options.user, id: unb64(options.user.id) };
  if (options.allowCredentials) read.allowCredentials = list(options.allowCredentials);
  if (options.excludeCredentials) read.excludeCredentials = list(options.excludeCredentials);
  return read;
}

function sendable(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = b64(credential.response[name]);
  }
  return {
    id: credential.id,
    rawId: b64(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

const get = async (options) => sendable(await navigator.credentials.get({ publicKey: readable(options) }));
const create = async (options) => sendable(await navigator.credentials.create({ publicKey: readable(options) }));

const ceremonies = {
  "sign-in": async () => {
    const begun = await call("/api/session/passkey/begin");
    await call("/api/session/passkey", { token: begun.token, response: await get(begun.options) });
  },
  "step-up": async () => {
    const begun = await call("/api/session/step-up/begin");
    await call("/api/session/step-up", { token: begun.token, response: await get(begun.options) });
  },
  enrol: async (button) => {
    const passkey = await create(JSON.parse(button.dataset.options));
    await call("/api/session/enrol", { token: button.dataset.token, passkey });
  },
  own: async (button) => {
    const passkey = await create(JSON.parse(button.dataset.options));
    await call("/api/session/factors", { token: button.dataset.token, passkey });
  },
};

function show(problem) {
  const note = document.querySelector("[data-problem]");
  if (!note) return;
  note.querySelector("p").textContent = problem;
  note.hidden = false;
}

if (window.PublicKeyCredential) {
  for (const each of document.querySelectorAll("[data-scripted]")) each.hidden = false;
  for (const button of document.querySelectorAll("[data-passkey]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await ceremonies[button.dataset.passkey](button);
        location.assign(button.dataset.next);
      } catch (error) {
        button.disabled = false;
        if (error.name !== "NotAllowedError" && error.name !== "AbortError") show(error.message);
      }
    });
  }
}

// A one-time link: its token is in the fragment, and leaves the address at once.
const fragment = document.querySelector("[data-fragment]");
if (fragment && location.hash.length > 1) {
  fragment.value = location.hash.slice(1);
  fragment.closest("[data-unless-fragment]").hidden = true;
  history.replaceState(null, "", location.pathname);
}

// What was typed into the forms of this page that were touched, by name; boxes as lists.
function typed() {
  const isBox = (each) => each.type === "checkbox" || each.type === "radio";
  const isTouched = (each) => {
    if (isBox(each)) return each.checked !== each.defaultChecked;
    if (each.options) return [...each.options].some((one) => one.selected !== one.defaultSelected);
    return each.value !== each.defaultValue;
  };
  const kept = [...document.querySelectorAll("[data-keep]")];
  const touched = new Set(kept.filter(isTouched).map((each) => each.form));
  const fields = {};
  for (const each of kept.filter((one) => touched.has(one.form))) {
    if (!isBox(each)) fields[each.name] = each.value;
    else fields[each.name] = [...(fields[each.name] ?? []), ...(each.checked ? [each.value] : [])];
  }
  return fields;
}

// The lock: warns a minute before, then takes the page away. What was typed goes to the gateway
// alone, which gives it back to the same person; nothing is kept in the browser.
const locksIn = Number(document.body.dataset.locksIn ?? 0) * 1000;
if (locksIn > 0) {
  const dialog = document.getElementById("locks");
  const warning = Math.min(60_000, locksIn / 2);
  let timers = [];
  let extendedAt = Date.now();

  const lock = async () => {
    const fields = typed();
    document.body.replaceChildren();
    try {
      await call("/api/session/lock", { path: location.pathname, fields });
    } catch {
      // The session is gone; the page is, too.
    }
    location.replace(`/dashboard/lock?next=${encodeURIComponent(document.body.dataset.here)}`);
  };
  const start = () => {
    timers.forEach(clearTimeout);
    timers = [setTimeout(() => dialog.showModal(), locksIn - warning), setTimeout(lock, locksIn)];
  };
  const extend = async () => {
    extendedAt = Date.now();
    start();
    dialog.close();
    try {
      await call("/api/session/extend");
    } catch {
      await lock();
    }
  };
  for (const kind of ["keydown", "pointerdown"]) {
    addEventListener(kind, () => {
      if (dialog.open || Date.now() - extendedAt > Math.min(60_000, locksIn / 4)) extend();
    });
  }
  start();
}
