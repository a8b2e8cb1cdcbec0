// A link for a new password, asked for and used.

import { at, ask, explain, fragment, once, show, tell } from "/pages/pages.js";

let token = "";

at("choose").addEventListener("submit", once(async (of, form) => {
  const done = await ask("POST", "/auth/password/reset", { token, new_password: of("new_password") });
  if (done.ok) {
    form.reset();
    tell("Your new password is set.", "good");
    show("done");
  } else if (done.code === "link-refused") {
    form.reset();
    tell("This link is not valid, or not any more. It works once, for an hour, and only the newest.", "bad");
    show("forgot");
  } else {
    explain(form, done, { "password-refused": "new_password" });
  }
}));

at("forgot").addEventListener("submit", once(async (of, form) => {
  const sent = await ask("POST", "/auth/password/forgot", { email: of("email").trim() });
  if (!sent.ok) {
    explain(form, sent);
    return;
  }
  tell(sent.said.detail, "good");
  show("mailed");
}));

function begin() {
  token = fragment();
  tell("");
  show(token ? "choose" : "forgot");
}

window.addEventListener("hashchange", begin);
begin();
