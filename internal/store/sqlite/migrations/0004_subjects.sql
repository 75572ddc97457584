-- Subjects of open months, by what identifies them (the first 128 bits of a
-- SHA-256), with their included quota and what they used of it. It follows
-- from the batches and the journal.
CREATE TABLE subject (
  subject BLOB    NOT NULL,
  period  INTEGER NOT NULL,
  granted INTEGER NOT NULL,
  used    INTEGER NOT NULL,
  PRIMARY KEY (period, subject)
) STRICT, WITHOUT ROWID;

-- What was left of a quota before an outcome, of outcomes that were parted.
CREATE TABLE parted (
  outcome INTEGER PRIMARY KEY,
  remain  INTEGER NOT NULL
) STRICT;
