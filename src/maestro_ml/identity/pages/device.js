// The page of `maestro login --device`, and of every sign-in in a browser that waits for its second
// step. Nothing is kept in the browser but the server's own cookie and, on the way to an identity
// provider and back, the code.

import { at, ask, fragment, once, say, show, tell, whoAmI } from "/pages/pages.js";

const MARGIN = 4; // modules of white that a camera needs around the code

let halfway = "";
let userCode = "";
let goal = null; // where a sign-in through an identity provider ends, if not here

function signedIn(user) {
  const where = user.tenant ? `, in ${user.tenant.name}` : "";
  at("who").textContent = `You are signed in as ${user.name} (${user.email})${where}.`;
  at("who").hidden = false;
}

async function look() {
  const me = await whoAmI();
  if (me.status === 401) {
    show("sign-in", "single");
    return;
  }
  if (!me.ok || !me.said.csrf_token) {
    tell(me.said.detail || "Something is wrong here: try again in a moment.", "bad");
    return;
  }
  signedIn(me.said);
  if (goal) {
    location.assign(goal);
    return;
  }
  await find();
}

async function find() {
  if (!userCode) {
    show("code");
    return;
  }
  const found = await ask("GET", `/auth/device/pending?user_code=${encodeURIComponent(userCode)}`);
  if (!found.ok) {
    tell(found.said.detail || "This code cannot be looked up now.", "bad");
    userCode = "";
    show("code");
    return;
  }
  tell("");
  at("the-code").textContent = userCode.toUpperCase();
  at("client").textContent = found.said.client || "(it does not say)";
  at("ip").textContent = found.said.ip || "(not known)";
  at("agent").textContent = found.said.user_agent || "(it does not say)";
  at("begun").textContent = new Date(found.said.created_at).toLocaleString();
  show("asked");
}

async function enter(path, body) {
  const entered = await ask("POST", path, body);
  if (!entered.ok) {
    refuse(entered);
    return;
  }
  const { mfa_token, methods, recovery_codes } = entered.said;
  halfway = mfa_token || "";
  if (halfway) await second(methods);
  else if (recovery_codes) keep(recovery_codes);
  else await look();
}

// The second step, or how there comes to be one.
async function second(methods) {
  if (!methods.includes("enrol")) {
    show("second");
    return;
  }
  const begun = await ask("POST", "/auth/login/mfa/enrol", { mfa_token: halfway });
  if (!begun.ok) {
    refuse(begun);
    return;
  }
  draw(begun.said.qr_rows);
  at("secret").textContent = begun.said.secret.match(/.{1,4}/g).join(" ");
  show("enrol");
}

// Some refusals leave but another way to go on.
function refuse({ code, said }) {
  tell(said.detail || "That did not work: try again.", "bad");
  if (code === "mfa-active") show("second");
  if (code !== "mfa-token-invalid" && code !== "sign-in-again") return;
  halfway = "";
  show("sign-in", "single");
}

function draw(rows) {
  const size = rows.length + 2 * MARGIN;
  const dark = rows.flatMap((row, y) =>
    [...row.matchAll(/1+/g)].map((run) => `M${run.index} ${y}h${run[0].length}v1h-${run[0].length}z`));
  at("qr").setAttribute("viewBox", `-${MARGIN} -${MARGIN} ${size} ${size}`);
  at("qr").firstElementChild.setAttribute("d", dark.join(""));
}

function keep(codes) {
  draw([]);
  at("secret").textContent = "";
  at("recovery").textContent = codes.join("\n");
  show("codes");
}

async function decide(what, words, kind) {
  const done = await ask("POST", `/auth/device/${what}`, { user_code: userCode });
  if (!done.ok) {
    tell(done.said.detail || "That did not work: try again.", "bad");
    return;
  }
  show();
  tell(words, kind);
}

at("sign-in").addEventListener("submit", once(async (of, form) => {
  await enter("/auth/login", { email: of("email"), password: of("password") });
  form.elements.password.value = "";
}));
at("second").addEventListener("submit", once(async (of, form) => {
  const code = of("code").trim();
  const proof = /^[0-9]{3} ?[0-9]{3}$/.test(code) ? { code } : { recovery_code: code };
  await enter("/auth/login/mfa", { mfa_token: halfway, ...proof });
  form.elements.code.value = "";
}));
at("confirm").addEventListener("submit", once(async (of, form) => {
  await enter("/auth/login/mfa/confirm", { mfa_token: halfway, code: of("code").trim() });
  form.elements.code.value = "";
}));
at("kept").addEventListener("click", once(async () => {
  at("recovery").textContent = "";
  await look();
}));
at("single").addEventListener("submit", once(async (of) => {
  if (userCode) sessionStorage.setItem("user_code", userCode);
  const path = ["oidc", of("tenant"), of("provider"), "start"].map(encodeURIComponent).join("/");
  location.assign(`/api/v1/auth/${path}?next=%2Fdevice`);
}));
at("code").addEventListener("submit", once(async (of) => {
  userCode = of("user_code").trim();
  await find();
}));
at("approve").addEventListener("click", once(() =>
  decide("approve", "Approved. You can close this page and go on in the terminal.", "good")));
at("deny").addEventListener("click", once(() =>
  decide("deny", "Denied. The terminal has got nothing.", "")));

// On this server, or nowhere: anybody can make a link up.
function inside(path) {
  const found = URL.canParse(path, location.href) ? new URL(path, location.href) : null;
  return found && found.origin === location.origin ? found.href : null;
}

function begin() {
  const sent = fragment();
  const parts = new URLSearchParams(sent);
  halfway = parts.get("mfa_token") || "";
  goal = halfway && parts.has("next") ? inside(parts.get("next")) : null;
  userCode = (halfway ? "" : sent) || sessionStorage.getItem("user_code") || "";
  sessionStorage.removeItem("user_code");
  say(goal ? "Sign in" : "Sign in a terminal");
  tell("");
  const going = halfway ? second((parts.get("methods") || "").split(",")) : look();
  going.catch(() => tell("The server does not answer: reload this page in a moment.", "bad"));
}

window.addEventListener("hashchange", begin);
begin();
