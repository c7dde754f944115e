-- Roles, memberships, settings, a comment that tries to end its own line, and rights on a parameter.
\set ON_ERROR_STOP on
CREATE ROLE fixture_owner LOGIN PASSWORD 'owner';
CREATE ROLE fixture_reader NOLOGIN CONNECTION LIMIT 3 VALID UNTIL '2031-01-01';
CREATE ROLE "Röle ""x""; --" LOGIN;
COMMENT ON ROLE fixture_owner IS 'owner; of ''things''
-- and lines
\restrict not a command';
GRANT fixture_reader TO "Röle ""x""; --" WITH ADMIN OPTION;
GRANT pg_read_all_data TO fixture_reader;
ALTER ROLE fixture_owner SET search_path TO archive, "Geschäfts Daten";
ALTER ROLE "Röle ""x""; --" SET work_mem TO '7MB';
GRANT SET ON PARAMETER log_statement TO fixture_reader;
