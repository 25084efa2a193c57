// Requests to the proxy that served this page. A root key is kept in this tab only and sent as a header only.

const KEY_PLACE = "root_key";
/** No event of the proxy is this long. */
const EVENT_CHARACTERS_MAX = 16 * 1024 * 1024;
/** How long to await an answer's end after its last event: the two are rarely further apart. */
const END_MS_MAX = 3000;

export const rootKey = {
  read: () => sessionStorage.getItem(KEY_PLACE),
  keep: (key) => sessionStorage.setItem(KEY_PLACE, key),
  forget: () => sessionStorage.removeItem(KEY_PLACE),
};

/** An answer without success, in the words of its sender. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A response with a success status; throws `Refused`, with status 0 if there is no answer. */
export async function request(path, { key = rootKey.read(), headers = {}, ...options } = {}) {
  // A browser sends no other characters in a header, and no key of the proxy contains any.
  if (key && /[^!-~]/.test(key)) throw new Refused(401, "invalid_api_key", "This is not a key: it contains a space, or a letter outside ASCII.");
  const authorization = key ? { authorization: `Bearer ${key}` } : {};
  const all = { cache: "no-store", credentials: "omit", redirect: "manual", ...options, headers: { ...headers, ...authorization } };
  const response = await fetch(path, all).catch((error) => {
    throw error.name === "AbortError" ? error : new Refused(0, null, "The proxy does not answer.");
  });
  if (response.ok) return response;
  if (response.type === "opaqueredirect") throw new Refused(0, null, "The platform redirects elsewhere: check its base_url.");
  throw await refusal(response);
}

export async function json(path, options) {
  return (await request(path, options)).json();
}

async function refusal(response) {
  const body = await response.text().catch(() => "");
  let message = body.slice(0, 500) || response.statusText;
  let code = response.headers.get("x-proxy-error");
  try {
    const { error } = JSON.parse(body);
    if (error) message = errorWords(error);
    code ??= error?.code;
  } catch {
    // A platform may answer an error with any text, which is shown as it is.
  }
  return new Refused(response.status, code, message);
}

/** The words of an answer's `error`, which is a text, or has one as `message`; else its JSON. */
export function errorWords(error) {
  const words = error.message ?? error;
  return typeof words === "string" ? words : JSON.stringify(words);
}

/** The server-sent events of a response, as `{name, data}`. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = [];
  let length = 0;
  let name = "";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest.push(value);
      length += value.length;
      if (length > EVENT_CHARACTERS_MAX) throw new Error("an event without end");
      // A CR at the end of a piece may be the first half of a line end.
      if (!/[\r\n]/.test(value) && !rest.at(-2)?.endsWith("\r")) continue;
      const lines = rest.join("").split(/\r\n|\n|\r(?!$)/);
      rest = [lines.pop()];
      length = rest[0].length;
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { name: name || "message", data: data.join("\n") };
          name = "";
          data = [];
        } else if (line.startsWith("data:")) {
          data.push(line.slice(5).replace(/^ /, ""));
        } else if (line.startsWith("event:")) {
          name = line.slice(6).trim();
        }
      }
    }
  } finally {
    leave(reader);
  }
}

/** A reader that needs no more of an answer still awaits its end: the proxy counts one that is left earlier as canceled. */
async function leave(reader) {
  const patience = setTimeout(() => reader.cancel().catch(() => {}), END_MS_MAX);
  try {
    while (!(await reader.read()).done);
  } catch {
    // It broke off: there is nothing left to wait for.
  }
  clearTimeout(patience);
}
