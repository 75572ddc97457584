-- Statements read the entries of one account and month.
DROP INDEX entry_debit;
DROP INDEX entry_credit;
CREATE INDEX entry_debit ON entry (debit, period);
CREATE INDEX entry_credit ON entry (credit, period);
