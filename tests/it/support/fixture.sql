-- A database of awkward things. Run by psql after `pgbench -i`; :tablespace names a tablespace to use.
\set ON_ERROR_STOP on
SET client_encoding = 'UTF8';

CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist;
CREATE EXTENSION ltree;
CREATE EXTENSION "uuid-ossp";
CREATE EXTENSION pgcrypto;
CREATE SCHEMA "Geschäfts Daten";
CREATE SCHEMA archive AUTHORIZATION fixture_owner;
CREATE EXTENSION intarray SCHEMA archive;
COMMENT ON SCHEMA "Geschäfts Daten" IS 'with "quotes", ''apostrophes'' and
-- a second line; BEGIN;
COMMIT;';

CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
CREATE DOMAIN percent AS numeric(5, 2) DEFAULT 0 CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE address AS (street text, city text, tags text[]);
CREATE TYPE span AS RANGE (subtype = timestamptz);
CREATE COLLATION german_like (provider = libc, locale = 'C');

CREATE TABLE "Geschäfts Daten"."Kunden; DROP" (
  id bigint GENERATED ALWAYS AS IDENTITY (START 1000 INCREMENT 7) PRIMARY KEY,
  "Näme ""x""" text NOT NULL COLLATE german_like,
  upper_name text GENERATED ALWAYS AS (upper("Näme ""x""")) STORED,
  feeling mood DEFAULT 'ok',
  share percent,
  home address,
  homes address[],
  matrix int[][],
  doc jsonb,
  attributes hstore,
  path ltree,
  email citext UNIQUE,
  during span,
  EXCLUDE USING gist (id WITH =, during WITH &&)
);
INSERT INTO "Geschäfts Daten"."Kunden; DROP" ("Näme ""x""", feeling, share, home, homes, matrix, doc, attributes, path, email, during)
SELECT 'Zoë ' || n || E'\t\\tab\nline\\.', (enum_range(NULL::mood))[1 + n % 3], n % 101, ROW('Straße ' || n, NULL, ARRAY['a,b', '"', NULL])::address,
  ARRAY[ROW('x', 'y', '{}')::address], ARRAY[[n, 2], [3, NULL]], jsonb_build_object('n', n, 'text', E'\u2028 "q" \\', 'deep', jsonb_build_array(NULL, true, 1e30)),
  hstore('key ' || n, NULL) || 'a=>"b\"c"', ('top.n' || n)::ltree, 'User' || n || '@Example.ORG', span(timestamptz '2024-01-01 00:00Z', NULL)
FROM generate_series(1, 500) n;
CREATE INDEX ON "Geschäfts Daten"."Kunden; DROP" USING gin ("Näme ""x""" gin_trgm_ops);
CREATE INDEX ON "Geschäfts Daten"."Kunden; DROP" ((doc ->> 'n')) WHERE feeling <> 'sad';
CREATE STATISTICS archive.kunden_stat (dependencies) ON feeling, share FROM "Geschäfts Daten"."Kunden; DROP";

