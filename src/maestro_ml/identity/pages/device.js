// The page of `maestro login --device`. Nothing is kept in the browser but the server's own cookie
// and, on the way to an identity provider and back, the code.

import { at, ask, fragment, once, show, tell, whoAmI } from "/pages/pages.js";

let halfway = "";
let userCode = "";

function signedIn(user) {
  const where = user.tenant ? `, in ${user.tenant.name}` : "";
  at("who").textContent = `You are signed in as ${user.name} (${user.email})${where}.`;
  at("who").hidden = false;
}

async function look() {
  const me = await whoAmI();
  if (me.status === 401) {
    show(...(halfway ? ["second"] : ["sign-in", "single"]));
    return;
  }
  if (!me.ok || !me.said.csrf_token) {
    tell(me.said.detail || "Something is wrong here: try again in a moment.", "bad");
    return;
  }
  signedIn(me.said);
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
    tell(entered.said.detail || "That did not work: try again.", "bad");
    return;
  }
  if ((entered.said.methods || []).includes("enrol")) {
    tell("Your organisation asks for a second step, which your account does not have yet. In a terminal, maestro login helps you to set it up.");
    return;
  }
  tell("");
  halfway = entered.said.mfa_token || "";
  await look();
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

function begin() {
  const sent = fragment();
  if (sent.startsWith("mfa_token=")) halfway = decodeURIComponent(sent.slice("mfa_token=".length));
  else userCode = sent;
  userCode = userCode || sessionStorage.getItem("user_code") || "";
  sessionStorage.removeItem("user_code");
  tell("");
  look().catch(() => tell("The server does not answer: reload this page in a moment.", "bad"));
}

window.addEventListener("hashchange", begin);
begin();
