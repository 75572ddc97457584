-- Entries are found through what is gathered below, not through indexes of
-- their own: a batch has hundreds of entries and is written once.
DROP INDEX entry_debit;
DROP INDEX entry_credit;
DROP INDEX entry_contract;
DROP INDEX entry_suspense;
DROP INDEX entry_difference;

-- Up to this batch all that follows from entries is gathered (balance, period,
-- carry, and the tables below). What later entries add is read from them.
CREATE TABLE rolled (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  batch INTEGER NOT NULL
) STRICT;

-- What the entries of one kind between two accounts did in a civil month.
CREATE TABLE movement (
  debit    INTEGER NOT NULL,
  period   INTEGER NOT NULL,
  credit   INTEGER NOT NULL,
  kind     INTEGER NOT NULL,
  contract INTEGER NOT NULL,
  price    INTEGER NOT NULL,
  entries  INTEGER NOT NULL,
  lines    INTEGER NOT NULL,
  tokens   INTEGER NOT NULL,
  low      INTEGER NOT NULL, -- first and last batch that holds one
  high     INTEGER NOT NULL,
  amount   INTEGER NOT NULL,
  PRIMARY KEY (debit, period, credit, kind, contract, price)
) STRICT, WITHOUT ROWID;
CREATE INDEX movement_credit ON movement (credit, period);

-- What the entries that began in an hour (hours since 1970 UTC) did to an account.
CREATE TABLE hour (
  account INTEGER NOT NULL,
  hour    INTEGER NOT NULL,
  amount  INTEGER NOT NULL,
  PRIMARY KEY (account, hour)
) STRICT, WITHOUT ROWID;

-- Which batches hold entries of something: what is 1 for an account, 2 for a
-- contract, 3 for a kind, 4 for an hour of their beginning, 5 for a month and 6
-- for a price. Bit n of batches is batch 64 x chunk + n.
CREATE TABLE touch (
  what    INTEGER NOT NULL,
  id      INTEGER NOT NULL,
  chunk   INTEGER NOT NULL,
  batches INTEGER NOT NULL,
  PRIMARY KEY (what, id, chunk)
) STRICT, WITHOUT ROWID;

-- The entries of open suspense (kind 7, by the outcome's record) and of open
-- differences (kind 10, by their id).
CREATE TABLE open_entry (
  kind   INTEGER NOT NULL,
  key    TEXT    NOT NULL,
  batch  INTEGER NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
INSERT INTO open_entry (kind, key, batch, number)
  SELECT kind, first, batch, number FROM entry WHERE kind = 7 GROUP BY first HAVING count(*) = 1;
INSERT INTO open_entry (kind, key, batch, number)
  SELECT kind, ref, batch, number FROM entry WHERE kind = 10 GROUP BY ref HAVING count(*) = 1;

-- Where requests stand in the journal: sorted runs of places, each cut by the
-- first bits of the requests' hashes into 2^bits pages. Page n of a run has the
-- id run x 2^20 + n.
CREATE TABLE request_run (
  id    INTEGER PRIMARY KEY,
  bits  INTEGER NOT NULL,
  count INTEGER NOT NULL
) STRICT;
CREATE TABLE request_page (
  id   INTEGER PRIMARY KEY,
  data BLOB NOT NULL
) STRICT;
