// An invitation, taken up by somebody new or by somebody who has an account.

import { at, ask, blame, explain, forgive, fragment, once, say, show, tell, whoAmI } from "/pages/pages.js";

const form = at("join");
let token = "";

// A name and a new password, or the password of the account that there is.
function choose(which) {
  const mine = which === "mine";
  for (const choice of form.elements.account) choice.checked = choice.value === which;
  at("name").disabled = mine;
  at("named").hidden = mine;
  at("rules").hidden = mine;
  at("lost").hidden = !mine;
  at("what").textContent = mine ? "Your password" : "Choose a password";
  at("password").autocomplete = mine ? "current-password" : "new-password";
}

function refuse(answer) {
  say("An invitation");
  tell(answer.said.detail || "The server does not answer: open the link again in a moment.", "bad");
  show(...(answer.code === "invitation-invalid" ? ["refused"] : []));
}

async function look() {
  const found = await ask("POST", "/auth/invitations/read", { token });
  if (!found.ok) {
    refuse(found);
    return;
  }
  const { tenant_name, email, role, expires_at } = found.said;
  const me = await whoAmI();
  const same = me.ok && me.said.email.toLowerCase() === email.toLowerCase();
  say(`Join ${tenant_name}`);
  for (const place of document.querySelectorAll(".tenant")) place.textContent = tenant_name;
  at("role").textContent = role;
  at("until").textContent = new Date(expires_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  at("email").value = email;
  at("other").hidden = !me.ok || same;
  if (me.ok) at("other").textContent = `In this browser you are signed in as ${me.said.email}. Joining signs you in as ${email} instead.`;
  choose(same ? "mine" : "new");
  show("join");
}

function welcome({ mfa_required, methods, mfa_token }) {
  at("half").hidden = !mfa_required;
  if (mfa_required) at("go-on").href = `/device#${new URLSearchParams({ mfa_token, methods })}`;
  tell(`You have joined.${mfa_required ? "" : " You are signed in in this browser."}`, "good");
  show("done");
}

form.addEventListener("change", (event) => {
  if (event.target.name !== "account") return;
  forgive(form);
  choose(event.target.value);
});

form.addEventListener("submit", once(async (of) => {
  const mine = of("account") === "mine";
  const body = { token, password: of("password") };
  const joined = await ask("POST", "/auth/invitations/accept", mine ? body : { ...body, name: of("name") });
  if (joined.ok) {
    form.reset();
    welcome(joined.said);
  } else if (joined.code === "invitation-invalid") {
    form.reset();
    refuse(joined);
  } else if (joined.code === "name-needed") {
    choose("new");
    tell("There is no account with this address yet: give a name, and choose a password.");
    at("name").focus();
  } else if (joined.code === "wrong-credentials" && !mine) {
    choose("mine");
    at("password").value = "";
    blame(form, "password", "This address has an account already: give its password.");
    at("password").focus();
  } else {
    const wrong = { ...joined, said: { ...joined.said } };
    if (joined.code === "wrong-credentials") wrong.said.detail = "This is not the account's password.";
    explain(form, wrong, { "password-refused": "password", "wrong-credentials": "password" });
  }
}));

function begin() {
  token = fragment();
  tell("");
  if (!token) {
    show("missing");
    return;
  }
  show();
  look().catch(() => tell("The server does not answer: open the link again in a moment.", "bad"));
}

window.addEventListener("hashchange", begin);
begin();
