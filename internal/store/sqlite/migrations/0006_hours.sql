-- What was drawn of the commitments of hours, by what identifies them (the
-- first 128 bits of a SHA-256), until the month after their own is closed. It
-- follows from the batches and the journal.
CREATE TABLE drawn (
  hour   BLOB    NOT NULL,
  period INTEGER NOT NULL,
  used   INTEGER NOT NULL,
  PRIMARY KEY (period, hour)
) STRICT, WITHOUT ROWID;

-- What was left of the hour's commitment before an outcome, of outcomes that
-- drew on one.
CREATE TABLE covered (
  outcome INTEGER PRIMARY KEY,
  remain  INTEGER NOT NULL
) STRICT;
