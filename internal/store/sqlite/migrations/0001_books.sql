-- Texts that repeat (accounts, assets, prices, contracts, terms), kept once.
-- Id 0 is the empty text and has no row.
CREATE TABLE name (
  id   INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE batch (
  sequence  INTEGER PRIMARY KEY,
  node      TEXT    NOT NULL,
  first     INTEGER NOT NULL, -- records of the journal
  last      INTEGER NOT NULL,
  at        INTEGER NOT NULL, -- nanoseconds since 1970 UTC
  served    INTEGER NOT NULL,
  unserved  INTEGER NOT NULL,
  suspense  INTEGER NOT NULL,
  unmatched TEXT    NOT NULL, -- sequences of records, a JSON array
  terms     TEXT    NOT NULL, -- of the last intent up to here
  prev      BLOB    NOT NULL,
  hash      BLOB    NOT NULL
) STRICT;
CREATE INDEX batch_last ON batch (last);
CREATE INDEX batch_at ON batch (at);

CREATE TABLE entry (
  batch     INTEGER NOT NULL,
  number    INTEGER NOT NULL,
  kind      INTEGER NOT NULL,
  debit     INTEGER NOT NULL,
  credit    INTEGER NOT NULL,
  asset     INTEGER NOT NULL,
  price     INTEGER NOT NULL,
  contract  INTEGER NOT NULL,
  terms     INTEGER NOT NULL,
  period    INTEGER NOT NULL,
  ref       TEXT    NOT NULL,
  amount    INTEGER NOT NULL,
  remainder INTEGER NOT NULL,
  divisor   INTEGER NOT NULL,
  lines     INTEGER NOT NULL,
  uncached_input INTEGER NOT NULL,
  cache_read     INTEGER NOT NULL,
  cache_write    INTEGER NOT NULL,
  output         INTEGER NOT NULL,
  reasoning      INTEGER NOT NULL,
  first     INTEGER NOT NULL,
  last      INTEGER NOT NULL,
  since     INTEGER NOT NULL,
  until     INTEGER NOT NULL,
  digest    BLOB    NOT NULL,
  PRIMARY KEY (batch, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_debit ON entry (debit);
CREATE INDEX entry_credit ON entry (credit);
CREATE INDEX entry_contract ON entry (contract) WHERE contract > 0;
CREATE INDEX entry_suspense ON entry (kind) WHERE kind = 7;

-- The state after the last batch: it follows from the batches and the
-- journal, and is kept so that a start does not read them all.
CREATE TABLE balance (
  account INTEGER PRIMARY KEY,
  asset   INTEGER NOT NULL,
  amount  INTEGER NOT NULL
) STRICT;

CREATE TABLE carry (
  debit     INTEGER NOT NULL,
  credit    INTEGER NOT NULL,
  price     INTEGER NOT NULL,
  divisor   INTEGER NOT NULL,
  remainder INTEGER NOT NULL,
  PRIMARY KEY (debit, credit, price, divisor)
) STRICT, WITHOUT ROWID;

CREATE TABLE open_intent (
  sequence INTEGER PRIMARY KEY,
  record   BLOB NOT NULL -- binary form of the journal's record
) STRICT;

-- Where requests stand in the journal, by the first 64 bits of the SHA-256
-- of the request id. Outcome 0 is a refusal.
CREATE TABLE request (
  hash    INTEGER NOT NULL,
  intent  INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  PRIMARY KEY (hash, intent, outcome)
) STRICT, WITHOUT ROWID;
