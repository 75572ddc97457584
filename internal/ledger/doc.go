// Package ledger makes double-entry books from the journal: it posts batches
// of records as entries between two accounts each, chains the batches by
// hash, and recomputes the exact line of any one request from the same code.
// It is pure: the same records and terms give the same bytes. It refuses to
// read files or clocks, to guess (what cannot be rated is suspense), and to
// change an entry once it is posted.
package ledger
