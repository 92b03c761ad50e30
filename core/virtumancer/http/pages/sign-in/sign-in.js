// Signs in with the link behind the #, which was sent to nobody, or with name and password.
const session = "/api/v1/session";
const form = document.getElementById("sign-in");
const signedIn = document.getElementById("signed-in");
const message = document.getElementById("message");
const replace = document.getElementById("replace");
const elsewhere = document.getElementById("elsewhere");
// What may have become of an attempt to sign in elsewhere, by the word that the server sends the browser back with.
const problems = new Map([
  ["cancelled", "Signing in was cancelled."],
  ["expired", "This attempt to sign in began in another browser, or too long ago. Try again."],
  ["refused", "The answer of the provider could not be trusted. Try again, or tell your administrator."],
  ["unavailable", "The provider cannot be reached just now. Try again in a moment."],
  ["no-rights", "You are in no group that may use this server. Ask your administrator."],
  ["wait", "Too many attempts to sign in failed. Wait a moment."],
]);

async function ask(method, body) {
  const options = { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) };
  const answer = await fetch(session, options);
  const document = answer.status === 204 ? { signed_in: false } : await answer.json();
  if (!answer.ok) throw Object.assign(new Error(document.detail), { status: answer.status, actor: document.actor });
  return document;
}

function show(state) {
  form.hidden = state.signed_in;
  signedIn.hidden = !state.signed_in;
  if (state.oidc) document.getElementById("provider").textContent = state.oidc;
  elsewhere.hidden = state.signed_in || !document.getElementById("provider").textContent;
  document.getElementById("actor").textContent = state.actor ?? "";
}

async function attempt(method, body) {
  message.textContent = "";
  replace.hidden = true;
  try {
    show(await ask(method, body));
  } catch (error) {
    message.textContent = error.message;
    if (method === "POST") show(await ask("GET"));
    if (body?.link && error.status === 409 && error.actor) offer(body.link, error.actor);
  }
}

// A link of somebody else may be a trap: whoever follows it decides.
function offer(link, actor) {
  message.textContent = `This link signs you in as ${actor}. Whoever sent it sees what you do there.`;
  replace.textContent = `Sign in as ${actor} instead`;
  replace.hidden = false;
  replace.onclick = () => attempt("POST", { link, replace: true });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { user, password } = Object.fromEntries(new FormData(form));
  await attempt("POST", { user, password });
  form.reset();
});
document.getElementById("sign-out").addEventListener("click", () => attempt("DELETE"));

const link = location.hash.slice(1);
const problem = problems.get(new URLSearchParams(location.search).get("problem"));
// Neither the history nor a reload has it again.
history.replaceState(null, "", location.pathname);
await attempt(...(link ? ["POST", { link }] : ["GET"]));
if (problem) message.textContent = problem;