-- Every byte value, alone and together; lines that look like the end of COPY data or like transaction control.
CREATE TABLE bytes (id int PRIMARY KEY, data bytea NOT NULL);
INSERT INTO bytes SELECT n, set_byte('\x00', 0, n) FROM generate_series(0, 255) n;
INSERT INTO bytes SELECT 256, string_agg(set_byte('\x00', 0, n), ''::bytea ORDER BY n) FROM generate_series(0, 255) n;
INSERT INTO bytes SELECT 257, decode(repeat('00ff5c2e0a', 100000), 'hex');
CREATE TABLE lines (line text);
INSERT INTO lines VALUES ('BEGIN;'), ('COMMIT;'), ('\.'), (''), (NULL), ('COPY public.lines (line) FROM stdin;'), ('-- PostgreSQL database dump complete'), ('\unrestrict x'), ('$$'), (''''), (E'\r\n'), (E'tab\tend\\');
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE numbers AS SELECT n::float8 / 3 AS f8, n::float4 / 7 AS f4, n::numeric / 9 AS num, 'NaN'::float8 AS nan, '-Infinity'::float8 AS inf FROM generate_series(1, 50) n;

CREATE TABLE events (id bigserial, at timestamptz NOT NULL, kind text NOT NULL, PRIMARY KEY (id, at, kind)) PARTITION BY RANGE (at);
CREATE TABLE events_2023 PARTITION OF events FOR VALUES FROM ('2023-01-01Z') TO ('2024-01-01Z');
CREATE TABLE archive.events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01Z') TO ('2025-01-01Z') PARTITION BY LIST (kind);
CREATE TABLE archive.events_2024_a PARTITION OF archive.events_2024 FOR VALUES IN ('a') TABLESPACE :"tablespace";
CREATE TABLE archive.events_2024_rest PARTITION OF archive.events_2024 DEFAULT;
INSERT INTO events (at, kind) SELECT timestamptz '2023-06-01Z' + n * interval '1 hour', (ARRAY['a', 'b', 'c'])[1 + n % 3] FROM generate_series(0, 9999) n;
ALTER TABLE archive.events_2024_a CLUSTER ON events_2024_a_pkey;
CREATE TABLE base_of (a int, note text);
CREATE TABLE child_of (b int) INHERITS (base_of);
INSERT INTO base_of VALUES (1, 'parent');
INSERT INTO child_of VALUES (2, 'child', 3), (4, 'child', 5);

-- Foreign keys in a cycle.
CREATE TABLE hen (id int PRIMARY KEY, egg int NOT NULL);
CREATE TABLE egg (id int PRIMARY KEY, hen int REFERENCES hen DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO hen SELECT n, n FROM generate_series(1, 100) n;
INSERT INTO egg SELECT n, 101 - n FROM generate_series(1, 100) n;
COMMIT;

CREATE FUNCTION archive.touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  -- A body with words of its own:
  IF NEW.at IS NULL THEN NEW.at := '2023-01-01'; END IF;
  RETURN NEW;
END;
$body$;
CREATE TRIGGER touch BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION archive.touch();
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$
BEGIN
COMMIT;
BEGIN
NULL;
END;
END
$$;
CREATE FUNCTION standard_body(a int) RETURNS int BEGIN ATOMIC SELECT 1; SELECT a + 1; END;
-- Stands before the tables that it does not use, partitions among them, and holds what looks like their rows.
CREATE PROCEDURE standard_writer(a text) BEGIN ATOMIC
  SELECT CASE WHEN a = 'END' THEN CASE a WHEN 'x' THEN 1 END END;
  INSERT INTO lines VALUES ('from a body');
  INSERT INTO lines VALUES ('from a body; COMMIT;');
END;
CREATE RULE twice AS ON UPDATE TO lines DO ALSO (INSERT INTO lines VALUES ('from a rule'); INSERT INTO lines VALUES ('and more'));
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int);
CREATE VIEW happy WITH (security_barrier) AS SELECT id, email FROM "Geschäfts Daten"."Kunden; DROP" WHERE feeling <> 'sad' WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW per_kind AS SELECT kind, count(*) AS n FROM events GROUP BY kind;
CREATE UNIQUE INDEX ON per_kind (kind);
CREATE MATERIALIZED VIEW never_filled AS SELECT * FROM events WITH NO DATA;
CREATE RULE no_delete AS ON DELETE TO bytes DO INSTEAD NOTHING;

CREATE TABLE tenants (id int PRIMARY KEY, owner name NOT NULL);
INSERT INTO tenants VALUES (1, 'fixture_owner'), (2, 'nobody');
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON tenants USING (owner = current_user) WITH CHECK (owner = current_user);
ALTER TABLE tenants OWNER TO fixture_owner;
GRANT SELECT (id) ON tenants TO "Röle ""x""; --";
ALTER DEFAULT PRIVILEGES FOR ROLE fixture_owner IN SCHEMA archive GRANT SELECT ON TABLES TO fixture_reader;

CREATE SEQUENCE archive.lonely START 5 MAXVALUE 99 CYCLE;
SELECT nextval('archive.lonely'), nextval('archive.lonely');

SELECT lo_from_bytea(16001, '\x00ff00'), lo_from_bytea(16002, decode(repeat('deadbeef', 50000), 'hex')), lo_from_bytea(16003, '');
COMMENT ON LARGE OBJECT 16001 IS 'COMMIT;';
ALTER LARGE OBJECT 16002 OWNER TO fixture_owner;
GRANT SELECT ON LARGE OBJECT 16002 TO fixture_reader;

-- What the first users keep: a hash chain over the rows in order of time.
CREATE TABLE audit_logs (
  id uuid PRIMARY KEY, action varchar(255) NOT NULL, "resourceType" varchar(255), "resourceId" varchar(255), metadata json,
  "oldValues" json, "newValues" json, "requestId" uuid, "ipAddress" varchar(255), "userAgent" text, "timestamp" timestamptz NOT NULL,
  "userId" int, reason text, hash varchar(64) NOT NULL, "previousHash" varchar(64), immutable bool DEFAULT true, "companyId" int,
  "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL
);
DO $$
DECLARE
  previous text; body text; digest text; at timestamptz;
BEGIN
  FOR n IN 1..200 LOOP
    at := timestamptz '2024-03-01 08:00Z' + n * interval '90.5 seconds';
    -- The writer's rule: keys sorted, absent values left out.
    body := '{"action":"UPDATE","companyId":' || n % 5 || ',"ipAddress":"10.0.0.' || n || '","newValues":{"total":' || n || '},'
      || CASE WHEN previous IS NULL THEN '' ELSE '"previousHash":"' || previous || '",' END
      || '"resourceId":"' || n || '","resourceType":"Invoice","timestamp":"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '","userId":' || n % 7 || '}';
    digest := encode(sha256(convert_to(body, 'UTF8')), 'hex');
    INSERT INTO audit_logs (id, action, "resourceType", "resourceId", "newValues", "ipAddress", "timestamp", "userId", hash, "previousHash", "companyId", "createdAt", "updatedAt")
    VALUES (uuid_generate_v5(uuid_ns_url(), n::text), 'UPDATE', 'Invoice', n::text, json_build_object('total', n), '10.0.0.' || n, at, n % 7, digest, previous, n % 5, at, at);
    previous := digest;
  END LOOP;
END
$$;
CREATE TABLE companies (id int PRIMARY KEY, name text);
CREATE TABLE invoices (id int PRIMARY KEY, "companyId" int REFERENCES companies, total numeric(12, 2));
CREATE TABLE tax_reports (id int PRIMARY KEY, "companyId" int REFERENCES companies, year int);
INSERT INTO companies SELECT n, 'Company ' || n FROM generate_series(0, 4) n;
INSERT INTO invoices SELECT n, n % 5, n FROM generate_series(1, 200) n;
INSERT INTO tax_reports SELECT n, n % 5, 2020 + n FROM generate_series(1, 5) n;

CREATE PUBLICATION everything FOR TABLE events, bytes;
CREATE FUNCTION archive.noop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP OWNED') EXECUTE FUNCTION archive.noop();
COMMENT ON COLUMN bytes.data IS E'back\\slash';
