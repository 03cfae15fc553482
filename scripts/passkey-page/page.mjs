/* global document, fetch, setTimeout, SimpleWebAuthnBrowser */

// Asks the program on this machine for the next step, shows it, and runs the ceremony when the person says so.

const element = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

let lastNumber = 0;

async function nextStep() {
  for (;;) {
    const step = await (await fetch("step")).json();
    if (step.number !== undefined && step.number !== lastNumber) return step;
    await pause(200);
  }
}

function show({ title, words, shown = [], hash, button }) {
  element("title").textContent = title;
  element("words").textContent = words;
  element("shown").replaceChildren(
    ...shown.map((line) => Object.assign(document.createElement("li"), { textContent: line })),
  );
  element("hash").hidden = hash === undefined;
  element("hash").querySelector("code").textContent = hash ?? "";
  element("go").hidden = button === undefined;
  element("go").textContent = button ?? "";
  element("status").textContent = "";
}

async function answer(number, body) {
  await fetch("answer", { method: "POST", body: JSON.stringify({ step: number, ...body }) });
}

/** Runs the ceremony once the button is pressed; a refusal by the person can be tried again or is reported. */
async function ceremony(step, run) {
  element("go").disabled = false;
  await new Promise((pressed) => {
    element("go").onclick = pressed;
  });
  element("go").disabled = true;
  element("status").textContent = "Waiting for your passkey…";
  try {
    await answer(step.number, { response: await run() });
  } catch (error) {
    await answer(step.number, { error: error.name });
  }
}

async function main() {
  for (;;) {
    const step = await nextStep();
    lastNumber = step.number;
    if (step.kind === "create") {
      show({
        title: "Make a passkey",
        words: "It will own your master account. It is kept by this browser or your authenticator, never by AgentKeys.",
        button: "Make a passkey",
      });
      await ceremony(step, () => SimpleWebAuthnBrowser.startRegistration({ optionsJSON: step.options }));
    } else if (step.kind === "get") {
      show({
        title: "Sign with your passkey",
        words: "Your master account will make these calls, and no others:",
        shown: step.shown,
        hash: step.hash,
        button: "Sign",
      });
      await ceremony(step, () => SimpleWebAuthnBrowser.startAuthentication({ optionsJSON: step.options }));
    } else {
      show({ title: "AgentKeys", words: step.words });
      return;
    }
    element("go").hidden = true;
    element("status").textContent = "Sent. Waiting for the chain…";
  }
}

main().catch(() => show({ title: "AgentKeys", words: "The program has ended. This page can be closed." }));
