// Writes an audit log as a Node service with Sequelize keeps it: prints SQL for a table `audit_logs`, each row hashed by
// json-stable-stringify and SHA-256 over an object in which absent values are left out.
//
//   node write.js ROWS SEED ABSENT     ABSENT: omit (absent values are undefined), keep (they are null), mixed (either)

'use strict';
const crypto = require('crypto');
const stringify = require('json-stable-stringify');

const [rows, seed, absent] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];

// mulberry32: the same rows for the same seed.
let state = seed >>> 0;
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

const TEXTS = ['', 'create', 'Größe', '日本語', '😀 ok', 'a"b\\c/d', 'tab\there', 'line\nbreak\r', '\u0001\u001f\u007f', '\u2028\u2029',
  '\ufeff\uffff', '<script>&amp;', "it's", '$1 {} []', '\u0000'.replace('\u0000', ''), 'e\u0301', '\u{10ffff}'];
// JSON texts of scalars, as no serialiser would write them all: JSON.parse decides what they are.
const SCALARS = ['0', '-0', '-0.0', '1', '-1', '1e21', '1E21', '1e20', '123456789012345678901234567890', '9007199254740993',
  '0.1', '0.30000000000000004', '1.0', '1.50', '1e-7', '0.000001', '5e-324', '1.7976931348623157e308', '1e400', '-1e400', '1e-400',
  'true', 'false', 'null', '""', '"\\u0000"', '"\\ud83d"', '"\\uDE00x"', '"\\ud83d\\ude00"', '"\\ud83d\\ud83d\\ude00"', '"\\/"', '"\\u00e9é"',
  '"\\b\\f\\n\\r\\t\\"\\\\"', '"\u2028"', '"\\u001F"', '"\\u007f"', '"😀"', '"\\uffff"'];
const KEYS = ['""', '"a"', '"b"', '"B"', '"10"', '"9"', '"ä"', '"\\u00e4"', '"\uff5e"', '"😀"', '"\\ud83d"', '"a\\nb"', '"__proto__"', '"toJSON"',
  '"constructor"', '"a\\"b"', '"\\\\"', '"a!"', '"a "'];
const blank = () => pick(['', '', '', ' ', '\n  ', '\t']);
function json(depth) {
  const kind = depth > 3 ? 0 : random();
  if (kind < 0.5) return blank() + pick(SCALARS) + blank();
  const count = below(5);
  const members = [];
  for (let i = 0; i < count; i += 1) {
    members.push(kind < 0.7 ? json(depth + 1) : blank() + pick(KEYS) + blank() + ':' + json(depth + 1));
  }
  return blank() + (kind < 0.7 ? '[' + members.join(',') + ']' : '{' + members.join(',') + '}') + blank();
}

// A value, or that there is none: in the text it is left out, or null; in the database it is null.
function maybe(make, chance) {
  if (random() < chance) return make();
  const none = absent === 'mixed' ? pick([undefined, null]) : absent === 'keep' ? null : undefined;
  return { none, sql: 'NULL' };
}
const literal = (text) => "E'" + text.replace(/\\/g, '\\\\').replace(/'/g, "''") + "'";
const text = () => { const value = pick(TEXTS) + below(1000); return { value, sql: literal(value) }; };
const integer = () => { const value = below(2 ** 31) - 2 ** 30; return { value, sql: String(value) }; };
const document = () => {
  const raw = '{"n":' + json(0) + ',"m":' + json(0) + '}';
  return { value: JSON.parse(raw), sql: literal(raw) + '::json' };
};
const uuid = () => crypto.createHash('md5').update(String(random())).digest('hex').replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');

const out = [];
out.push(`CREATE TABLE audit_logs (id uuid PRIMARY KEY, action varchar(255) NOT NULL, "resourceType" varchar(255), "resourceId" varchar(255),
  metadata json, "oldValues" json, "newValues" json, "requestId" uuid, "ipAddress" varchar(255), "userAgent" text, "timestamp" timestamptz NOT NULL,
  "userId" int, reason text, hash varchar(255) NOT NULL, "previousHash" varchar(255), immutable bool NOT NULL DEFAULT true, "companyId" int,
  "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL);`);
let time = Date.UTC(2026, 0, 1);
let previousHash = null;
let batch = [];
const flush = () => {
  if (batch.length) out.push('INSERT INTO audit_logs VALUES\n' + batch.join(',\n') + ';');
  batch = [];
  process.stdout.write(out.splice(0).join('\n') + '\n');
};
for (let i = 0; i < rows; i += 1) {
  time += pick([0, 0, 1, 7, 999, 60000]); // rows of one moment among them
  const columns = {
    action: text(),
    resourceType: maybe(text, 0.8),
    resourceId: maybe(text, 0.8),
    userId: maybe(integer, 0.8),
    oldValues: maybe(document, 0.5),
    newValues: maybe(document, 0.5),
    ipAddress: maybe(text, 0.5),
    userAgent: maybe(text, 0.5),
    timestamp: { value: new Date(time), sql: literal(new Date(time).toISOString()) },
    previousHash: previousHash === null ? maybe(text, 0) : { value: previousHash, sql: literal(previousHash) },
    reason: maybe(text, 0.2),
    companyId: maybe(integer, 0.5),
    metadata: maybe(document, 0.3),
  };
  const entry = {};
  for (const [name, column] of Object.entries(columns)) entry[name] = 'value' in column ? column.value : column.none;
  const hash = crypto.createHash('sha256').update(stringify(entry)).digest('hex');
  const c = (name) => columns[name].sql;
  batch.push(`('${uuid()}',${c('action')},${c('resourceType')},${c('resourceId')},${c('metadata')},${c('oldValues')},${c('newValues')},NULL,` +
    `${c('ipAddress')},${c('userAgent')},${c('timestamp')},${c('userId')},${c('reason')},'${hash}',${c('previousHash')},true,${c('companyId')},` +
    `${c('timestamp')},${c('timestamp')})`);
  previousHash = hash;
  if (batch.length === 1000) flush();
}
flush();
