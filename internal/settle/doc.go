// Package settle turns the journal into stored books: it marks batches, posts
// them to the ledger, stores them, and answers from them (balances, burn,
// traces, verification). It runs off the request's path: when the store
// fails, requests go on and the books follow later. It refuses to write
// anything but marks to the journal and batches to the store, and to decide
// what an entry means: ledger does.
package settle
