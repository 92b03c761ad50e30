// Draws the OpenAPI document of this server: operations by tag, each with what it takes and what it answers.
const place = document.getElementById("operations");
const message = document.getElementById("message");
const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// What stands in the document is text to be shown, never markup; between backticks it is code.
function prose(content) {
  const parts = (content ?? "").replace(/^- /gm, "").split("`");
  return element("span", {}, ...parts.map((part, index) => (index % 2 ? element("code", {}, part) : part)));
}
const text = (content) => element("p", {}, prose(content));
const code = (content) => element("pre", {}, typeof content === "string" ? content : JSON.stringify(content, null, 2));

function resolve(api, object) {
  if (!object?.$ref) return object;
  return object.$ref.slice(2).split("/").reduce((part, key) => part[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
}

function type(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(type).join(" or ");
  if (schema.allOf) return schema.allOf.map(type).filter(Boolean).join(", ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return `array of ${type(schema.items) || "anything"}`;
  return [schema.type ?? "anything"].flat().join(" or ");
}

function table(head, rows) {
  const cells = (row, name) => element("tr", {}, ...row.map((cell) => element(name, {}, cell ?? "")));
  return element("table", {}, element("thead", {}, cells(head, "th")), element("tbody", {}, ...rows.map((row) => cells(row, "td"))));
}

function fields(api, schema) {
  const found = resolve(api, schema);
  if (!found?.properties) return null;
  const needed = new Set(found.required ?? []);
  const rows = Object.entries(found.properties).map(([name, one]) => [
    needed.has(name) ? name : `${name} (optional)`, type(one), prose(one.description),
  ]);
  return rows.length ? table(["Key", "Type", "Meaning"], rows) : null;
}

function body(api, title, media) {
  if (!media) return null;
  const inner = media.schema?.type === "array" ? media.schema.items : media.schema;
  return element("div", {}, element("h4", {}, `${title}: ${type(media.schema)}`), fields(api, inner),
    media.example === undefined ? null : code(media.example));
}

function answers(api, operation) {
  const rows = Object.entries(operation.responses ?? {}).map(([status, response]) => [status, prose(resolve(api, response).description)]);
  return table(["Status", "Meaning"], rows);
}

function curl(method, path, parameters, sent) {
  const filled = path.replace(/\{(\w+)\}/g, (whole, name) => {
    const example = parameters.find((one) => one.in === "path" && one.name === name)?.example;
    return example === undefined ? whole : encodeURIComponent(example);
  });
  const data = sent?.example === undefined ? "" : ` -d '${JSON.stringify(sent.example).replaceAll("'", "'\\''")}'`;
  return `curl -H "Authorization: Bearer $TOKEN"${method === "get" ? "" : ` -X ${method.toUpperCase()}`} ${location.origin}${filled}${data}`;
}

function draw(api, path, method, operation) {
  const parameters = (operation.parameters ?? []).map((one) => resolve(api, one));
  const sent = operation.requestBody?.content["application/json"];
  const right = operation["x-right"] ? text(`Needs the right "${operation["x-right"]}".`) : null;
  const plugin = operation["x-plugin"] ? text(`Added by the plugin "${operation["x-plugin"]}".`) : null;
  const success = Object.entries(operation.responses ?? {}).find(([status]) => status.startsWith("2"));
  const answer = success ? resolve(api, success[1]).content?.["application/json"] : null;
  const kind = operation["x-websocket"] ? "socket" : method;
  const drawn = element("details", { class: "operation", id: operation.operationId },
    element("summary", {}, element("span", { class: `method ${kind}` }, kind.toUpperCase()), element("code", {}, path),
      element("span", {}, operation.summary ?? "")),
    operation.description ? text(operation.description) : null, right, plugin,
    parameters.length ? table(["Parameter", "Where", "Type", "Meaning"], parameters.map((one) => [one.name, one.in, type(one.schema), prose(one.description)])) : null,
    body(api, "Body", sent), body(api, "Answer", answer), answers(api, operation),
    operation["x-websocket"] ? null : code(curl(method, path, parameters, sent)));
  drawn.dataset.words = [path, operation.operationId, operation.summary, operation.description].join(" ").toLowerCase();
  return drawn;
}

function show(api) {
  document.getElementById("version").textContent = api.info.version;
  const sections = new Map(api.tags.map((tag) => [tag.name, element("section", {}, element("h2", {}, tag.name), text(tag.description))]));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((one) => methods[one])) {
      const operation = methods[method];
      sections.get(operation.tags[0])?.append(draw(api, path, method, operation));
    }
  }
  place.replaceChildren(...sections.values());
  const wanted = document.getElementById(location.hash.slice(1));
  if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
}

document.getElementById("find").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase();
  for (const drawn of place.querySelectorAll(".operation")) drawn.hidden = !drawn.dataset.words.includes(words);
  for (const section of place.querySelectorAll("section")) section.hidden = !section.querySelector(".operation:not([hidden])");
});

const answer = await fetch("/api/v1/openapi.json");
if (answer.ok) {
  show(await answer.json());
} else if (answer.status === 401) {
  message.append("Sign in first: ", element("a", { href: "/sign-in/" }, "sign in"), ".");
} else {
  message.textContent = `The document cannot be had: ${answer.status} ${answer.statusText}`;
}
place.removeAttribute("aria-busy");
