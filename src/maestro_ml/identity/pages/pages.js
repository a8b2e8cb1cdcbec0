// What the pages share. They keep nothing in the browser but the server's own cookie. Whatever
// comes from elsewhere is shown as text, never as HTML.

const API = "/api/v1";
let csrf = "";
let running = false;

export const at = (id) => document.getElementById(id);

// What stands behind the # of the link, which is taken out of the address at once: neither the
// history nor whoever looks at the screen keeps it. No link of ours has a longer one.
export function fragment() {
  const sent = location.hash.slice(1, 2001);
  history.replaceState(null, "", location.pathname);
  return sent;
}

export function say(words) {
  document.querySelector("h1").textContent = words;
  document.title = `${words} - Maestro ML`;
}

// These steps, and no others. The step gets the focus if it can have it, or else the first thing to
// fill in.
export function show(...ids) {
  for (const step of document.querySelectorAll("[data-step]")) step.hidden = !ids.includes(step.id);
  const first = ids.length ? at(ids[0]) : null;
  const input = first && first.querySelector("input:not([readonly], [type=radio], :disabled)");
  if (first && first.hasAttribute("tabindex")) first.focus();
  else if (input) input.focus();
}

export function tell(words, kind = "") {
  at("told").textContent = words;
  at("told").className = kind;
}

export async function ask(method, path, body) {
  const headers = { Accept: "application/json", "X-Client": "web" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (csrf) headers["X-CSRF-Token"] = csrf;
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await fetch(API + path, { method, headers, body: sent, cache: "no-store" });
  const text = await answer.text();
  let said = {};
  try {
    said = text ? JSON.parse(text) : {};
  } catch {
    said = {};
  }
  const code = String(said.type || "").split("/").pop();
  return { ok: answer.ok, status: answer.status, code, said };
}

// Who is signed in in this browser. What is asked for afterwards is asked for as them.
export async function whoAmI() {
  const me = await ask("GET", "/auth/me");
  csrf = (me.ok && me.said.csrf_token) || "";
  return me;
}

// One thing at a time: while something is under way, pressing does nothing.
export function once(deed) {
  return async (event) => {
    event.preventDefault();
    if (running) return;
    running = true;
    document.body.classList.add("busy");
    const form = event.target instanceof HTMLFormElement ? event.target : null;
    const given = form && new FormData(form);
    tell("");
    try {
      if (!form || complete(form)) await deed((name) => String(given.get(name)), form);
    } catch {
      tell("The server does not answer: try again in a moment.", "bad");
    } finally {
      document.body.classList.remove("busy");
      running = false;
    }
  };
}

// Says beside each field what is wrong with it; what belongs to no field is said above all of them.
export function explain(form, answer, fields = {}) {
  const { code, said } = answer;
  const faults = (said.faults || []).map((fault) => [fault.at[1], sentence(fault.why)]);
  if (fields[code]) faults.unshift([fields[code], said.detail]);
  const known = faults.filter(([name, why]) => blame(form, name, why));
  if (known.length) form.querySelector("[aria-invalid=true]").focus();
  else tell(said.detail || "That did not work: try again in a moment.", "bad");
}

export function blame(form, name, why) {
  const field = form.elements.namedItem(String(name));
  const place = field && at(`${field.id}-why`);
  if (!place) return false;
  field.setAttribute("aria-invalid", "true");
  place.textContent = why;
  place.hidden = false;
  return true;
}

export function forgive(form) {
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    const place = at(`${field.id}-why`);
    place.textContent = "";
    place.hidden = true;
  }
}

function complete(form) {
  if (!form.noValidate) return true; // the browser has looked
  forgive(form);
  for (const field of form.querySelectorAll("input[required]:not(:disabled)")) {
    if (!field.value.trim()) blame(form, field.name, "Fill this in.");
  }
  const missing = form.querySelector("[aria-invalid=true]");
  if (missing) missing.focus();
  return !missing;
}

function sentence(why) {
  const words = String(why).replace(/^Value error, /, "");
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

for (const tick of document.querySelectorAll("[data-shows]")) {
  tick.addEventListener("change", () => {
    at(tick.dataset.shows).type = tick.checked ? "text" : "password";
  });
}
for (const place of document.querySelectorAll("[data-origin]")) place.textContent = location.origin;
