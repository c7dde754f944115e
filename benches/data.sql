-- A table as applications have them: text of varying length, jsonb, uuid, numeric, timestamps, nulls. The same on every
-- machine: no randomness, only hashes of row numbers. Needs the psql variable "rows".

-- Sentences of words that are neither all alike nor noise.
CREATE TEMPORARY TABLE sentences AS
SELECT s AS number, string_agg(word, ' ' ORDER BY w) || '.' AS text
FROM generate_series(0, 4999) s,
     generate_series(1, 16) w,
     LATERAL (SELECT substr(md5(((hashint4(s * 31 + w) & 2147483647) % 3000)::text), 1, 2 + (hashint4(s + w * 7) & 2147483647) % 8) AS word) words
GROUP BY s;
ALTER TABLE sentences ADD PRIMARY KEY (number);
ANALYZE sentences;

CREATE TABLE documents (
    id bigint GENERATED ALWAYS AS IDENTITY,
    public_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    customer int NOT NULL,
    amount numeric(14, 2) NOT NULL,
    tax numeric,
    status text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    note text,
    payload jsonb NOT NULL
);

INSERT INTO documents (public_id, created_at, customer, amount, tax, status, title, body, note, payload)
SELECT md5('document ' || n)::uuid,
       timestamptz '2024-01-01 00:00:00+00' + n * interval '97.3 seconds',
       (hashint4(n) & 2147483647) % 20000,
       ((hashint8(n) & 2147483647) % 10000000)::numeric / 100,
       CASE WHEN n % 3 = 0 THEN ((hashint8(n * 17) & 2147483647) % 1000000)::numeric / 7 END,
       (ARRAY['draft', 'sent', 'paid', 'overdue', 'void'])[1 + n % 5],
       initcap(substr(a.text, 1, 40)),
       a.text || ' ' || b.text || ' ' || c.text,
       CASE WHEN n % 11 = 0 THEN E'line one\tand a tab\nline two\\' END,
       jsonb_build_object(
           'id', md5('payload ' || n),
           'lines', jsonb_build_array(
               jsonb_build_object('sku', 'SKU-' || (hashint4(n * 3) & 2147483647) % 900, 'quantity', n % 17, 'price', (n % 9973) / 100.0),
               jsonb_build_object('sku', 'SKU-' || (hashint4(n * 5) & 2147483647) % 900, 'quantity', n % 13, 'price', (n % 7919) / 100.0)),
           'tags', to_jsonb(string_to_array(substr(b.text, 1, 24), ' ')),
           'active', n % 2 = 0)
FROM generate_series(1, :rows) n
JOIN sentences a ON a.number = (hashint4(n) & 2147483647) % 5000
JOIN sentences b ON b.number = (hashint4(n + 1000000) & 2147483647) % 5000
JOIN sentences c ON c.number = (hashint4(n + 2000000) & 2147483647) % 5000
ORDER BY n;

ALTER TABLE documents ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX ON documents (public_id);
CREATE INDEX ON documents (customer, created_at);
