// What can go wrong, as the callbacks of the API tell it: a code of Herald's table
// and a sentence.

// Codes that the client gives by itself; the rest come from the board.
export const CODES = {
  timeout: 6012, // the board did not answer in time
  invalid: 6017, // a parameter is missing or not valid
  interrupted: 7009, // closed while it was under way
  internal: 7012, // an answer that is not Herald's
  unreachable: 9508, // the board's daemon cannot be reached
};

// HeraldError is what promises are rejected with. Callbacks get the plain
// {code, msg} of it.
export class HeraldError extends Error {
  constructor(code, msg, options) {
    super(msg, options);
    this.name = 'HeraldError';
    this.code = code;
    this.msg = msg;
  }

  // plain is what callbacks and JSON get.
  toJSON() { return { code: this.code, msg: this.msg }; }
}

// asError makes a HeraldError of whatever was thrown.
export function asError(e, what) {
  if (e instanceof HeraldError) return e;
  return new HeraldError(CODES.internal, `${what}: ${e?.message ?? e}`, { cause: e });
}

// isFinal tells whether it makes no sense to try again.
export function isFinal(e) { return e.status >= 400 && e.status < 500 && ![408, 429].includes(e.status); }

// waitBefore is how long to wait before a try, in ms: longer each time, and not in
// step with others.
export function waitBefore(tries, { first, most }) {
  return Math.min(most, first * 2 ** Math.min(tries - 1, 16)) * (0.5 + Math.random() / 2);
}

// refusal makes an error of an answer that is no success.
export function refusal(status, text) {
  try {
    const { code, msg } = JSON.parse(text);
    if (Number.isInteger(code)) return Object.assign(new HeraldError(code, String(msg)), { status });
  } catch { /* not JSON: said below */ }
  return Object.assign(new HeraldError(CODES.internal, `HTTP status ${status}, and the answer is not Herald's`), { status });
}
