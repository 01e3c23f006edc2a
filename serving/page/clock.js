/**
 * The server's time, by the Date header of its answers: a customer's own clock may be off, and deadlines are the server's.
 */

let offset = 0; // milliseconds

/** Takes the time of an answer that has just come. */
export function setClock(header) {
  const at = Date.parse(header ?? "");
  if (at) offset = at + 500 - Date.now(); // the header has whole seconds
}

/** Now, in milliseconds. */
export const now = () => Date.now() + offset;
