-- What was left of the hour's commitment before an outcome, of outcomes that
-- drew on one.
CREATE TABLE covered (
  outcome INTEGER PRIMARY KEY,
  remain  INTEGER NOT NULL
) STRICT;
