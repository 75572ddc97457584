-- Batches of facts: the fact's number (0: a batch of records) and digest.
ALTER TABLE batch ADD COLUMN fact INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN fact_digest BLOB NOT NULL DEFAULT x'';
CREATE INDEX batch_fact ON batch (fact) WHERE fact > 0;

-- What the entries of each civil month (YYYYMM) did to an account: statements
-- and closes read it. It follows from the entries.
CREATE TABLE period (
  account INTEGER NOT NULL,
  period  INTEGER NOT NULL,
  amount  INTEGER NOT NULL,
  PRIMARY KEY (account, period)
) STRICT, WITHOUT ROWID;
INSERT INTO period (account, period, amount)
  SELECT account, period, sum(amount) FROM (
    SELECT debit AS account, period, amount FROM entry
    UNION ALL
    SELECT credit, period, -amount FROM entry
  ) GROUP BY account, period;

-- Differences between invoices and books.
CREATE INDEX entry_difference ON entry (ref) WHERE kind = 10;
