// A link that proves an address. Opening it does nothing, since programs that look for harmful mail
// open links, too: a person presses the button.

import { at, ask, fragment, once, show, tell, whoAmI } from "/pages/pages.js";

let token = "";

async function verify() {
  const me = await whoAmI();
  const done = await ask("POST", "/auth/email/verify", { token });
  if (done.ok) {
    tell("Your e-mail address is verified.", "good");
    show("done");
  } else if (done.code === "link-refused") {
    tell(`This link is not valid${me.ok ? " here" : ""}, or not any more.`, "bad");
    at("who").textContent = me.ok ? me.said.email : "";
    show(me.ok ? "other" : "refused");
  } else {
    tell(done.said.detail || "That did not work: try again in a moment.", "bad");
  }
}

at("verify").addEventListener("click", once(verify));
at("leave").addEventListener("click", once(async () => {
  await ask("POST", "/auth/logout");
  await verify();
}));
at("resend").addEventListener("click", once(async () => {
  const sent = await ask("POST", "/auth/email/resend");
  tell(sent.said.detail || "That did not work: try again in a moment.", sent.ok ? "good" : "bad");
}));

function begin() {
  token = fragment();
  tell("");
  show(token ? "ask" : "missing");
}

window.addEventListener("hashchange", begin);
begin();
